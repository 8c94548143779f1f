"""Train a convolutional network, written in NumPy alone, on handwritten digits.

The network is kept from the epoch with the best validation accuracy and meets the test set once, at
the end. Writes <runs-dir>/mnist_numpy/: best.pkl, curves, metrics and summary.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.augment import shift_and_rotate
from section3_cnn.checkpoint import save_model
from section3_cnn.fit import Fit, add_threads_flag, fit_network
from section3_cnn.model import ARCHS, POOLS, build_cnn
from section3_cnn.optimizer import PEAK, RISE, SCHEDULES
from shared_utils.cli import add_shared_flags, non_negative_float, open_run, parse_args, start
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.seed import stream
from shared_utils.stats import accuracy_ci95, mean_std

HERE = Path(__file__).resolve().parent
EPOCHS = {"small": 5, "deep": 8}
QUICK = {"epochs": 12, "limit": 2000, "batch_size": 32}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=(None, ", ".join(f"{n} for {arch}" for arch, n in EPOCHS.items())),
        batch_size=64,
        lr=(0.01, "%(default)s, the rate of the first step: --schedule says how it goes on"),
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--arch",
        choices=ARCHS,
        default="small",
        help="small: two convolutions; deep: five, with batch norm and dropout "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--pool", choices=list(POOLS), default="max", help="all pools (default: %(default)s)"
    )
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="onecycle",
        help="constant: --lr throughout; cosine: from --lr down to 0; onecycle: from --lr up to "
        f"{PEAK:g} times --lr over the first {100 * RISE:.0f} %% of the steps, then down to 0 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--momentum",
        type=non_negative_float,
        default=0.9,
        help="share of the last step that goes on, below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--weight-decay",
        type=non_negative_float,
        default=5e-4,
        help="pull of every weight towards zero (default: %(default)s)",
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
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    if args.momentum >= 1:
        parser.error("argument --momentum: must be below 1, or the steps never end")
    args.epochs = args.epochs or EPOCHS[args.arch]
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    with open_run(args, "mnist_numpy", data.describe()) as run:
        fits = []
        for seed in range(args.seed, args.seed + args.seeds):
            try:
                fits.append(train(seed, data, args, run))
            except FloatingPointError as error:
                print(f"seed {seed}: {error}: this run is stopped; try a smaller --lr")
        if not fits:
            raise UserError("every run diverged: try a smaller --lr")
        about = {"dataset": data.name, "sha256": data.digest, "epoch": fits[0].best_epoch}
        save_model(run.path / "best.pkl", fits[0].model, about | {"val_acc": fits[0].val_acc})

        for fit in fits:  # the choices are made: the test set, once
            fit.test(data)
        summary = summarise(fits, data, args)
        run.write_json("summary.json", summary)
        print_result(summary["runs"][args.arch])

        from section3_cnn import plots  # only now: Matplotlib takes a second to import

        augmented = ", augmented" if args.augment else ""
        title = f"{args.arch} CNN, {args.pool} pooling, {data.title}{augmented}"
        plots.draw_curves(run.path, fits, title)
        print(f"\nweights, metrics and figures: {run.path}")
        plots.show_figures(args.no_show)
        return summary


def train(seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder) -> Fit:
    """Train one network with a progress bar: loss, images per second, time left."""
    from tqdm import tqdm

    def on_epoch(row: dict) -> None:
        bar.write(
            f"seed {seed}, epoch {row['epoch']}: validation loss {row['val_loss']:.4f}, "
            f"accuracy {row['val_acc']:.2%}"
        )

    images = args.epochs * len(data.y_train)
    draws = stream(seed, "augment")
    with tqdm(desc=f"seed {seed}", total=images, disable=None, unit="img", unit_scale=True) as bar:
        return fit_network(
            args.arch,
            seed,
            build_cnn(args.arch, args.pool, rng=stream(seed, "init")),
            data,
            run,
            epochs=args.epochs,
            batch_size=args.batch_size,
            threads=args.threads,
            lr=args.lr,
            schedule=args.schedule,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
            augment=partial(shift_and_rotate, rng=draws) if args.augment else None,
            rngs=(draws,),
            bar=bar,
            on_epoch=on_epoch,
        )


def summarise(fits: list[Fit], data: ImageData, args: argparse.Namespace) -> dict:
    """Return `summary.json`: the first seed's results, and those over the seeds."""
    first, total = fits[0], len(data.y_test)
    correct = [int(fit.right(data).sum()) for fit in fits]
    result = {
        "val_acc": first.val_acc,
        "test_acc": correct[0] / total,
        "test_ci95": accuracy_ci95(correct[0], total),
        "best_epoch": first.best_epoch,
        "train_seconds": first.train_seconds,
        "images_per_second": len(data.y_train) * args.epochs / first.train_seconds,
        "parameters": sum(param.size for param in first.model.params.values()),
        "over_seeds": {
            "val_acc": mean_std([fit.val_acc for fit in fits]),
            "test_acc": mean_std([count / total for count in correct]),
            "train_seconds": mean_std([fit.train_seconds for fit in fits]),
        },
    }
    return {"data": data.name, "peak_memory_mib": peak_memory_mib(), "runs": {args.arch: result}}


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
