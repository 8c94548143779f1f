"""Train ResNet-18 from scratch, on frozen pretrained features, and by fine-tuning; compare them.

All learn from the same images, as many as `--labels` says. The pretrained features are ImageNet's
where they can be had, or those of a file (see `pretrain.py`); else the network first learns from
the training images without their labels. Writes <runs-dir>/transfer_learning/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section4_transfer.engine import flags
from shared_utils.cli import positive_int, start, value_of_each

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 4,
    "pretrain_epochs": 4,
    "batch_size": 32,
    "resize": 32,
    "labels": [40, 400],
    "dataset": "photo-digits",
    "limit": 400,
    "weights": "rotation",  # needs no network
}
# With a thousand steps scratch bears more (RESULTS.md), but with a hundred this learns more safely.
LEARNING_RATES = {"scratch": 0.01, "frozen": 0.03, "fine-tuned": 0.05}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    flags.add_study_flags(parser, HERE / "runs", epochs=5, batch_size=64, lr=LEARNING_RATES)
    flags.add_resize_flag(parser, 224)
    parser.add_argument(
        "--labels",
        nargs="+",
        type=positive_int,
        help="numbers of labels to learn from, drawn by the seed; more than there are: all"
        " (default: a hundredth, a tenth, all)",
    )
    parser.add_argument(
        "--small-validation",
        action="store_true",
        help="choose the epoch by no more labels than there are to learn from (default: by all)",
    )
    parser.add_argument(
        "--freeze",
        nargs="+",
        type=int,
        choices=range(1, 6),
        default=[],
        help="also fine-tune with the first K of the five stages of ResNet-18 frozen"
        " (default: none)",
    )
    parser.add_argument(
        "--weights",
        default="auto",
        help="imagenet; rotation: pretrained here without labels; the path of a state dict, such as"
        " pretrain.py's; auto:"
        " imagenet where cached or downloadable, else rotation (default: auto)",
    )
    parser.add_argument(
        "--pretrain-epochs",
        type=positive_int,
        default=10,
        help="epochs of --weights rotation (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train all networks with every number of labels, test each once, return the summary."""
    parser = build_parser()
    args = flags.parse_study_args(parser, argv, QUICK)
    lrs = value_of_each(parser, "--lr", args.lr, LEARNING_RATES)

    # PyTorch takes seconds to import: only now.
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.models import check_size, resnet18
    from section4_transfer.pretrained import load_pretrained
    from section4_transfer.study.labels import label_counts
    from section4_transfer.study.transfer import TransferStudy

    check_size(resnet18(2), args.resize)
    recipe = flags.recipe_from(vars(args), lr=lrs["scratch"])
    with init_runtime(args.device, args.precision, args.threads) as runtime:
        recipe.check(runtime.world)
        with runtime.main_first():
            weights, notice = load_pretrained(args.weights)
            data = flags.load_images(args, args.resize)
            labels = label_counts(args.labels, len(data.y_train), len(data.classes))
        if notice and runtime.is_main:
            print(f"\n*** {notice} ***\n")
        about = weights.describe() if weights else {"weights": "rotation"}
        with flags.open_study(args, "transfer_learning", data, runtime, **about) as folder:
            study = TransferStudy(
                *(data, runtime, recipe, range(args.seed, args.seed + args.seeds), folder),
                size=args.resize,
                labels=labels,
                lrs=lrs,
                weights=weights,
                pretraining=flags.recipe_from(
                    vars(args), epochs=args.pretrain_epochs, lr=lrs["scratch"]
                ),
                freeze=sorted(set(args.freeze)),
                small_validation=args.small_validation,
            )
            return study.run(args.no_show)


if __name__ == "__main__":
    start(main)
