"""Compare seven optimizers on four toy problems: equal starts, equal batches, a rate for each.

First every gradient is checked. Then each optimizer is tried with every rate of one grid, keeps the
one with the lowest validation loss, and is compared over several seeds; the test set is used once,
at the end. Learning-rate schedules and paths on three surfaces follow. Writes <runs-dir>/train/:
metrics, summary, figures and an animation.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.gradcheck.cases import check_everything
from section2_optimization.schedules import SCHEDULES
from section2_optimization.study import path_plots, plots, toy_data
from section2_optimization.study.comparison import (
    LRS,
    METHODS,
    Budget,
    Method,
    TrialsByLr,
    make_methods,
)
from section2_optimization.study.results import print_summary, summarize_all, write_metrics
from section2_optimization.study.resuming import resumable_search
from section2_optimization.study.trajectories import SURFACES, best_paths
from shared_utils.cli import (
    add_shared_flags,
    momentum_number,
    number,
    open_run,
    parse_args,
    positive_float,
    start,
)
from shared_utils.errors import UserError
from shared_utils.plotting import show_figures
from shared_utils.runs import RunFolder
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 15, "seeds": 2, "lrs": [0.003, 0.03, 0.3, 1.0]}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", resumable=True, epochs=50, batch_size=32, seeds=5)
    for flag, choices in (
        ("--optimizers", list(METHODS)),
        ("--datasets", toy_data.NAMES),
        ("--schedules", SCHEDULES),
    ):
        parser.add_argument(
            flag,
            nargs="+",
            choices=choices,
            default=list(choices),
            metavar="NAME",
            help=f"any of {', '.join(choices)} (default: all)",
        )
    parser.add_argument(
        "--lrs",
        "--rates",
        nargs="+",
        type=positive_float,
        default=list(LRS),
        metavar="LR",
        help=f"the grid of learning rates (default: {' '.join(map(str, LRS))})",
    )
    parser.add_argument(
        "--momentum",
        type=number(lambda x: 0 < x < 1, "above 0 and below 1"),
        default=0.9,
        help="coefficient of momentum and nesterov, in (0, 1) (default: %(default)s)",
    )
    parser.add_argument(
        "--betas",
        nargs=2,
        type=momentum_number,
        default=[0.9, 0.999],
        metavar=("BETA1", "BETA2"),
        help="of Adam and AdamW (default: 0.9 0.999)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Check, compare, conclude, draw; return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    for name in ("optimizers", "datasets", "schedules", "lrs"):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    seeds = range(args.seed, args.seed + args.seeds)
    budget = Budget(sorted(args.lrs), seeds, args.epochs, args.batch_size)
    methods = make_methods(args.optimizers, momentum=args.momentum, betas=args.betas)
    (momentum,) = make_methods(["momentum"], momentum=args.momentum)
    scheduled = [replace(momentum, schedule=name) for name in args.schedules]
    with open_run(args, "train", {"name": "generated toy data"}) as run:
        check_gradients_first(args.seed)
        data_sets = [toy_data.make_toy_data(name, args.seed) for name in args.datasets]
        results, schedules = compare(run, data_sets, methods, scheduled, budget)
        write_metrics(run, results, schedules)
        summary = summarize_all(results, schedules, momentum.name)
        run.write_json("summary.json", summary)
        print_summary(summary)
        if all(result["diverged"] for result in summary["runs"].values()):
            raise UserError("every training diverged: try smaller --lrs")

        steps = args.epochs * math.ceil(toy_data.SIZES["train"] / args.batch_size)
        plots.draw_all(run.path, results, schedules, steps)
        path_plots.draw_all(run.path, {s.name: best_paths(s, methods) for s in SURFACES})
        print(f"\nmetrics, summary, figures and animation: {run.path}")
        show_figures(args.no_show)
        return summary


def check_gradients_first(seed: int) -> None:
    """Check all gradients and say so: before that, no comparison means anything."""
    checks = [central for central, _ in check_everything(stream(seed, "checks"))]
    wrong = [f"{check.name} {check.array}" for check in checks if not check.passed]
    if wrong:
        raise UserError(f"wrong gradients: {', '.join(wrong)}; run gradient_checking.py")
    worst = max(check.error for check in checks)
    print(f"gradient check: {len(checks)} arrays correct, largest relative error {worst:.0e}\n")


def compare(
    run: RunFolder,
    data_sets: Sequence[toy_data.ToyData],
    methods: Sequence[Method],
    scheduled: Sequence[Method],
    budget: Budget,
) -> tuple[list, dict]:
    """Return [(data, method -> rate -> trials), ...] and schedule -> rate -> trials.

    Schedules are compared on the last data set.
    """
    from tqdm import tqdm

    count = len(data_sets) * len(methods) + len(scheduled)
    with tqdm(total=count, desc="methods", disable=None) as bar:

        def search(data: toy_data.ToyData, method: Method) -> TrialsByLr:
            found = resumable_search(run, data, method, budget)
            bar.update()
            return found

        results = [(data, {m.name: search(data, m) for m in methods}) for data in data_sets]
        return results, {m.schedule: search(data_sets[-1], m) for m in scheduled}


if __name__ == "__main__":
    start(main)
