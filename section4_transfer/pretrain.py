"""Make pretrained weights of any labelled images, for `transfer_learning.py --weights`.

ResNet-18 learns the classes of the images; validation chooses the epoch. Writes
<runs-dir>/pretrain/resnet18.pt and, beside it, resnet18.json: the class names, how images are
standardised, their size and the accuracy.
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
    "batch_size": 32,
    "resize": 32,
    "dataset": "photo-digits",
    "limit": 600,
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    flags.add_study_flags(parser, HERE / "runs", epochs=20, batch_size=128, lr=0.05)
    flags.add_resize_flag(parser, 64)
    parser.add_argument(
        "--size",
        type=positive_int,
        help="side of the images that a folder's become, before --resize (default: --resize)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train, test once, write the weights and what they are, return the summary."""
    args = flags.parse_study_args(build_parser(), argv, QUICK)

    # PyTorch takes seconds to import: only now.
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.models import check_size, resnet18
    from section4_transfer.study.pretraining import Pretraining

    check_size(resnet18(2), args.resize)
    recipe = flags.recipe_from(vars(args))
    with init_runtime(args.device, args.precision, args.threads) as runtime:
        recipe.check(runtime.world)
        with runtime.main_first():
            data = flags.load_images(args, args.size or args.resize)
        with flags.open_study(args, "pretrain", data, runtime) as folder:
            seeds = range(args.seed, args.seed + args.seeds)
            study = Pretraining(data, runtime, recipe, seeds, folder, size=args.resize)
            return study.run(args.no_show)


if __name__ == "__main__":
    start(main)
