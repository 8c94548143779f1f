"""Show a trained MLP your own pictures of digits.

Each picture is made into a digit like those that the network was trained on: ink is separated from
paper, the digit cut out, scaled and centred. Writes <runs-dir>/predict/: the answers, and a figure
of what the network saw.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.study.saved import best_weights, load_model
from section1_mlp.training import flat
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
        "--weights",
        type=folder_path,
        help="weights that train.py wrote (default: the best of <runs-dir>/train)",
    )
    return parser


def main(argv: list[str] | None = None) -> list[Answer]:
    """Load the network, answer every picture, return the answers."""
    args = build_parser().parse_args(argv)
    classifier = load_classifier(args.weights or best_weights(args.runs_dir / "train"))
    return answer_flags(args, classifier)


def load_classifier(weights: Path) -> Classifier:
    """Return the network of a file of weights. Raises UserError when it is not one of digits."""
    # SciPy takes a moment to import: only now.
    from shared_utils.datasets.photographed_digit import read_input

    model, about = load_model(weights)
    about = read_about(weights, about, model.layer_sizes[-1])
    height, width = about.image_size
    if model.output != "softmax" or model.layer_sizes[0] != height * width:
        raise UserError(f"{weights} does not hold a classifier of images: train again")
    return Classifier(
        weights,
        about.title,
        about.classes,
        lambda path: read_input(path, about.dataset, about.image_size),
        lambda x: model.forward(flat(x[None]))[0],
    )


if __name__ == "__main__":
    start(main)
