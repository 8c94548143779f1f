"""Measure the engine's training step against a loop written with nothing but PyTorch, in turn.

ResNet-20 on the same images: the bare loop in float32 with contiguous images, the bare loop with
the engine's precision and memory format, and the engine, which also counts, schedules and measures
every layer's gradient. Rounds are interleaved, since a machine's speed drifts. Writes
<runs-dir>/speed/.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

import numpy as np
import torch
from torch.nn import functional as F

from section4_transfer.augment import Pipeline
from section4_transfer.devices import Runtime
from section4_transfer.distributed import runtime
from section4_transfer.keeping import study_run
from section4_transfer.models import CifarNet, initialise
from section4_transfer.recipe import Recipe, add_recipe_flags, recipe_of
from section4_transfer.steps import Part, make_optimizer, train_steps
from shared_utils.cli import add_shared_flags, parse_args, positive_int, start
from shared_utils.datasets.color_images import IMAGE_DATASETS, generator, load_torch_data
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
    with runtime(args.device, args.precision) as here:
        if here.world > 1:
            raise UserError("this measures one process: start it with python, not with torchrun")
        data = load_torch_data(args.dataset, args.data_dir)
        n = min(len(data.x_train), args.batch_size)
        batch = data.x_train[:n].to(here.device), data.y_train[:n].to(here.device)
        plain = Runtime(here.device, "fp32")
        pipeline = Pipeline(*data.statistics())
        recipe = recipe_of(args, epochs=_WARM_UP + args.steps)  # a batch is an epoch
        loops = {
            "bare, fp32, contiguous": lambda: bare(
                batch, pipeline, recipe, plain, args.seed, torch.contiguous_format
            ),
            f"bare, {here.precision}, channels last": lambda: bare(
                batch, pipeline, recipe, here, args.seed, torch.channels_last
            ),
            "engine": lambda: engine(batch, pipeline, recipe, here, args.seed),
        }
        speeds = {name: [] for name in loops}
        for _ in range(args.rounds):
            for name, loop in loops.items():
                speeds[name].append(n * args.steps / seconds(loop(), here))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    slowest, bare_loop, ours = medians.values()
    ratios = {"engine / bare loop": ours / bare_loop, "engine / fp32 contiguous": ours / slowest}
    summary = {"images_per_second": speeds, "medians": medians, "ratios": ratios}
    with study_run(args, "speed", {"name": data.name}, here) as run:
        run.write_json("summary.json", summary)
    for name, values in speeds.items():
        print(f"{name:<30}{medians[name]:>8,.0f} images/s ({min(values):,.0f}-{max(values):,.0f})")
    print("\n".join(f"{name}: {ratio:.2f}" for name, ratio in ratios.items()))
    return summary


def seconds(steps, here: Runtime) -> float:
    """Return the time that the steps take after the warm-up."""
    clock = 0.0
    for step, _ in enumerate(steps, start=1):
        if step == _WARM_UP:
            _wait(here)
            clock = time.perf_counter()
    _wait(here)
    return time.perf_counter() - clock


def bare(
    batch: Part,
    pipeline: Pipeline,
    recipe: Recipe,
    here: Runtime,
    seed: int,
    layout: torch.memory_format,
):
    """Train with nothing but PyTorch; yield after each step."""
    model = initialise(CifarNet(20), generator(seed, "init"))
    model.to(here.device, memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, 0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
    for _ in range(recipe.epochs):
        x, y = pipeline(*batch)
        with here.autocast():
            logits = model(x.contiguous(memory_format=layout))
        loss = F.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def engine(batch: Part, pipeline: Pipeline, recipe: Recipe, here: Runtime, seed: int):
    """Train as the studies do; yield after each step."""
    model = initialise(CifarNet(20), generator(seed, "init"))
    model.to(here.device, memory_format=torch.channels_last)
    total = torch.zeros(3, device=here.device)
    optimizer = make_optimizer(model, recipe)
    for sums, _, _ in train_steps(model, optimizer, batch, pipeline, recipe, here, seed=seed):
        total += sums
        yield


def _wait(here: Runtime) -> None:
    if here.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    start(main)
