"""A training step, again and again, and an evaluation: the loops that a network runs in.

A step: take a shuffled batch, prepare it, forward, loss, backward, update. All sums are over
samples and over all processes, so neither a short batch nor the number of processes changes what is
reported.
"""

import math
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from section4_transfer.devices import Runtime, memory_errors
from section4_transfer.distributed import parallel, share, share_buffers, sum_over_processes
from section4_transfer.recipe import SCHEDULES, Recipe
from shared_utils.datasets.color_images import batches, generator
from shared_utils.seed import stream

Part = tuple[Tensor, Tensor]  # images (or features) and labels
Prepare = Callable[[Tensor, Tensor, torch.Generator | None], Part]

_EVALUATION_BATCH = 250  # large enough for speed at 32 pixels, small enough for memory at 224
_SMALLER = f"a smaller --resize or --size: {_EVALUATION_BATCH} images are evaluated at a time"


def measured_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trained weights of the layers by name, input first, without biases and norms."""
    named = model.named_parameters()
    return {name: p for name, p in named if p.requires_grad and p.ndim > 1}


def steps_per_epoch(n: int, recipe: Recipe) -> int:
    """Return the number of steps between two evaluations, for n training samples."""
    return recipe.passes * math.ceil(n / recipe.batch_size)


def make_optimizer(
    model: nn.Module, recipe: Recipe, groups: list[dict] | None = None
) -> torch.optim.SGD:
    """Return the recipe's optimizer of `model`, or of parameter groups with rates of their own.

    Each group keeps its peak rate as `peak_lr`; `train_steps` sets `lr` from it at every step.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        groups or parameters,
        recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def train_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Part,
    prepare: Prepare,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    first_step: int = 0,
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Train `model` on `train`, both on the device, with `make_optimizer`'s; yield once a step.

    Yields this process's sums over its share of the batch (3,): loss, right answers, images; the
    norm of each of the measured weights' gradients (layers,), before any clipping; and the size of
    the whole batch.

    Batch, rate and draws of a step follow from the seed and the step's number alone. So a training
    goes on from step `first_step` (from 0) to the same bytes as one that never paused, given the
    states that model and optimizer had then.
    """
    x, y = train
    learner = parallel(model, runtime)
    weights = measured_weights(model).values()
    total = recipe.epochs * steps_per_epoch(len(x), recipe)
    factor = SCHEDULES[recipe.schedule]
    steps = enumerate(_shuffled(len(x), recipe, seed))
    for step, batch in islice(steps, first_step, None):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor(step / total)
        draws = generator(seed, f"augmentation, rank {runtime.rank}, step {step}")
        mine = share(batch, runtime).to(x.device)
        inputs, labels = prepare(x[mine], y[mine], draws)
        with runtime.autocast():
            logits = learner(inputs)
        loss = F.cross_entropy(
            logits.float(), labels, reduction="sum", label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        # The processes' gradients are averaged: weighted so, that is the mean over the batch.
        (loss * (runtime.world / len(batch))).backward()
        norms = torch.stack([torch.linalg.vector_norm(w.grad) for w in weights])
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        targets = labels if labels.ndim == 1 else labels.argmax(1)  # mixup's are shares
        right = (logits.detach().argmax(1) == targets).sum()
        sums = torch.stack([loss.detach(), right.float(), torch.ones_like(loss) * len(mine)])
        yield sums, norms, len(batch)


@torch.no_grad()
def evaluate(
    model: nn.Module, part: Part, prepare: Prepare, runtime: Runtime
) -> tuple[Tensor, Tensor]:
    """Return every sample's loss (N,) and whether it is classified rightly (N,), on the CPU.

    The model moves to the device and stays there. The processes share the work, and all get the
    whole result. Raises UserError when memory runs out.
    """
    with memory_errors(_SMALLER):
        model.to(runtime.device, memory_format=torch.channels_last).eval()
        share_buffers(model, runtime)
        results = torch.zeros(2, len(part[0]), device=runtime.device)
        for mine in _shares(len(part[0]), runtime):
            there = mine.to(part[0].device)
            inputs, labels = prepare(*(t[there].to(runtime.device) for t in part), None)
            with runtime.autocast():
                logits = model(inputs)
            mine = mine.to(runtime.device)
            results[0, mine] = F.cross_entropy(logits.float(), labels, reduction="none")
            results[1, mine] = (logits.argmax(1) == labels).float()
        losses, right = sum_over_processes(results, runtime).cpu()
    return losses, right > 0


@torch.no_grad()
def features(model: nn.Module, images: Tensor, prepare: Prepare, runtime: Runtime) -> Tensor:
    """Return what `model`, without its head `fc`, makes of the images, (N, features).

    In eval mode: batch norm uses the statistics that it has learned and does not change them. The
    processes share the work, and all get the whole result. Raises UserError when memory runs out.
    """
    head, model.fc = model.fc, nn.Identity()
    with memory_errors(_SMALLER):
        model.to(runtime.device, memory_format=torch.channels_last).eval()
        results = torch.zeros(len(images), head.in_features, device=runtime.device)
        for mine in _shares(len(images), runtime):
            inputs, _ = prepare(images[mine].to(runtime.device), mine, None)
            with runtime.autocast():
                results[mine.to(runtime.device)] = model(inputs).float()
    model.fc = head
    return sum_over_processes(results, runtime)


def _shuffled(n: int, recipe: Recipe, seed: int) -> Iterator[Tensor]:
    """Yield the indices of every batch of a training, in order."""
    order = stream(seed, "shuffle")
    for _ in range(recipe.epochs * recipe.passes):
        yield from batches(n, recipe.batch_size, order)


def _shares(n: int, runtime: Runtime) -> Iterator[Tensor]:
    """Yield this process's part of each batch of an evaluation of n images; none is empty."""
    for batch in torch.arange(n).split(_EVALUATION_BATCH):
        mine = share(batch, runtime)
        if len(mine):  # a last batch may hold fewer images than there are processes
            yield mine
