"""Measure the lesson's training step against a loop written with nothing but PyTorch, in turn.

ResNet-20 on the same images: the bare loop in float32 with contiguous images, the bare loop with
this section's precision and memory format, and the lesson's loop, which also counts, schedules and
measures every layer's gradient. Rounds are interleaved, since a machine's speed drifts. Writes
<runs-dir>/benchmark/.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

import numpy as np

from section4_transfer.engine.flags import add_recipe_flags, recipe_from
from shared_utils.cli import (
    IMAGE_DATASETS,
    add_shared_flags,
    open_run,
    parse_args,
    positive_int,
    start,
)
from shared_utils.errors import UserError

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 2, "steps": 3}
_WARM_UP = 2  # steps that are not timed


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
    )
    for name, default, meaning in (
        ("--rounds", 5, "measurements of each loop"),
        ("--steps", 10, "training steps in a measurement"),
    ):
        parser.add_argument(
            name, type=positive_int, default=default, help=f"{meaning} (default: %(default)s)"
        )
    add_recipe_flags(parser)
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Measure every loop in turn, print and write the medians, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    from section4_transfer.engine.runtime import init_runtime
    from section4_transfer.study.loops import loops_of
    from shared_utils.datasets.color_images import load_torch_data

    with init_runtime(args.device, args.precision) as runtime:
        if runtime.world > 1:
            raise UserError("this measures one process: start it with python, not with torchrun")
        data = load_torch_data(args.dataset, args.data_dir)
        recipe = recipe_from(vars(args), epochs=_WARM_UP + args.steps)  # a batch is an epoch
        loops = loops_of(data, recipe, runtime, args.seed)
        speeds = {name: [] for name in loops}
        for _ in range(args.rounds):
            for name, loop in loops.items():
                images = args.steps * min(len(data.y_train), args.batch_size)
                speeds[name].append(images / seconds(loop(), runtime))
        medians = {name: float(np.median(values)) for name, values in speeds.items()}
        slowest, bare, ours = medians.values()
        ratios = {"lesson / bare loop": ours / bare, "lesson / fp32 contiguous": ours / slowest}
        summary = {"images_per_second": speeds, "medians": medians, "ratios": ratios}
        about = data.describe() | {"runtime": runtime.describe()}
        with open_run(args, "benchmark", about) as run:
            run.write_json("summary.json", summary)
    for name, values in speeds.items():
        print(f"{name:<30}{medians[name]:>8,.0f} images/s ({min(values):,.0f}-{max(values):,.0f})")
    print("\n".join(f"{name}: {ratio:.2f}" for name, ratio in ratios.items()))
    return summary


def seconds(steps, runtime) -> float:
    """Return the time that the steps take after the warm-up."""
    clock = 0.0
    for step, _ in enumerate(steps, start=1):
        if step == _WARM_UP:
            runtime.wait()
            clock = time.perf_counter()
    runtime.wait()
    return time.perf_counter() - clock


if __name__ == "__main__":
    start(main)
