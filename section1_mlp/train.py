"""Train one MLP for each activation on handwritten digits, on the same batches, and compare them.

Each network is kept from the epoch with the best validation accuracy and is evaluated once on the
test set, at the end. Writes <runs-dir>/train/: weights, metrics, summary and figures.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.speed.threads import start_threads
from section1_mlp.study.comparison import LEARNING_RATES, Settings, train_all
from section1_mlp.study.plots import draw_all
from section1_mlp.study.verdicts import summarize_all
from section1_mlp.training import flat
from shared_utils.cli import (
    add_shared_flags,
    open_run,
    parse_args,
    positive_int,
    start,
    value_of_each,
)
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.plotting import show_figures
from shared_utils.runs.outcomes import table

HERE = Path(__file__).resolve().parent
QUICK = {"limit": 6000}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=20,
        batch_size=128,
        lr=LEARNING_RATES,
        momentum=0.9,
        weight_decay=5e-5,
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
        threads=os.cpu_count(),
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
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every network with every seed, test each once, write it all, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    own = {activation: LEARNING_RATES[activation] for activation in args.activations}
    lrs = value_of_each(parser, "--lr", args.lr, own)
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    settings = Settings(
        args.hidden, args.epochs, args.batch_size, lrs, args.momentum, args.weight_decay
    )
    seeds = range(args.seed, args.seed + args.seeds)
    with open_run(args, "train", data.describe()) as run, start_threads(args.threads) as threads:
        outcomes = train_all(seeds, data, settings, run, threads)
        for outcome in outcomes:  # the choices are made: the test set, once
            outcome.test(outcome.model.forward(flat(data.x_test)), data.y_test)
        summary = summarize_all(outcomes, data)
        run.write_json("summary.json", summary)
        print("\n".join(["", table(summary["runs"], "activation"), "", *summary["conclusions"]]))
        draw_all(run.path, outcomes, data)
        print(f"\nweights, metrics and figures: {run.path}")
        show_figures(args.no_show)
        return summary


if __name__ == "__main__":
    start(main)
