"""Race the MLP's training step against PyTorch's: same weights, same batches, same threads.

The two take turns, in several rounds, so that whatever else the machine does hits both. Each brings
its own library of matrix products, and its own traffic around them. Writes <runs-dir>/benchmark/.
The only script of this section that needs PyTorch.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.model import MLP
from section1_mlp.training import train_steps
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.minibatches import minibatches
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure, show_figures
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 3, "steps": 30, "samples": 6400}
SIZES = (784, 256, 128, 10)
BATCH_SIZES = (32, 64, 128, 256)
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-5


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs")
    for flag, default, words in (
        ("--rounds", 9, "turns of each contender; medians are over them"),
        ("--steps", 100, "training steps in a turn"),
        ("--samples", 55000, "training images of the timed epoch"),
        ("--threads", os.cpu_count(), "threads of both contenders"),
    ):
        parser.add_argument(
            flag, type=positive_int, default=default, help=f"{words} (default: %(default)s)"
        )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time steps and an epoch, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    with open_run(args, "benchmark", {"name": "random numbers"}) as run:
        summary = {"torch": torch.__version__, "results": []}
        print(f"{'dtype':<9}{'batch':>6}{'ours':>10}{'PyTorch':>10}{'ratio':>7}{'of peak':>9}")
        with threadpool_limits(args.threads):
            for dtype in ("float32", "float64"):
                peak = matrix_product_peak(dtype)
                for batch_size in BATCH_SIZES:
                    result = race_steps(dtype, batch_size, peak, args)
                    summary["results"].append(result)
                    print(
                        f"{dtype:<9}{batch_size:>6}{result['ours_ms']:>7.2f} ms"
                        f"{result['torch_ms']:>7.2f} ms{result['ratio']:>7.2f}"
                        f"{result['share_of_peak']:>9.0%}"
                    )
            summary["parts_ms"] = time_parts(args)
            summary["epoch"] = race_epoch(args)
        parts = ", ".join(f"{part} {ms:.2f}" for part, ms in summary["parts_ms"].items())
        print(f"\nours, batch 128, float32, in ms: {parts}")
        print("an epoch of {samples:,} images: ratio {ratio:.2f}".format(**summary["epoch"]))
        run.write_json("summary.json", summary)
        save_figure(draw(summary["results"]), run.path / "steps.png")
        print(f"\nsummary and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def contenders(dtype: str) -> tuple[Callable, Callable]:
    """Return two functions that take one training step on (x, y), from equal weights."""
    import torch
    from torch import nn

    model = MLP(SIZES, "relu", rng=np.random.default_rng(0), dtype=dtype)
    layers = []
    for layer in range(1, model.depth + 1):
        linear = nn.Linear(*model.params[f"W{layer}"].shape, dtype=getattr(torch, dtype))
        linear.weight.data = torch.tensor(model.params[f"W{layer}"].T.copy())
        linear.bias.data = torch.tensor(model.params[f"b{layer}"])
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(
        net.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True
    )

    def ours(x: np.ndarray, y: np.ndarray) -> float:
        loss = model.loss(x, y)
        model.backward()
        model.step(LR, MOMENTUM, WEIGHT_DECAY)
        return loss

    def theirs(x: np.ndarray, y: np.ndarray) -> float:
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return ours, theirs


def race_steps(dtype: str, batch_size: int, peak: float, args: argparse.Namespace) -> dict:
    """Time the two in turn; return medians, their spread (quartiles) and the ratio.

    Raises RuntimeError when they do not compute the same losses: then there is nothing to compare.
    """
    rng = stream(args.seed, "data")
    batches = [
        (rng.random((batch_size, SIZES[0])).astype(dtype), rng.integers(0, 10, batch_size))
        for _ in range(20)
    ]
    pair = contenders(dtype)
    losses = [[contender(*batch) for batch in batches[:5]] for contender in pair]
    if not np.allclose(*losses, rtol=1e-4):
        raise RuntimeError(f"the contenders compute different losses: {losses}")
    milliseconds = ([], [])
    for _ in range(args.rounds + 1):
        for contender, times in zip(pair, milliseconds, strict=True):
            clock = time.perf_counter()
            for step in range(args.steps):
                contender(*batches[step % len(batches)])
            times.append(1e3 * (time.perf_counter() - clock) / args.steps)
    ours, theirs = (np.percentile(times[1:], [50, 25, 75]) for times in milliseconds)  # 1: warm-up
    # Forward and dW of every layer, dA of all but the first: 2 operations a weight and sample.
    weights = [n_in * n_out for n_in, n_out in pairwise(SIZES)]
    operations = 2 * batch_size * (3 * sum(weights) - weights[0])
    return {
        "dtype": dtype,
        "batch": batch_size,
        "ours_ms": float(ours[0]),
        "ours_quartiles_ms": ours[1:].tolist(),
        "torch_ms": float(theirs[0]),
        "torch_quartiles_ms": theirs[1:].tolist(),
        "ratio": float(theirs[0] / ours[0]),
        "share_of_peak": float(operations / (ours[0] * 1e-3) / peak),
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


def time_parts(args: argparse.Namespace) -> dict[str, float]:
    """Return the median milliseconds of each part of our step at batch 128, float32."""
    model = MLP(SIZES, "relu", rng=np.random.default_rng(0))
    rng = stream(args.seed, "data")
    x, y = rng.random((128, SIZES[0])).astype(np.float32), rng.integers(0, 10, 128)
    parts = {
        "forward and loss": lambda: model.loss(x, y),
        "backward": model.backward,
        "update": lambda: model.step(LR, MOMENTUM, WEIGHT_DECAY),
    }
    times = {name: [] for name in parts}
    for _ in range(args.rounds * args.steps):
        for name, part in parts.items():
            clock = time.perf_counter()
            part()
            times[name].append(1e3 * (time.perf_counter() - clock))
    return {name: float(np.median(values)) for name, values in times.items()}


def race_epoch(args: argparse.Namespace) -> dict:
    """Time a whole epoch, batches taken from the training set included; best of three each."""
    rng = stream(args.seed, "data")
    x = rng.random((args.samples, SIZES[0]), np.float32)
    y = rng.integers(0, 10, args.samples)
    _, theirs = contenders("float32")
    options = {"epochs": 1, "batch_size": 128, "lr": LR, "weight_decay": WEIGHT_DECAY}
    best = {"ours": np.inf, "torch": np.inf}
    for _ in range(3):
        model = MLP(SIZES, "relu", rng=np.random.default_rng(0))
        clock = time.perf_counter()
        for _ in train_steps(model, x, y, rng=np.random.default_rng(0), **options):
            pass
        best["ours"] = min(best["ours"], time.perf_counter() - clock)
        clock = time.perf_counter()
        for batch in minibatches(len(x), 128, np.random.default_rng(0)):
            theirs(x[batch], y[batch])
        best["torch"] = min(best["torch"], time.perf_counter() - clock)
    return {
        "samples": args.samples,
        "ours_seconds": best["ours"],
        "torch_seconds": best["torch"],
        "ratio": best["torch"] / best["ours"],
    }


def draw(results: list[dict]):
    """Draw how many times as fast as PyTorch our step is, against the batch size."""
    fig, ax = new_figure()
    for dtype, color, marker in zip(("float32", "float64"), COLORS, MARKERS, strict=False):
        points = [(r["batch"], r["ratio"]) for r in results if r["dtype"] == dtype]
        ax.plot(*zip(*points, strict=True), color=color, marker=marker, label=dtype)
    ax.axhline(1, color="black", lw=1, ls="--", label="as fast as PyTorch")
    ax.set(
        xscale="log", xlabel="batch size (images)", ylabel="PyTorch's time / ours", ylim=(0, None)
    )
    ax.set_xticks(BATCH_SIZES, BATCH_SIZES)
    ax.xaxis.minorticks_off()
    ax.set_title("One training step, 784-256-128-10")
    ax.legend()
    return fig


if __name__ == "__main__":
    start(main)
