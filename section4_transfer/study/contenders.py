"""The training steps that `benchmark.py` compares: bare ones in several settings, and the lesson's.

Each is a function that takes one step on one batch, waits for the device, and returns how many
images that were.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from section4_transfer.augment import Pipeline
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import Runtime
from section4_transfer.models import CifarNet, initialise
from section4_transfer.training import Training, make_optimizer, train_steps
from shared_utils.datasets.color_images import generator

Steps = dict[str, Callable[[], int]]  # by what they are called in the results
EVALUATION_BATCHES = (125, 250, 500, 1000)
CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last


@dataclass(frozen=True)
class Workload:
    """What all contenders do: images (N, 3, H, W) as bytes with their labels, on the device."""

    x: Tensor
    y: Tensor
    classes: int
    pipeline: Pipeline
    recipe: Recipe
    runtime: Runtime
    seed: int

    def network(self) -> nn.Module:
        """Return a ResNet-20 on the device; all contenders start from the same weights."""
        model = initialise(CifarNet(20, self.classes), generator(self.seed, "init"))
        return model.to(self.runtime.device)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return the images and labels of a training step."""
        return self.x[: self.recipe.batch_size], self.y[: self.recipe.batch_size]


def layouts(work: Workload, has_bf16: bool) -> tuple[Steps, str]:
    """Return steps in several memory layouts and precisions, and the lesson's; and a notice."""
    settings = [("fp32", CONTIGUOUS), ("fp32", CHANNELS_LAST)]
    settings += [("bf16", CHANNELS_LAST)] if has_bf16 else []
    names = {CONTIGUOUS: "contiguous", CHANNELS_LAST: "channels last"}
    steps = {
        f"bare, {precision}, {names[layout]}": bare_step(work, precision, layout)
        for precision, layout in settings
    }
    notice = "" if has_bf16 else "bf16 is not measured: this device has no units for it"
    return steps | {f"lesson, {work.runtime.precision}": lesson_step(work)}, notice


def optimizers(work: Workload) -> tuple[Steps, str]:
    """Return steps with PyTorch's three ways to update all weights."""
    ways = {"a loop over weights": {"foreach": False}, "foreach": {"foreach": True}}
    ways["fused"] = {"fused": True}
    precision = work.runtime.precision
    return {
        f"optimizer: {name}": bare_step(work, precision, CHANNELS_LAST, **options)
        for name, options in ways.items()
    }, ""


def compilers(work: Workload) -> tuple[Steps, str]:
    """Return a step without and, where there is a compiler, with `torch.compile`."""
    precision = work.runtime.precision
    steps = {"not compiled": bare_step(work, precision, CHANNELS_LAST)}
    compiled = bare_step(work, precision, CHANNELS_LAST, wrap=torch.compile)
    start = perf_counter()
    try:
        compiled()
    except Exception as error:  # whatever a compiler that is not there makes of it
        reason = str(error).splitlines()[0]
        return steps, f"torch.compile cannot be used on this machine: {reason}"
    seconds = perf_counter() - start
    return steps | {"torch.compile": compiled}, f"torch.compile: first step after {seconds:.0f} s"


def evaluations(work: Workload) -> tuple[Steps, str]:
    """Return functions that evaluate all images, in batches of several sizes."""
    model = work.network().to(memory_format=CHANNELS_LAST).eval()

    @torch.no_grad()
    def evaluate(size: int) -> int:
        for x, y in zip(work.x.split(size), work.y.split(size), strict=True):
            images, _ = work.pipeline(x, y)
            with work.runtime.autocast():
                model(images)
        work.runtime.wait()
        return len(work.x)

    return {
        f"evaluation in batches of {size}": lambda size=size: evaluate(size)
        for size in EVALUATION_BATCHES
    }, ""


def bare_step(
    work: Workload,
    precision: str,
    layout: torch.memory_format,
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
    **options,
) -> Callable[[], int]:
    """Return a training step of nothing but PyTorch; `options` are the optimizer's."""
    model, runtime = work.network().to(memory_format=layout), work.runtime
    learner, plain = wrap(model), Runtime(runtime.device, precision)
    recipe, batch = work.recipe, work.batch()
    vectors = [p for p in model.parameters() if p.ndim == 1]  # biases, and batch norm's
    matrices = [p for p in model.parameters() if p.ndim > 1]
    optimizer = torch.optim.SGD(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors}],
        recipe.lr,
        momentum=0.9,
        nesterov=recipe.nesterov,
        **options,
    )

    def step() -> int:
        x, y = work.pipeline(*batch)
        with plain.autocast():
            logits = learner(x.contiguous(memory_format=layout))
        loss = F.cross_entropy(logits.float(), y, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        runtime.wait()
        return len(y)

    return step


def lesson_step(work: Workload) -> Callable[[], int]:
    """Return the step of the studies: counted, scheduled, with every layer's gradient measured."""
    model, batch = work.runtime.place(work.network()), work.batch()
    training = Training(model, make_optimizer(model, work.recipe), work.recipe, len(batch[1]))
    steps = train_steps(training, batch, work.pipeline, work.recipe, work.runtime, seed=work.seed)

    def step() -> int:
        next(steps)
        work.runtime.wait()
        return len(batch[1])

    return step
