"""Train one network with each augmentation alone, with all, and with all but one; compare.

All start from the same weights and see the same images in the same order, changed or not; all are
tested on the same unchanged images. Writes <runs-dir>/augmentation/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section4_transfer.engine import flags
from shared_utils.cli import start

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.05,
    "model": "resnet20",
    "resize": 16,
    "dataset": "photo-digits",
    "limit": 500,
}
LEARNING_RATES = {"resnet18": 0.01, "resnet20": 0.1}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    lrs = ", ".join(f"{lr} for {model}" for model, lr in LEARNING_RATES.items())
    flags.add_study_flags(parser, HERE / "runs", epochs=5, batch_size=64, lr=(None, lrs))
    flags.add_resize_flag(parser, 224)
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=flags.fraction,
        default=[1.0],
        help="parts of the training images to learn from (default: 1)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="SET",
        help='none, the name of an augmentation, all, or "all but <name>": choose by validation'
        " accuracy, and then with other seeds (default: each of them)",
    )
    parser.add_argument(
        "--model",
        choices=list(LEARNING_RATES),
        default="resnet18",
        help="resnet18: torchvision's; resnet20: He et al.'s for CIFAR (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every network on every fraction, test each once, write all, return the summary."""
    parser = build_parser()
    args = flags.parse_study_args(parser, argv, QUICK)
    args.fractions = sorted(set(args.fractions))

    # PyTorch takes seconds to import: only now.
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.models import check_size
    from section4_transfer.study.augmentation import MODELS, AugmentationStudy, choose_sets

    check_size(MODELS[args.model](2), args.resize)
    try:
        sets = choose_sets(args.only)
    except ValueError as error:
        parser.error(f"argument --only: {error}")
    recipe = flags.recipe_from(vars(args), lr=args.lr or LEARNING_RATES[args.model])
    with init_runtime(args.device, args.precision, args.threads) as runtime:
        recipe.check(runtime.world)
        with runtime.main_first():
            data = flags.load_images(args, args.resize)
            fractions = {fraction: data.fraction(fraction) for fraction in args.fractions}
        with flags.open_study(args, "augmentation", data, runtime) as folder:
            study = AugmentationStudy(
                *(data, runtime, recipe, range(args.seed, args.seed + args.seeds), folder),
                model=args.model,
                size=args.resize,
                fractions=fractions,
                sets=sets,
            )
            return study.run(args.no_show)


if __name__ == "__main__":
    start(main)
