"""Train one MLP for each activation on handwritten digits, on the same batches, and compare them.

Each network is kept from the epoch with the best validation accuracy and meets the test set once,
at the end. Writes <runs-dir>/train/: weights, metrics, summary and figures.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.arms import LEARNING_RATES, flat, train_arm
from section1_mlp.plots import draw_all
from section1_mlp.results import print_table, summarise
from shared_utils.cli import (
    add_shared_flags,
    non_negative_float,
    open_run,
    parse_args,
    positive_int,
    start,
)
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.plotting import show_figures
from shared_utils.runs.folder import RunFolder

HERE = Path(__file__).resolve().parent
QUICK = {"limit": 6000}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    rates = ", ".join(f"{lr} for {arm}" for arm, lr in LEARNING_RATES.items())
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=20,
        batch_size=128,
        lr=(None, rates),
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--activations",
        nargs="+",
        choices=list(LEARNING_RATES),
        default=list(LEARNING_RATES),
        help="the networks to compare (default: all three)",
    )
    parser.add_argument(
        "--hidden",
        nargs="+",
        type=positive_int,
        default=[256, 128],
        help="sizes of the hidden layers (default: 256 128)",
    )
    parser.add_argument(
        "--momentum",
        type=non_negative_float,
        default=0.9,
        help="share of the last step that goes on, below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count(),
        help="threads of the matrix products; changes the last digits only (default: %(default)s)",
    )
    parser.add_argument(
        "--weight-decay",
        type=non_negative_float,
        default=5e-5,
        help="pull of every weight towards zero (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every arm with every seed, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    args.activations = list(dict.fromkeys(args.activations))
    if args.momentum >= 1:
        parser.error("argument --momentum: must be below 1, or the steps never end")
    from threadpoolctl import threadpool_limits

    data = load_image_data(args.dataset, args.data_dir, args.limit)
    with open_run(args, "train", data.describe()) as run, threadpool_limits(args.threads):
        return compare(args, data, run)


def compare(args: argparse.Namespace, data: ImageData, run: RunFolder) -> dict:
    """Do what `main` says, in the run's folder."""
    fits = []
    for arm in args.activations:
        for seed in range(args.seed, args.seed + args.seeds):
            try:
                fits.append(train_arm(arm, seed, data, args, run))
            except FloatingPointError as error:
                print(f"{arm}, seed {seed}: {error}: this arm is stopped; try a smaller --lr")
    if not fits:
        raise UserError("every arm diverged: try a smaller --lr")

    for fit in fits:  # the choices are made: the test set, once
        fit.probs = fit.model.forward(flat(data.x_test))
    summary = summarise(fits, data, args)
    run.write_json("summary.json", summary)
    print_table(summary)

    draw_all(run.path, fits, data)
    print(f"\nweights, metrics and figures: {run.path}")
    show_figures(args.no_show)
    return summary


if __name__ == "__main__":
    start(main)
