"""Evaluate saved networks on the test set: accuracy with its interval, and class by class.

Reads the weights that train.py saved (or one file, --ckpt) and the data that they were trained on.
Writes <runs-dir>/test/: summary and confusion matrices.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.model import MLP
from section1_mlp.study.plots import draw_confusion
from section1_mlp.study.saved import load_model
from section1_mlp.training import flat
from shared_utils.cli import (
    DIGIT_DATASETS,
    add_shared_flags,
    folder_path,
    open_run,
    parse_args,
    positive_int,
    start,
)
from shared_utils.datasets.gray_images import ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.plotting import save_figure, show_figures
from shared_utils.stats import accuracy_ci95

HERE = Path(__file__).resolve().parent
QUICK = {"images": 1000}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        dataset=(None, "the one that the network was trained on"),
    )
    parser.add_argument(
        "--ckpt",
        type=folder_path,
        help="one file of weights (default: all of <runs-dir>/train/)",
    )
    parser.add_argument(
        "--images", type=positive_int, help="only the first so many test images (default: all)"
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Test every network that was found, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    paths = [args.ckpt] if args.ckpt else sorted((args.runs_dir / "train").glob("*.pkl"))
    if not paths:
        raise UserError(f"nothing is trained in {args.runs_dir / 'train'}: run train.py first")
    networks = {path.stem: load_model(path) for path in paths}
    trained_on = {str(about.get("dataset")) for _, about in networks.values()}
    if not trained_on <= set(DIGIT_DATASETS):
        raise UserError(
            f"networks trained on {sorted(trained_on)}, which is not a data set of digits"
        )
    if args.dataset is None and len(trained_on) > 1:
        raise UserError(f"the networks were trained on {sorted(trained_on)}: choose a --dataset")
    data = load_image_data(args.dataset or trained_on.pop(), args.data_dir)
    data = replace(data, x_test=data.x_test[: args.images], y_test=data.y_test[: args.images])
    for path, (model, _) in zip(paths, networks.values(), strict=True):
        ends = model.layer_sizes[0], model.layer_sizes[-1], model.output
        pixels, classes = flat(data.x_test).shape[1], len(data.classes)
        if ends != (pixels, classes, "softmax"):
            raise UserError(
                f"{path} is a network {name_of(model)}, which does not tell {classes} classes of"
                f" {pixels} pixels apart"
            )

    with open_run(args, "test", data.describe()) as run:
        probs = {name: model.forward(flat(data.x_test)) for name, (model, _) in networks.items()}
        summary = {"data": data.name, "runs": {}}
        for name, p in probs.items():
            print(f"\n{name}: {name_of(networks[name][0])}, {data.title}")
            summary["runs"][name] = report(p.argmax(axis=1), data)
        run.write_json("summary.json", summary)
        save_figure(draw_confusion(probs, data), run.path / "confusion.png")
        print(f"\nsummary and confusion matrices: {run.path}")
        show_figures(args.no_show)
        return summary


def report(predicted: np.ndarray, data: ImageData) -> dict:
    """Print and return accuracy with its interval, and each class's precision and recall."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    classes = range(len(data.classes))
    correct, total = int(np.sum(predicted == data.y_test)), len(data.y_test)
    low, high = accuracy_ci95(correct, total)
    print(f"accuracy {correct / total:.2%} ({correct:,} of {total:,}), 95 % interval ", end="")
    print(f"{low:.2%} - {high:.2%}")
    precision, recall, _, support = precision_recall_fscore_support(
        data.y_test, predicted, labels=classes, zero_division=0
    )
    print(f"{'class':>5}{'precision':>11}{'recall':>9}{'images':>8}")
    for k, name in enumerate(data.classes):
        print(f"{name:>5}{precision[k]:>11.2%}{recall[k]:>9.2%}{support[k]:>8,}")
    return {
        "test_acc": correct / total,
        "test_ci95": (low, high),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "confusion": confusion_matrix(data.y_test, predicted, labels=classes).tolist(),
    }


def name_of(model: MLP) -> str:
    """Return a network's shape in words, such as "784-256-128-10, relu"."""
    return f"{'-'.join(map(str, model.layer_sizes))}, {model.activation}"


if __name__ == "__main__":
    start(main)
