"""Show a trained CNN your own pictures of digits.

Each picture is made into a digit like those that the network was trained on: ink is separated from
paper, the digit cut out, scaled and centred. To a network that was trained on --dataset idx it is
shown in grey, scaled to fill its image. Writes <runs-dir>/predict/: the answers, and a figure of
what the network saw (of the first ten).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.study.saved import load_model
from section3_cnn.training import predict
from shared_utils.cli import folder_path, start
from shared_utils.errors import UserError
from shared_utils.predictions import Answer, Classifier, add_picture_flags, answer_flags
from shared_utils.weights_about import read_about

HERE = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_flags(parser, HERE / "runs")
    parser.add_argument(
        "--ckpt",
        type=folder_path,
        help="weights that train_mnist_numpy.py wrote (default: <runs-dir>/mnist_numpy/best.pkl)",
    )
    return parser


def main(argv: list[str] | None = None) -> list[Answer]:
    """Load the network, answer every picture, return the answers."""
    args = build_parser().parse_args(argv)
    classifier = load_classifier(args.ckpt or args.runs_dir / "mnist_numpy" / "best.pkl")
    return answer_flags(args, classifier)


def load_classifier(weights: Path) -> Classifier:
    """Return the network of a file of weights. Raises UserError when it does not say what it is."""
    # SciPy takes a moment to import: only now.
    from shared_utils.datasets.photographed_digit import read_input

    model, about = load_model(weights)
    about = read_about(weights, about, len(model.layers[-1].params["b"]))
    if about.image_size != model.image_shape[1:]:
        raise UserError(f"{weights} was trained on images of another size: train again")

    def classify(x: np.ndarray) -> np.ndarray:
        logits = predict(model, x[None])[0]
        exponentials = np.exp(logits - logits.max())
        return exponentials / exponentials.sum()

    return Classifier(
        weights,
        about.title,
        about.classes,
        lambda path: read_input(path, about.dataset, about.image_size),
        classify,
    )


if __name__ == "__main__":
    start(main)
