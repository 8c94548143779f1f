"""Train residual networks and their plain twins on the same images, and look at their gradients.

The twins of a depth start from the same weights and see the same batches; they differ in the
shortcuts alone. Writes <runs-dir>/resnet_vs_plain/: weights, metrics, summary and figures.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section4_transfer.augment import Pipeline, crop, flip
from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first, runtime
from section4_transfer.engine import fit, right_answers
from section4_transfer.keeping import Keeper, study_run
from section4_transfer.models import CifarNet, check_size, initialise
from section4_transfer.recipe import add_recipe_flags, recipe_of
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
from shared_utils.cli import add_shared_flags, parse_args, positive_int, start
from shared_utils.datasets.color_images import IMAGE_DATASETS, TorchData, generator, load_torch_data
from shared_utils.errors import UserError
from shared_utils.runs.folder import RunFolder

HERE = Path(__file__).resolve().parent
QUICK = {
    "epochs": 4,
    "batch_size": 32,
    "depth": [8, 14],
    "dataset": "photo-digits",
    "limit": 1293,  # all of photo-digits, little of other data
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        datasets=IMAGE_DATASETS,
        epochs=10,
        batch_size=128,
        lr=0.1,
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
    )
    parser.add_argument(
        "--depth",
        nargs="+",
        type=positive_int,
        default=[20],
        help="layers, 6n + 2; in the paper 20 32 44 56 110 (default: 20)",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        default=32,
        help="side of the images that a folder's become, in pixels (default: %(default)s)",
    )
    add_recipe_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train the twins of every depth, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    args.depth = sorted(set(args.depth))
    try:
        for depth in args.depth:
            check_size(CifarNet(depth), args.size)
    except ValueError as error:
        parser.error(str(error))
    with runtime(args.device, args.precision) as here:
        recipe_of(args).check(here)
        with main_first(here):
            data = load_torch_data(args.dataset, args.data_dir, args.limit, args.size, args.quick)
        with study_run(args, "resnet_vs_plain", data.describe(), here) as run:
            return study(args, data, here, run)


def study(args: argparse.Namespace, data: TorchData, here: Runtime, run: RunFolder | None) -> dict:
    """Run the study in this process; only the main one writes, draws and returns a summary."""
    outcomes = []
    for depth in args.depth:
        for seed in range(args.seed, args.seed + args.seeds):
            for residual in (True, False):
                arm = f"{'resnet' if residual else 'plain'}-{depth}"
                try:
                    outcomes.append(train(arm, depth, residual, seed, data, args, here, run))
                except FloatingPointError as error:
                    print(f"{arm}, seed {seed}: {error}: it is stopped here; try a smaller --lr")
    if not outcomes:
        raise UserError("every network diverged: try a smaller --lr")

    pipeline = Pipeline(*data.statistics())
    for outcome in outcomes:  # all choices are made: the test set, once
        test = data.x_test, data.y_test
        outcome.correct = right_answers(outcome.model, test, pipeline, here)
    if run is None:
        return {}
    arms = by_arm(outcomes)
    summary = {
        "data": data.name,
        "runs": {arm: describe_arm(of_arm) for arm, of_arm in arms.items()},
        "conclusions": conclude(arms, args.depth),
    }
    run.write_json("summary.json", summary)
    print("\n" + table(summary["runs"]) + "\n\n" + "\n".join(summary["conclusions"]))

    from section4_transfer import plots_depth  # only now: Matplotlib takes a second to import

    plots_depth.draw_all(run.path, arms, args.depth, data.title)
    print(f"\nweights, metrics and figures: {run.path}")
    plots_depth.show_figures(args.no_show)
    return summary


def train(
    arm: str,
    depth: int,
    residual: bool,
    seed: int,
    data: TorchData,
    args: argparse.Namespace,
    here: Runtime,
    run: RunFolder | None,
) -> Outcome:
    """Train one network; log each epoch, save the weights of the first seed.

    Raises FloatingPointError when its loss is no longer finite.
    """
    from tqdm import tqdm

    model = initialise(
        CifarNet(depth, len(data.classes), residual),
        generator(seed, "init"),  # the same for both twins
    )
    augmentations = [crop] if data.name == "photo-digits" else [crop, flip]  # digits do not mirror

    def say(row: dict) -> None:
        tqdm.write(epoch_line(arm, seed, args.epochs, row))

    def on_estimate(seconds: float) -> None:
        share = depth / sum(args.depth) / 2 / args.seeds  # a network's time grows with its depth
        first = (arm, seed) == (f"resnet-{args.depth[0]}", args.seed)
        if first and (line := estimate_line(seconds / share, "--epochs 2, --limit 5000, --quick")):
            tqdm.write(line)

    fitted = fit(
        model,
        (data.x_train, data.y_train),
        (data.x_val, data.y_val),
        Pipeline(*data.statistics(), augmentations),
        recipe_of(args),
        here,
        seed=seed,
        name=arm,
        keeper=Keeper(run, arm, seed, say),
        on_estimate=on_estimate,
    )
    if run is not None and seed == args.seed:
        save_weights(run.path / f"{arm}.pt", model.state_dict())
    return Outcome(arm, seed, model, fitted)


def conclude(arms: dict[str, list[Outcome]], depths: list[int]) -> list[str]:
    """Return sentences: what the shortcuts change at each depth, and what depth changes."""
    lines = []
    for depth in depths:
        names = f"resnet-{depth}", f"plain-{depth}"
        if all(name in arms for name in names):
            lines.append(gain_line(*names, *(arms[name] for name in names)))
            first = [arms[name][0].fit.gradient_norms[0][0] for name in names]
            lines.append(
                f"gradient norm at the first convolution, epoch 1, {names[0]}: {first[0]:.3g},"
                f" {names[1]}: {first[1]:.3g}"
            )
    for kind in ("resnet", "plain"):
        ends = [name for name in (f"{kind}-{depths[0]}", f"{kind}-{depths[-1]}") if name in arms]
        if len(set(ends)) == 2:
            lines.append(gain_line(ends[1], ends[0], arms[ends[1]], arms[ends[0]]))
    return lines


if __name__ == "__main__":
    start(main)
