"""Measuring speed: contenders that take turns, and the peak of the machine.

A machine's speed changes from minute to minute. So contenders are never timed one after the other:
they take turns, in several rounds, and whatever else the machine does hits all of them. What is
reported is a ratio, from one run.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from shared_utils.plotting import COLORS, MARKERS, new_figure

WARM_UP = 3  # calls before each turn: caches, and threads that were asleep


def take_turns(
    contenders: Mapping[str, Callable], batches: Sequence[tuple], rounds: int, count: int
) -> dict[str, dict]:
    """Return, for each contender, the "median" milliseconds of a call and their "quartiles".

    Each is called with the arguments of one batch after the other, `count` times a turn, and has a
    turn in each round. Raises RuntimeError when they do not return the same numbers at first: then
    there is nothing to compare.
    """
    results = {name: [call(*batch) for batch in batches[:5]] for name, call in contenders.items()}
    first = next(iter(results.values()))
    for name, values in results.items():
        if not np.allclose(values, first, rtol=1e-4, atol=1e-6):
            raise RuntimeError(f"{name} does not compute what the others do")
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            for batch in batches[:WARM_UP]:
                call(*batch)
            clock = time.perf_counter()
            for number in range(count):
                call(*batches[number % len(batches)])
            times[name].append(1e3 * (time.perf_counter() - clock) / count)
    return {
        name: {
            "median": float(np.median(values)),
            "quartiles": np.percentile(values, [25, 75]).tolist(),
        }
        for name, values in times.items()
    }


def matrix_product_peak(dtype: str) -> float:
    """Return the operations per second of a large square matrix product, the best of thirty."""
    n = 1024
    a = np.random.default_rng(0).random((n, n)).astype(dtype)
    out, best = np.empty_like(a), np.inf
    for _ in range(30):
        clock = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - clock)
    return 2 * n**3 / best


def compare(times: dict[str, dict], operations: float, peak: float) -> dict:
    """Return a race's times and their ratio, the fastest of the others' to "ours".

    The ratio's range is a wide one: from their lower quartile over our upper one to the reverse.
    `operations` is what a call computes, `peak` what the machine can in a second.
    """
    found = {}
    for name, taken in times.items():
        found |= {f"{name}_ms": taken["median"], f"{name}_quartiles_ms": taken["quartiles"]}
    ours = times["ours"]
    theirs = min((times[name] for name in times.keys() - {"ours"}), key=lambda t: t["median"])
    return found | {
        "ratio": theirs["median"] / ours["median"],
        "ratio_quartiles": [theirs["quartiles"][i] / ours["quartiles"][1 - i] for i in (0, 1)],
        "fraction_of_peak": operations / (ours["median"] * 1e-3) / peak,
    }


def line(result: dict, names: Sequence[str]) -> str:
    """Return a table's line for one dtype and batch size: times, ratio and part of the peak."""
    ratio = "{:.2f} ({:.2f} - {:.2f})".format(result["ratio"], *result["ratio_quartiles"])
    times = "".join(f"{result[f'{name}_ms']:>12.2f}" for name in names)
    peak = result["fraction_of_peak"]
    return f"{result['dtype']:<9}{result['batch']:>6}{times}  {ratio:<19}{peak:>8.0%}"


def draw_ratios(results: list[dict], theirs: dict[str, str], title: str):
    """Draw how many times as fast as each of `theirs` our step is, by dtype and batch size.

    A bar reaches from their lower quartile over our upper one to the reverse.
    """
    fig, ax = new_figure()
    lines = [(dtype, name) for dtype in ("float32", "float64") for name in theirs]
    for number, (dtype, name) in enumerate(lines):
        rows = [row for row in results if row["dtype"] == dtype]
        ratios = np.array([row[f"{name}_ms"] / row["ours_ms"] for row in rows])
        their, our = (
            np.array([row[f"{who}_quartiles_ms"] for row in rows]).T for who in (name, "ours")
        )
        bars = np.maximum([ratios - their[0] / our[1], their[1] / our[0] - ratios], 0)
        places = [row["batch"] * 1.03 ** (number - len(lines) / 2 + 0.5) for row in rows]
        look = {"color": COLORS[number], "marker": MARKERS[number], "capsize": 3}
        label = f"{dtype}, {theirs[name]}" if len(theirs) > 1 else dtype
        ax.errorbar(places, ratios, bars, label=label, **look)
    ax.axhline(1, color="black", lw=1, ls="--", label="as fast as PyTorch")
    ax.set(xscale="log", xlabel="batch size (images)", ylabel="PyTorch's time / ours")
    ax.set(ylim=(0, None), title=f"{title}; bars: from opposite quartiles")
    batches = sorted({row["batch"] for row in results})
    ax.set_xticks(batches, batches)
    ax.xaxis.minorticks_off()
    fig.legend(loc="outside lower center", ncols=3)
    return fig
