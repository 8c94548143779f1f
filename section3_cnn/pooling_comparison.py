"""What convolutions and pools are good for: an MLP, convolutions without pools, average and max.

All four have the same fully connected layers, and see the same batches. Each is kept from the epoch
with the best validation accuracy and is evaluated on the test set at the end, as it is and shifted
by 1 to 4 pixels. Writes <runs-dir>/pooling_compare/: validation curves, accuracy against shift,
metrics and computed verdicts.
"""

import argparse
import sys
from itertools import chain
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.speed import Workers
from section3_cnn.speed.data_parallel import add_threads_flag, count_numbers
from section3_cnn.study.experiment import sizes_of, train_all
from section3_cnn.study.flags import add_training_flags
from section3_cnn.study.plots import draw_shifts, draw_validation
from section3_cnn.study.shifts import NETWORKS, SHIFTS, accuracy_by_shift
from section3_cnn.study.verdicts import compare_speed, conclude
from section3_cnn.training import Settings, steps_per_epoch
from shared_utils.cli import open_run, parse_args, start
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
    add_training_flags(parser, HERE / "runs", epochs=3, seeds=5)
    add_threads_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every network with every seed, test each, write all outputs, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    settings = Settings(args.epochs, args.batch_size, args.lr)
    sizes = sizes_of(data)
    networks = [
        (name, seed, build(**sizes, rng=stream(seed, "init")))
        for seed in range(args.seed, args.seed + args.seeds)
        for name, build in NETWORKS.items()
    ]
    largest = max((model for _, _, model in networks), key=lambda net: count_numbers(net.params))
    with (
        open_run(args, "pooling_compare", data.describe()) as run,
        Workers(largest, args.threads) as workers,
    ):
        groups = with_equal_seeds(train_all(networks, data, settings, run, workers))
        for outcome in chain(*groups.values()):  # the choices are made: the test set, once
            outcome.test(workers.predict(outcome.model, data.x_test), data.y_test)
        shifted = {
            name: [accuracy_by_shift(outcome, data, workers.predict) for outcome in outcomes]
            for name, outcomes in groups.items()
        }
        steps = args.epochs * steps_per_epoch(len(data.y_train), args.batch_size)
        runs = summarize_networks(groups, shifted, steps)
        lines = [*conclude(shifted), compare_speed(runs)]
        memory = {"peak_memory_mib": peak_memory_mib()}
        summary = {"data": data.name, **memory, "runs": runs, "conclusions": lines}
        run.write_json("summary.json", summary)
        print("\n" + "\n".join([table(runs), "", *lines]))

        draw_validation(run.path / "curves_acc.png", groups, data.title)
        draw_shifts(run.path / "shift_robustness.png", runs, shifted, data.title)
        print(f"\nmetrics and figures: {run.path}")
        show_figures(args.no_show)
        return summary


def with_equal_seeds(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each network, of the seeds with which all networks were trained."""
    groups = by_name(outcomes)
    seeds = [{outcome.seed for outcome in groups.get(name, [])} for name in NETWORKS]
    common = set.intersection(*seeds)
    if not common:
        raise UserError("no seed trained all networks to the end: try a smaller --lr")
    return {name: [one for one in groups[name] if one.seed in common] for name in NETWORKS}


def summarize_networks(
    groups: dict[str, list[Outcome]], shifted: dict, steps: int
) -> dict[str, dict]:
    """Return each network's results, for its first seed and over the seeds.

    `shifted` has a list of accuracies a seed; `steps` is the number of steps of a training.
    """
    runs = {}
    for name, outcomes in groups.items():
        seconds = np.median([outcome.history.seconds for outcome in outcomes])
        runs[name] = summarize(outcomes) | {
            "parameters": sum(param.size for param in outcomes[0].model.params.values()),
            "ms_per_step": float(seconds) / steps * 1e3,
            "test_acc_by_shift": {
                pixels: mean_std([accuracies[place] for accuracies in shifted[name]])
                for place, pixels in enumerate(SHIFTS)
            },
        }
    return runs


if __name__ == "__main__":
    start(main)
