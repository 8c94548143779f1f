"""Train one network with each augmentation alone, with all, and with all but one; compare.

Every arm starts from the same weights and sees the same images in the same order, changed or not;
all are tested on the same unchanged images. Writes <runs-dir>/augmentation/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from torch import Tensor

from section4_transfer.augment import AUGMENTATIONS, Pipeline, augmentations_of
from section4_transfer.augmentation_gains import conclude, find_gains, label
from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first, runtime
from section4_transfer.engine import fit, right_answers
from section4_transfer.keeping import Keeper, study_run
from section4_transfer.models import CifarNet, check_size, initialise, resnet18
from section4_transfer.recipe import add_recipe_flags, passes_for, recipe_of, share
from section4_transfer.results import (
    Outcome,
    by_arm,
    describe_arm,
    epoch_line,
    estimate_line,
    table,
)
from shared_utils.cli import add_shared_flags, parse_args, positive_int, start
from shared_utils.datasets.color_images import IMAGE_DATASETS, TorchData, generator, load_torch_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.05,
    "model": "resnet20",
    "resize": 16,
    "dataset": "photo-digits",
    "limit": 600,
}
MODELS = {"resnet18": resnet18, "resnet20": lambda classes: CifarNet(20, classes)}
LEARNING_RATES = {"resnet18": 0.01, "resnet20": 0.1}
SHORTER = "--model resnet20 --resize 32, --limit 5000, --quick"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        datasets=IMAGE_DATASETS,
        epochs=5,
        batch_size=64,
        lr=(None, "0.1 for resnet20, 0.01 for resnet18"),
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--model",
        choices=list(MODELS),
        default="resnet18",
        help="resnet18: torchvision's; resnet20: He et al.'s for CIFAR (default: %(default)s)",
    )
    parser.add_argument(
        "--resize",
        type=positive_int,
        default=224,
        help="side of the images that the network sees, in pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=share,
        default=[1.0],
        help="shares of the training images to learn from (default: 1)",
    )
    add_recipe_flags(parser)
    return parser


def arms() -> dict[str, list[str]]:
    """Return the names of the augmentations that each arm uses."""
    alone = {name: [name] for name in AUGMENTATIONS}
    but_one = {f"all but {a}": [b for b in AUGMENTATIONS if b != a] for a in AUGMENTATIONS}
    return {"none": [], **alone, "all": list(AUGMENTATIONS), **but_one}


def main(argv: list[str] | None = None) -> dict:
    """Train every arm on every share, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    args.fractions = sorted(set(args.fractions))
    try:
        check_size(MODELS[args.model](2), args.resize)
    except ValueError as error:
        parser.error(f"argument --resize: {error}")
    with runtime(args.device, args.precision) as here:
        recipe_of(args).check(here)
        with main_first(here):
            data = load_torch_data(args.dataset, args.data_dir, args.limit, args.resize, args.quick)
        with study_run(args, "augmentation", data.describe(), here) as run:
            return study(args, data, here, run)


def study(args: argparse.Namespace, data: TorchData, here: Runtime, run: RunFolder | None) -> dict:
    """Run the study in this process; only the main one writes, draws and returns a summary."""
    shares = {fraction: data.fraction(fraction) for fraction in args.fractions}
    outcomes = []
    for fraction, kept in shares.items():
        for arm in arms():
            for seed in range(args.seed, args.seed + args.seeds):
                try:
                    outcomes.append(train(arm, fraction, kept, seed, data, args, here, run))
                except FloatingPointError as error:
                    print(f"{arm}, seed {seed}: {error}: it is stopped here; try a smaller --lr")
    if not outcomes:
        raise UserError("every network diverged: try a smaller --lr")

    pipeline = Pipeline(*data.statistics(), size=args.resize)
    for outcome in outcomes:  # all choices are made: the test set, once
        test = data.x_test, data.y_test
        outcome.correct = right_answers(outcome.model, test, pipeline, here)
    if run is None:
        return {}
    grouped = by_arm(outcomes)
    gains = find_gains(grouped, args.fractions)
    summary = {
        "data": data.name,
        "runs": {arm: describe_arm(of_arm) for arm, of_arm in grouped.items()},
        "gains": gains,
        "conclusions": conclude(grouped, args.fractions),
    }
    run.write_json("summary.json", summary)
    print("\n" + table(summary["runs"]) + "\n\n" + "\n".join(summary["conclusions"]))

    from section4_transfer import plots_augmentation as plots  # Matplotlib takes a second

    sizes = {fraction: len(kept) for fraction, kept in shares.items()}
    plots.draw_all(run.path, grouped, gains, sizes, data)
    print(f"\nmetrics and figures: {run.path}")
    plots.show_figures(args.no_show)
    return summary


def train(
    arm: str,
    fraction: float,
    kept: Tensor,
    seed: int,
    data: TorchData,
    args: argparse.Namespace,
    here: Runtime,
    run: RunFolder | None,
) -> Outcome:
    """Train one network with an arm's augmentations on the images `kept`; log each epoch.

    Raises FloatingPointError when its loss is no longer finite.
    """
    from tqdm import tqdm

    classes, name = len(data.classes), label(arm, fraction)
    model = initialise(MODELS[args.model](classes), generator(seed, "init"))

    def say(row: dict) -> None:
        tqdm.write(epoch_line(name, seed, args.epochs, row))

    def on_estimate(seconds: float) -> None:
        if (arm, fraction, seed) == ("none", args.fractions[0], args.seed):
            shown = [passes_for(f) * f for f in args.fractions]
            whole = seconds * sum(shown) / shown[0] * len(arms()) * args.seeds
            if line := estimate_line(whole, SHORTER):
                tqdm.write(line)

    fitted = fit(
        model,
        (data.x_train[kept], data.y_train[kept]),
        (data.x_val, data.y_val),
        Pipeline(*data.statistics(), augmentations_of(arms()[arm], classes), args.resize),
        recipe_of(args, lr=args.lr or LEARNING_RATES[args.model], passes=passes_for(fraction)),
        here,
        seed=seed,
        name=name,
        keeper=Keeper(run, name, seed, say),
        on_estimate=on_estimate,
    )
    return Outcome(name, seed, model, fitted)


if __name__ == "__main__":
    start(main)
