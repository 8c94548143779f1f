"""Train a convolutional network, written in NumPy alone, on handwritten digits.

The network is kept from the epoch with the best validation accuracy and is evaluated once on the
test set, at the end. Writes <runs-dir>/mnist_numpy/: best.pkl, curves, metrics and summary.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.augment import shift_and_rotate
from section3_cnn.model import build_cnn
from section3_cnn.optimizer import PEAK, RISE, SCHEDULES
from section3_cnn.speed import Workers
from section3_cnn.speed.data_parallel import add_threads_flag
from section3_cnn.study.experiment import sizes_of, train_all
from section3_cnn.study.flags import add_network_flags, add_training_flags
from section3_cnn.study.plots import draw_curves
from section3_cnn.study.saved import save_model
from section3_cnn.training import Settings
from shared_utils.cli import open_run, parse_args, start
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.plotting import show_figures
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.runs.outcomes import Outcome, summarize
from shared_utils.seed import stream
from shared_utils.stats import mean_std
from shared_utils.weights_about import describe_weights

HERE = Path(__file__).resolve().parent
EPOCHS = {"small": 5, "deep": 8}
QUICK = {"epochs": 12, "limit": 2000, "batch_size": 32}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_training_flags(
        parser,
        HERE / "runs",
        epochs=(None, ", ".join(f"{n} for {arch}" for arch, n in EPOCHS.items())),
        seeds=1,
        schedule="--schedule says what follows",
        momentum=0.9,
        weight_decay=5e-4,
    )
    add_network_flags(parser)
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="onecycle",
        help="constant: --lr throughout; cosine: from --lr down to 0; onecycle: from --lr up to "
        f"{PEAK:g} times --lr over the first {100 * RISE:.0f} %% of the steps, then down to 0 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--augment",
        action="store_true",
        help="move and turn the training images a little, at random (default: off)",
    )
    add_threads_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train with every seed, test each once, write all outputs, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    args.epochs = args.epochs or EPOCHS[args.arch]
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    chosen = ("epochs", "batch_size", "lr", "schedule", "momentum", "weight_decay")
    settings = Settings(
        **{name: getattr(args, name) for name in chosen},
        augment=shift_and_rotate if args.augment else None,
    )
    sizes = sizes_of(data)
    networks = [
        (args.arch, seed, build_cnn(args.arch, args.pool, **sizes, rng=stream(seed, "init")))
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    with (
        open_run(args, "mnist_numpy", data.describe()) as run,
        Workers(networks[0][2], args.threads) as workers,
    ):
        outcomes = train_all(networks, data, settings, run, workers)
        about = describe_weights(data, outcomes[0])
        save_model(run.path / "best.pkl", outcomes[0].model, about)
        for outcome in outcomes:  # the choices are made: the test set, once
            outcome.test(workers.predict(outcome.model, data.x_test), data.y_test)
        summary = summarize_all(outcomes, data)
        run.write_json("summary.json", summary)
        print_result(summary["runs"][args.arch])

        augmented = ", augmented" if args.augment else ""
        title = f"{args.arch} CNN, {args.pool} pooling, {data.title}{augmented}"
        draw_curves(run.path, outcomes, title)
        print(f"\nweights, metrics and figures: {run.path}")
        show_figures(args.no_show)
        return summary


def summarize_all(outcomes: list[Outcome], data: ImageData) -> dict:
    """Return `summary.json`: the first seed's results, and those over the seeds."""
    result = summarize(outcomes)
    seconds = [outcome.history.seconds for outcome in outcomes]
    result["over_seeds"]["train_seconds"] = mean_std(seconds)
    result["parameters"] = sum(param.size for param in outcomes[0].model.params.values())
    runs = {outcomes[0].name: result}
    return {"data": data.name, "peak_memory_mib": peak_memory_mib(), "runs": runs}


def print_result(result: dict) -> None:
    """Print the closing lines."""
    low, high = result["test_ci95"]
    print(f"\n{result['parameters']:,} parameters, {result['images_per_second']:,.0f} images/s")
    print(f"best epoch {result['best_epoch']}, validation accuracy {result['val_acc']:.2%}")
    print(f"test accuracy {result['test_acc']:.2%} (95 % interval {low:.2%} - {high:.2%})")
    over = result["over_seeds"]["test_acc"]
    if over["n"] > 1:
        print(f"over {over['n']} seeds: {over['mean']:.2%} +- {over['std']:.2%}")


if __name__ == "__main__":
    start(main)
