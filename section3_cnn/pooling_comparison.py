"""Max pooling against average pooling: the same weights at the start, the same batches.

Each network is kept from the epoch with the best validation accuracy and is evaluated on the test
set at the end, as it is and shifted by 1 to 4 pixels. Writes <runs-dir>/pooling_compare/: curves
for each, accuracy against shift, metrics and computed verdicts.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.model import ARCHS, POOLS, build_cnn
from section3_cnn.speed import Workers
from section3_cnn.speed.data_parallel import add_threads_flag
from section3_cnn.study.experiment import train_all
from section3_cnn.study.plots import draw_curves, draw_shifts
from section3_cnn.study.shifts import SHIFTS, accuracy_by_shift, conclude
from section3_cnn.training import Settings, steps_per_epoch
from shared_utils.cli import add_shared_flags, open_run, parse_args, start
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.errors import UserError
from shared_utils.plotting import show_figures
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.runs.outcomes import Outcome, by_name, summarize, table
from shared_utils.seed import stream
from shared_utils.stats import mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 6, "limit": 2000, "batch_size": 32, "seeds": 1}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=3,
        batch_size=64,
        lr=(0.01, "%(default)s, of the first step; onecycle follows: see train_mnist_numpy.py"),
        seeds=3,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--arch", choices=ARCHS, default="small", help="the network (default: %(default)s)"
    )
    add_threads_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train with both pools and every seed, test each, write all outputs, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    settings = Settings(args.epochs, args.batch_size, args.lr)
    networks = [
        (pool, seed, build_cnn(args.arch, pool, rng=stream(seed, "init")))
        for seed in range(args.seed, args.seed + args.seeds)
        for pool in POOLS
    ]
    with (
        open_run(args, "pooling_compare", data.describe()) as run,
        Workers(networks[0][2], args.threads) as workers,
    ):
        pairs = in_pairs(train_all(networks, data, settings, run, workers))
        for outcome in pairs["max"] + pairs["avg"]:  # the choices are made: the test set, once
            outcome.test(workers.predict(outcome.model, data.x_test), data.y_test)
        shifted = {
            pool: [accuracy_by_shift(outcome, data, workers.predict) for outcome in outcomes]
            for pool, outcomes in pairs.items()
        }
        steps = args.epochs * steps_per_epoch(len(data.y_train), args.batch_size)
        runs = summarize_pools(pairs, shifted, steps)
        lines = [*conclude(shifted), compare_speed(runs)]
        memory = {"peak_memory_mib": peak_memory_mib()}
        summary = {"data": data.name, **memory, "runs": runs, "conclusions": lines}
        run.write_json("summary.json", summary)
        print("\n" + "\n".join([table(runs, "pool"), "", *lines]))

        for pool, outcomes in pairs.items():
            title = f"{args.arch} CNN, {pool} pooling, {data.title}"
            draw_curves(run.path, outcomes, title, prefix=f"{pool}_")
        draw_shifts(run.path / "shift_robustness.png", shifted, data.title)
        print(f"\nmetrics and figures: {run.path}")
        show_figures(args.no_show)
        return summary


def in_pairs(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each pool, of the seeds that were trained with both."""
    groups = by_name(outcomes)
    seeds = [{outcome.seed for outcome in groups.get(pool, [])} for pool in POOLS]
    both = set.intersection(*seeds)
    if not both:
        raise UserError("every pair diverged: try a smaller --lr")
    return {pool: [one for one in groups[pool] if one.seed in both] for pool in POOLS}


def summarize_pools(pairs: dict[str, list[Outcome]], shifted: dict, steps: int) -> dict[str, dict]:
    """Return each pool's results, for its first seed and over the seeds; `steps` of a training."""
    runs = {}
    for pool, outcomes in pairs.items():
        seconds = np.median([outcome.history.seconds for outcome in outcomes])
        runs[pool] = summarize(outcomes) | {
            "ms_per_step": float(seconds) / steps * 1e3,
            "test_acc_by_shift": {
                pixels: mean_std([accuracies[place] for accuracies in shifted[pool]])
                for place, pixels in enumerate(SHIFTS)
            },
        }
    return runs


def compare_speed(runs: dict[str, dict]) -> str:
    """Return one sentence on the time of a step."""
    ratio = runs["max"]["ms_per_step"] / runs["avg"]["ms_per_step"]
    return f"a step with max pooling takes {ratio:.2f} times as long as one with average"


if __name__ == "__main__":
    start(main)
