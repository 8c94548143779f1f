"""Play with a trained CNN: one page on which you draw a digit and see every layer at work.

Writes <runs-dir>/playground/playground.html. It holds the network, trained and before training, and
asks for nothing else: open it in any browser, send it to anybody.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.model import IMAGE_SHAPE, build_cnn
from section3_cnn.study.playground_page import render
from section3_cnn.study.saved import load_model
from shared_utils.cli import add_shared_flags, folder_path, open_run, parse_args, start
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.seed import stream
from shared_utils.weights_about import About, read_about

HERE = Path(__file__).resolve().parent
QUICK = {}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs")
    parser.add_argument(
        "--ckpt",
        type=folder_path,
        default=HERE / "runs" / "mnist_numpy" / "best.pkl",
        help="weights that train_mnist_numpy.py wrote (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Load the network, build it again as it was before training, write the page."""
    args = parse_args(build_parser(), argv, QUICK)
    trained, content = load_model(args.ckpt)
    about = read_about(args.ckpt, content, len(trained.layers[-1].params["b"]))
    if trained.image_shape != IMAGE_SHAPE:
        raise UserError(
            f"{args.ckpt} knows images of {'x'.join(map(str, trained.image_shape[1:]))} pixels:"
            f" the page draws digits of {'x'.join(map(str, IMAGE_SHAPE[1:]))} only"
        )
    untrained = build_cnn(rng=stream(about.seed, "init"), **trained.config)
    untrained.eval()
    page = render(trained, untrained, about.classes, describe(trained.config, about))
    data = {"name": about.dataset, "sha256": content.get("sha256")}
    with open_run(args, "playground", data) as run:
        path = run.path / "playground.html"
        write_atomically(path, page.encode())
        summary = {"data": data["name"], "checkpoint": args.ckpt, "about": content}
        summary |= {"page": path.name, "page_bytes": path.stat().st_size}
        run.write_json("summary.json", summary)
        print(f"open this page in a browser: {path}")
        return summary


def describe(config: dict, about: About) -> str:
    """Return the sentence at the top of the page."""
    return (
        f"The {config['arch']} CNN with {config['pool']} pooling, trained on {about.title},"
        f" validation accuracy {about.val_acc:.2%}."
    )


if __name__ == "__main__":
    start(main)
