"""Show a trained network your own pictures.

Each picture becomes what the network was trained on: the square in its middle, upright, transparent
parts white, scaled and standardised. Writes <runs-dir>/predict/: the answers, and a figure of what
the network saw.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from shared_utils.cli import folder_path, start
from shared_utils.errors import UserError
from shared_utils.predictions import Answer, Classifier, add_picture_flags, answer_flags

HERE = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_flags(parser, HERE / "runs")
    parser.add_argument(
        "--run",
        type=folder_path,
        help="run folder that holds the network (default: the last one in <runs-dir>)",
    )
    parser.add_argument(
        "--arm",
        help="the network: the name of its .pt file or in the study's tables, such as resnet-20 or"
        " fine-tuned (default: the best in validation accuracy)",
    )
    return parser


def main(argv: list[str] | None = None) -> list[Answer]:
    """Load the network, answer every picture, return the answers."""
    args = build_parser().parse_args(argv)

    # PyTorch takes seconds to import: only now.
    from section4_transfer.study.saved import choose_network, last_run

    network = choose_network(args.run or last_run(args.runs_dir), args.arm)
    return answer_flags(args, load_classifier(network))


def load_classifier(network: Path) -> Classifier:
    """Return the network that a JSON in a run folder describes."""
    import torch

    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.study.saved import load_network
    from section4_transfer.training import predict
    from shared_utils.datasets.decode import DamagedImageError, decode

    model, pipeline, about, precision = load_network(network)
    size = about.image_size[0]

    def see(path: Path):
        try:
            return decode(path, size)
        except DamagedImageError as error:
            raise UserError(f"{path} {error}") from error

    def classify(x):
        with init_runtime("auto", precision) as runtime:
            logits = predict(model, torch.from_numpy(x[None].copy()), pipeline, runtime)
        return logits[0].softmax(0).numpy()

    return Classifier(network.with_suffix(".pt"), about.title, about.classes, see, classify)


if __name__ == "__main__":
    start(main)
