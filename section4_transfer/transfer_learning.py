"""Train ResNet-18 from scratch, on frozen pretrained features, and by fine-tuning; compare them.

Every arm learns from the same images, a share of the training set at a time. The pretrained
features are ImageNet's where they can be had; else the network first learns from the training
images without their labels. Writes <runs-dir>/transfer_learning/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from torch import Tensor

from section4_transfer.augment import Pipeline, crop, flip
from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first, runtime
from section4_transfer.engine import right_answers
from section4_transfer.keeping import Keeper, study_run
from section4_transfer.models import check_size, resnet18
from section4_transfer.pretrained import Start, find_start
from section4_transfer.recipe import add_recipe_flags, passes_for, recipe_of, share
from section4_transfer.results import (
    Outcome,
    by_arm,
    describe_arm,
    epoch_line,
    estimate_line,
    gain_line,
    save_weights,
    table,
)
from section4_transfer.transfer import (
    ARMS,
    LEARNING_RATES,
    Setting,
    frozen_features,
    pretrain,
    train_frozen,
    train_whole,
)
from shared_utils.cli import add_shared_flags, parse_args, positive_int, start
from shared_utils.datasets.color_images import IMAGE_DATASETS, TorchData, load_torch_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 4,
    "pretrain_epochs": 4,
    "batch_size": 32,
    "resize": 32,
    "fractions": [0.1, 1.0],
    "dataset": "photo-digits",
    "limit": 400,
    "weights": "rotation",  # needs no network
}
SHORTER = "--resize 64, --fractions 0.1, --limit 5000, --pretrain-epochs 2, --quick"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    rates = ", ".join(f"{lr} for {arm}" for arm, lr in LEARNING_RATES.items())
    add_shared_flags(
        parser,
        HERE / "runs",
        datasets=IMAGE_DATASETS,
        epochs=5,
        batch_size=64,
        lr=(None, rates),
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
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
        default=[0.01, 0.1, 1.0],
        help="shares of the training labels to learn from (default: 0.01 0.1 1)",
    )
    parser.add_argument(
        "--weights",
        default="auto",
        help="imagenet; rotation: pretrained here without labels; a state dict's path; auto:"
        " imagenet where cached or downloadable, else rotation (default: auto)",
    )
    parser.add_argument(
        "--pretrain-epochs",
        type=positive_int,
        default=10,
        help="epochs of --weights rotation (default: %(default)s)",
    )
    add_recipe_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every arm on every share, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    args.fractions = sorted(set(args.fractions))
    try:
        check_size(resnet18(2), args.resize)
    except ValueError as error:
        parser.error(f"argument --resize: {error}")
    with runtime(args.device, args.precision) as here:
        recipe_of(args).check(here)
        with main_first(here):
            begin, notice = find_start(args.weights)
            data = load_torch_data(args.dataset, args.data_dir, args.limit, args.resize, args.quick)
        if notice and here.is_main:
            print(f"\n*** {notice} ***\n")
        described = data.describe() | {"weights": begin.origin if begin else "rotation"}
        with study_run(args, "transfer_learning", described, here) as run:
            return study(args, data, begin, here, run)


def study(
    args: argparse.Namespace,
    data: TorchData,
    begin: Start | None,
    here: Runtime,
    run: RunFolder | None,
) -> dict:
    """Run the study in this process; only the main one writes, draws and returns a summary."""
    shares = {fraction: data.fraction(fraction) for fraction in args.fractions}
    outcomes, starts = [], {}
    for seed in range(args.seed, args.seed + args.seeds):
        starts[seed] = train_seed(args, data, shares, begin, here, seed, run, outcomes)
    if not outcomes:
        raise UserError("every network diverged: try a smaller --lr")

    for outcome in outcomes:  # all choices are made: the test set, once
        scratch = outcome.arm.startswith("scratch")
        statistics = data.statistics() if scratch else starts[outcome.seed].statistics(data)
        pipeline = Pipeline(*statistics, size=args.resize)
        test = data.x_test, data.y_test
        outcome.correct = right_answers(outcome.model, test, pipeline, here)
    if run is None:
        return {}
    arms, first = by_arm(outcomes), starts[args.seed]
    summary = {
        "data": data.name,
        "weights": first.origin,
        "pretrain_seconds": first.seconds,
        "runs": {arm: describe_arm(of_arm) for arm, of_arm in arms.items()},
        "conclusions": conclude(arms, args.fractions),
    }
    run.write_json("summary.json", summary)
    print("\n" + table(summary["runs"]) + "\n\n" + "\n".join(summary["conclusions"]))

    from section4_transfer import plots_transfer  # only now: Matplotlib takes a second to import

    sizes = {fraction: len(kept) for fraction, kept in shares.items()}
    plots_transfer.draw_all(run.path, arms, sizes, first, data.title)
    print(f"\nweights, metrics and figures: {run.path}")
    plots_transfer.show_figures(args.no_show)
    return summary


def train_seed(
    args: argparse.Namespace,
    data: TorchData,
    shares: dict[float, Tensor],
    begin: Start | None,
    here: Runtime,
    seed: int,
    run: RunFolder | None,
    outcomes: list[Outcome],
) -> Start:
    """Train every arm on every share with one seed, add to `outcomes`; return the weights used."""
    from tqdm import tqdm

    def keeper_of(arm: str, epochs: int = args.epochs) -> Keeper:
        return Keeper(run, arm, seed, lambda row: tqdm.write(epoch_line(arm, seed, epochs, row)))

    def estimate_for(epochs: float):
        """Scale the time of a training of so many epochs up to that of the whole run."""
        shown = sum(passes_for(fraction) * fraction for fraction in args.fractions)
        whole = 2 * shown * args.epochs + (args.pretrain_epochs if begin is None else 0)

        def on_estimate(seconds: float) -> None:
            line = estimate_line(seconds * args.seeds * whole / epochs, SHORTER)
            if line and seed == args.seed:
                tqdm.write(line)

        return on_estimate

    augmentations = [crop] if data.name == "photo-digits" else [crop, flip]  # digits do not mirror
    setting = Setting(data, augmentations, args.resize, here, seed)
    first = args.fractions[0]
    whole_estimate = estimate_for(args.epochs * passes_for(first) * first)
    if begin is None:
        epochs = args.pretrain_epochs
        recipe = recipe_of(args, epochs=epochs, lr=args.lr or LEARNING_RATES["scratch"])
        begin = pretrain(setting, recipe, keeper_of("rotation", epochs), estimate_for(epochs))
        whole_estimate = None  # it has been told
        if run is not None and seed == args.seed:
            save_weights(run.path / "rotation.pt", begin.state)
    cached = frozen_features(setting, begin)
    for fraction, kept in shares.items():
        for arm in ARMS:
            name = f"{arm} {100 * fraction:g}%"
            rate, passes = args.lr or LEARNING_RATES[arm], passes_for(fraction)
            recipe, keeper = recipe_of(args, lr=rate, passes=passes), keeper_of(name)
            try:
                if arm == "frozen":
                    model, fitted = train_frozen(setting, begin, cached, kept, recipe, keeper)
                else:
                    origin = begin if arm == "fine-tuned" else None
                    model, fitted = train_whole(
                        setting, origin, kept, recipe, keeper, whole_estimate
                    )
                    whole_estimate = None
            except FloatingPointError as error:
                print(f"{name}, seed {seed}: {error}: it is stopped here; try a smaller --lr")
                continue
            outcomes.append(Outcome(name, seed, model, fitted))
            if run is not None and seed == args.seed and fraction == args.fractions[-1]:
                save_weights(run.path / f"{arm}.pt", model.state_dict())
    return begin


def conclude(arms: dict[str, list[Outcome]], fractions: list[float]) -> list[str]:
    """Return sentences: what pretraining changes for each number of labels."""
    lines = []
    for fraction in fractions:
        scratch = f"scratch {100 * fraction:g}%"
        for arm in ("frozen", "fine-tuned"):
            name = f"{arm} {100 * fraction:g}%"
            if name in arms and scratch in arms:
                lines.append(gain_line(name, scratch, arms[name], arms[scratch]))
    return lines


if __name__ == "__main__":
    start(main)
