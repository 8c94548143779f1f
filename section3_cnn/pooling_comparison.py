"""Max pooling against average pooling: the same weights at the start, the same batches.

Each network is kept from the epoch with the best validation accuracy and meets the test set at the
end, as it is and shifted by 1 to 4 pixels. Writes <runs-dir>/pooling_compare/: curves for each and
together, robustness to shifts, metrics and a computed verdict.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.fit import Fit, add_threads_flag, fit_network
from section3_cnn.model import ARCHS, POOLS, build_cnn
from section3_cnn.training import steps_per_epoch
from shared_utils.cli import add_shared_flags, open_run, parse_args, start
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.seed import stream
from shared_utils.stats import accuracy_ci95, mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 6, "limit": 2000, "batch_size": 32, "seeds": 1}
SHIFTS = (0, 1, 2, 3, 4)  # pixels
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # down, up, right, left


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=3,
        batch_size=64,
        lr=(0.01, "%(default)s, the rate of the first step of one cycle"),
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
    """Train both arms with every seed, test each once, write all outputs, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    with open_run(args, "pooling_compare", data.describe()) as run:
        fits = {pool: [] for pool in POOLS}
        for seed in range(args.seed, args.seed + args.seeds):
            try:
                pair = [train(pool, seed, data, args, run) for pool in POOLS]
            except FloatingPointError as error:
                print(f"seed {seed}: {error}: this pair is stopped; try a smaller --lr")
                continue
            for fit in pair:
                fits[fit.arm].append(fit)
        if not fits["max"]:
            raise UserError("every pair diverged: try a smaller --lr")

        for fit in fits["max"] + fits["avg"]:  # the choices are made: the test set, once
            fit.test(data)
        shifted = {pool: [shift_accuracy(fit, data) for fit in fits[pool]] for pool in POOLS}
        summary = summarise(fits, shifted, data, args)
        run.write_json("summary.json", summary)
        print_table(summary)

        from section3_cnn import plots  # only now: Matplotlib takes a second to import

        for pool in POOLS:
            title = f"{args.arch} CNN, {pool} pooling, {data.title}"
            plots.draw_curves(run.path, fits[pool], title, prefix=f"{pool}_")
        plots.draw_comparison(run.path, fits, f"Pooling compared, {data.title}")
        plots.draw_shifts(run.path / "shift_robustness.png", SHIFTS, shifted, data.title)
        print(f"\nmetrics and figures: {run.path}")
        plots.show_figures(args.no_show)
        return summary


def train(pool: str, seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder) -> Fit:
    """Train one network with a progress bar; equal seeds mean equal weights and batches."""
    from tqdm import tqdm

    images = args.epochs * len(data.y_train)
    name = f"{pool} pooling, seed {seed}"
    with tqdm(desc=name, total=images, disable=None, unit="img", unit_scale=True) as bar:
        return fit_network(
            pool,
            seed,
            build_cnn(args.arch, pool, rng=stream(seed, "init")),
            data,
            run,
            epochs=args.epochs,
            batch_size=args.batch_size,
            threads=args.threads,
            lr=args.lr,
            schedule="onecycle",
            bar=bar,
        )


def shift_accuracy(fit: Fit, data: ImageData) -> list[float]:
    """Return the test accuracy at every shift, the mean over the four directions."""
    accuracies = [float(fit.right(data).mean())]
    for pixels in SHIFTS[1:]:
        right = 0
        for down, to_the_right in DIRECTIONS:
            moved = shift(data.x_test, pixels * down, pixels * to_the_right)
            right += int(np.sum(fit.predict(moved).argmax(axis=1) == data.y_test))
        accuracies.append(right / (len(data.y_test) * len(DIRECTIONS)))
    return accuracies


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images (N, C, H, W) moved by whole pixels; what comes in from outside is black."""
    border = max(abs(down), abs(right))
    padded = np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))
    height, width = images.shape[2:]
    rows = slice(border - down, border - down + height)
    return padded[:, :, rows, border - right : border - right + width]


def summarise(fits: dict, shifted: dict, data: ImageData, args: argparse.Namespace) -> dict:
    """Return `summary.json`: each arm's results, for its first seed and over the seeds."""
    runs, total = {}, len(data.y_test)
    steps = args.epochs * steps_per_epoch(len(data.y_train), args.batch_size)
    for pool, of_arm in fits.items():
        first = of_arm[0]
        correct = [int(fit.right(data).sum()) for fit in of_arm]
        runs[pool] = {
            "val_acc": first.val_acc,
            "test_acc": correct[0] / total,
            "test_ci95": accuracy_ci95(correct[0], total),
            "best_epoch": first.best_epoch,
            "train_seconds": first.train_seconds,
            "images_per_second": args.epochs * len(data.y_train) / first.train_seconds,
            "ms_per_step": float(np.median([fit.train_seconds for fit in of_arm])) / steps * 1e3,
            "over_seeds": {
                "val_acc": mean_std([fit.val_acc for fit in of_arm]),
                "test_acc": mean_std([count / total for count in correct]),
            },
            "test_acc_by_shift": {
                pixels: mean_std([accuracies[place] for accuracies in shifted[pool]])
                for place, pixels in enumerate(SHIFTS)
            },
        }
    return {
        "data": data.name,
        "peak_memory_mib": peak_memory_mib(),
        "runs": runs,
        "conclusions": conclude(shifted, runs),
    }


def conclude(shifted: dict, runs: dict) -> list[str]:
    """Return sentences: max minus average, at every shift, against the spread over seeds."""
    points = 100 * (np.array(shifted["max"]) - np.array(shifted["avg"]))  # (seeds, shifts)
    lines = []
    for pixels, column in zip(SHIFTS, points.T, strict=True):
        place = f"shifted by {pixels} pixels" if pixels else "as it is"
        line = f"test set {place}, max minus average: {column.mean():+.2f} points"
        if len(column) > 1:
            spread = column.std(ddof=1)
            better = "max" if column.mean() > 0 else "average"
            clear = abs(column.mean()) > 2 * spread
            verdict = (
                f"{better} pooling is better" if clear else "within twice the spread over seeds"
            )
            line += f" (spread {spread:.2f}, {len(column)} seeds): {verdict}"
        else:
            line += " (one seed: no spread to compare with; try --seeds 3)"
        lines.append(line)
    ratio = runs["max"]["ms_per_step"] / runs["avg"]["ms_per_step"]
    lines.append(f"a step with max pooling takes {ratio:.2f} times as long as one with average")
    return lines


def print_table(summary: dict) -> None:
    """Print one line an arm, and the conclusions."""
    print(
        f"\n{'pool':<6}{'epoch':>6}{'val acc':>9}{'test acc':>10}  {'over seeds':<20}{'ms/step':>8}"
    )
    for pool, result in summary["runs"].items():
        over = result["over_seeds"]["test_acc"]
        spread = f"{over['mean']:.2%} +- {over['std']:.2%}" if over["n"] > 1 else "(one seed)"
        print(
            f"{pool:<6}{result['best_epoch']:>6}{result['val_acc']:>9.2%}"
            f"{result['test_acc']:>10.2%}  {spread:<20}{result['ms_per_step']:>8.2f}"
        )
    print("\n" + "\n".join(summary["conclusions"]))


if __name__ == "__main__":
    start(main)
