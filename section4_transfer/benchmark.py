"""Measure what makes a training step fast, and what the lesson's loop costs, in turn.

ResNet-20 on the same images, not augmented, in groups: memory layouts and precisions beside the
lesson's own step, which also counts, schedules and measures every layer's gradient; ways to update
the weights; `torch.compile`; sizes of the batches that are evaluated. The contenders of a group
take turns, since a machine's speed drifts. Writes <runs-dir>/benchmark/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section4_transfer.engine.flags import add_recipe_flags, recipe_from
from shared_utils.cli import (
    IMAGE_DATASETS,
    add_shared_flags,
    open_run,
    parse_args,
    start,
)
from shared_utils.errors import UserError
from shared_utils.timing import WARM_UP, take_turns

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 2, "steps": 3}
GROUPS = ("layout", "optimizer", "compile", "evaluation")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(
        parser,
        HERE / "runs",
        datasets=IMAGE_DATASETS,
        batch_size=128,
        lr=0.1,
        weight_decay=5e-4,
        dataset="photo-digits",
        rounds=5,
        steps=10,
    )
    parser.add_argument(
        "--measure",
        nargs="+",
        choices=GROUPS,
        default=["layout", "optimizer", "evaluation"],
        help="groups (default: all but compile, whose start alone takes a minute)",
    )
    add_recipe_flags(parser)  # without the published recipe: what is measured is time
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Measure every group in turns, print and write the speeds, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from section4_transfer.augment import Pipeline
    from section4_transfer.engine.devices import choose_precision
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.study import contenders
    from shared_utils.datasets.color_images import load_torch_data

    with init_runtime(args.device, args.precision, args.threads) as runtime:
        if runtime.world > 1:
            raise UserError("this measures one process: start it with python, not with torchrun")
        data = load_torch_data(
            *(args.dataset, args.data_dir, max(contenders.EVALUATION_BATCHES)),
            skip_damaged=args.skip_damaged,
        )
        # Each step is an epoch to the lesson's loop, and there must be enough of them.
        steps = 2 + args.rounds * (args.steps + WARM_UP)
        work = contenders.Workload(
            data.x_train.to(runtime.device),
            data.y_train.to(runtime.device),
            len(data.classes),
            *(
                Pipeline(*data.statistics()),
                recipe_from(vars(args), epochs=steps),
                runtime,
                args.seed,
            ),
        )
        has_bf16 = "bf16" in (args.precision, choose_precision("auto", runtime.device))
        groups = {
            "layout": lambda: contenders.layouts(work, has_bf16),
            "optimizer": lambda: contenders.optimizers(work),
            "compile": lambda: contenders.compilers(work),
            "evaluation": lambda: contenders.evaluations(work),
        }
        about = data.describe() | {"runtime": runtime.describe()}
        with open_run(args, "benchmark", about) as run:
            speeds = {
                name: measure(*groups[name](), args.rounds, args.steps)
                for name in dict.fromkeys(args.measure)
            }
            run.write_json("summary.json", {"images_per_second": speeds})
    return {"images_per_second": speeds}


def measure(contenders: dict, notice: str, rounds: int, count: int) -> dict:
    """Time the contenders in turns; return, and print, the images a second of each."""
    if notice:
        print(notice)
    images = next(iter(contenders.values()))()
    speeds = {}
    for name, times in take_turns(contenders, [()], rounds, count).items():
        slow, fast = (1e3 * images / ms for ms in reversed(times["quartiles"]))
        speeds[name] = {"median": 1e3 * images / times["median"], "quartiles": [slow, fast]}
    first = next(iter(speeds))
    for name, speed in speeds.items():
        slow, fast = speed["quartiles"]
        print(
            f"{name:<34}{speed['median']:>8,.0f} images/s, quartiles {slow:,.0f} to {fast:,.0f};"
            f" {speed['median'] / speeds[first]['median']:.2f} of {first}"
        )
    return speeds


if __name__ == "__main__":
    start(main)
