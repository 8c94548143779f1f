"""How large should the first weights be? Signal and gradient of deep networks before training.

Random inputs go up through ten equal layers, a random gradient comes down again, for three
activations and four variances of the weights. Nothing is trained, no data is needed. Writes
<runs-dir>/initialization/.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.functions import ACTIVATIONS
from section1_mlp.study.signals import (
    SCHEMES,
    Sizes,
    conclude,
    draw,
    signal_and_gradient,
    summarize,
)
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.plotting import save_figure, show_figures
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"seeds": 2, "width": 64}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", seeds=5)
    for flag, default, words in (
        ("--width", 256, "units of every layer"),
        ("--depth", 10, "number of hidden layers"),
    ):
        parser.add_argument(
            flag, type=positive_int, default=default, help=f"{words} (default: %(default)s)"
        )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Measure every activation with every scheme, print and write the results, return them."""
    args = parse_args(build_parser(), argv, QUICK)
    seeds = range(args.seed, args.seed + args.seeds)
    with open_run(args, "initialization", {"name": "random numbers"}) as run:
        sizes = {
            a: {s: measure(a, s, args.width, args.depth, seeds) for s in SCHEMES}
            for a in ACTIVATIONS
        }
        runs = summarize(sizes)
        summary = {"runs": runs, "conclusions": conclude(runs)}
        run.write_json("summary.json", summary)
        print_results(summary)
        save_figure(draw(sizes), run.path / "signals.png")
        print(f"\nsummary and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def measure(activation: str, scheme: str, width: int, depth: int, seeds: range) -> Sizes:
    """Return the sizes in one new network for each seed; equal seeds, equal random numbers."""
    variance, shape = SCHEMES[scheme](width), {"width": width, "depth": depth}
    with np.errstate(over="ignore", invalid="ignore"):  # some explode: that is to be seen
        measured = [
            signal_and_gradient(activation, variance, **shape, rng=stream(seed, "init"))
            for seed in seeds
        ]
    return Sizes(*map(np.array, zip(*measured, strict=True)))


def print_results(summary: dict) -> None:
    """Print one line for each activation and scheme, and the conclusions."""
    print(
        f"{'activation':<12}{'weights':<14}"
        f"{'signal, last / first':>22}{'gradient, first / last':>24}"
    )
    for activation, schemes in summary["runs"].items():
        for scheme, result in schemes.items():
            up, down = (result[key]["median"] for key in ("signal", "gradient"))
            print(f"{activation:<12}{scheme:<14}{up:>22.1e}{down:>24.1e}")
    print("\n" + "\n".join(summary["conclusions"]))


if __name__ == "__main__":
    start(main)
