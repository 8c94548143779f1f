"""Train residual networks and their plain twins on the same images, and look at their gradients.

The twins of a depth start from the same weights and see the same batches; they differ in the
shortcuts alone. Writes <runs-dir>/resnet_vs_plain/: weights, metrics, summary and figures.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section4_transfer.engine import flags
from shared_utils.cli import positive_int, start

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 4,
    "lr": 0.05,
    "depth": [8, 14],
    "dataset": "photo-digits",
    "limit": 900,
}
PUBLISHED = flags.PUBLISHED | {"batch_size": 128, "lr": 0.1}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    flags.add_study_flags(
        parser, HERE / "runs", epochs=10, batch_size=32, lr=0.1, published=PUBLISHED
    )
    parser.add_argument(
        "--depth",
        nargs="+",
        type=positive_int,
        default=[20],
        help="layers, 6n + 2; in the paper 20 32 44 56 110 (default: 20)",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=["resnet", "plain"],
        default=["resnet", "plain"],
        help="networks with shortcuts, without, or both (default: both)",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        default=32,
        help="side of the images that a folder's become, in pixels (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train the twins of every depth, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = flags.parse_study_args(parser, argv, QUICK, PUBLISHED)
    args.depth = sorted(set(args.depth))
    args.kinds = sorted(set(args.kinds), reverse=True)  # resnet first

    # PyTorch takes seconds to import: only now.
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.models import CifarNet, check_size
    from section4_transfer.study.depth import DepthStudy

    try:
        for depth in args.depth:
            check_size(CifarNet(depth), args.size, "--size")
    except ValueError as error:
        parser.error(str(error))
    recipe, seeds = flags.recipe_from(vars(args)), range(args.seed, args.seed + args.seeds)
    with init_runtime(args.device, args.precision, args.threads) as runtime:
        recipe.check(runtime.world)
        with runtime.main_first():
            data = flags.load_images(args, args.size)
        with flags.open_study(args, "resnet_vs_plain", data, runtime) as folder:
            study = DepthStudy(
                *(data, runtime, recipe, seeds, folder), depths=args.depth, kinds=args.kinds
            )
            return study.run(args.no_show)


if __name__ == "__main__":
    start(main)
