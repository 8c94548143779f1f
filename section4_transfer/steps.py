"""A training step, again and again, and an evaluation: the loops that a network runs in.

A step: take a shuffled batch, prepare it, forward, loss, backward, update. All sums are over
samples and over all processes, so neither a short batch nor the number of processes changes what is
reported.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from section4_transfer.devices import Runtime
from section4_transfer.distributed import parallel, share, share_buffers, sum_over_processes
from section4_transfer.recipe import SCHEDULES, Recipe
from shared_utils.seed import stream
from shared_utils.torch_data import batches, generator

Part = tuple[Tensor, Tensor]  # images (or features) and labels
Prepare = Callable[[Tensor, Tensor, torch.Generator | None], Part]

_EVALUATION_BATCH = 250  # large enough for speed at 32 pixels, small enough for memory at 224


def measured_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trained weights of the layers by name, input first, without biases and norms."""
    named = model.named_parameters()
    return {name: p for name, p in named if p.requires_grad and p.ndim > 1}


def steps_per_epoch(n: int, recipe: Recipe) -> int:
    """Return the number of steps between two evaluations, for n training samples."""
    return recipe.passes * math.ceil(n / recipe.batch_size)


def train_steps(
    model: nn.Module,
    train: Part,
    prepare: Prepare,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    groups: list[dict] | None = None,
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Train `model` on `train`, both on the device; yield once a step.

    Yields this process's sums over its share of the batch (3,): loss, right answers, images; the
    norm of each of the measured weights' gradients (layers,), before any clipping; and the size of
    the whole batch. `groups` are the optimizer's parameter groups, with rates of their own.
    """
    x, y = train
    learner = parallel(model, runtime)
    parameters = [p for p in model.parameters() if p.requires_grad]
    weights = list(measured_weights(model).values())
    optimizer = torch.optim.SGD(
        groups or parameters,
        recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    total = recipe.epochs * steps_per_epoch(len(x), recipe)
    factor = SCHEDULES[recipe.schedule]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: factor(done / total))
    order = stream(seed, "shuffle")
    draws = generator(seed, f"augmentation, rank {runtime.rank}")
    for _ in range(recipe.epochs * recipe.passes):
        for batch in batches(len(x), recipe.batch_size, order):
            model.train()
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
            # All layers in one call: on a GPU, a call for each would cost as much as a layer.
            norms = torch.stack(torch._foreach_norm([w.grad for w in weights]))
            if recipe.clip:
                nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()
            schedule.step()
            targets = labels if labels.ndim == 1 else labels.argmax(1)  # mixup's are shares
            right = (logits.detach().argmax(1) == targets).sum()
            sums = torch.stack([loss.detach(), right.float(), torch.ones_like(loss) * len(mine)])
            yield sums, norms, len(batch)


@torch.no_grad()
def evaluate(
    model: nn.Module, part: Part, prepare: Prepare, runtime: Runtime
) -> tuple[Tensor, Tensor]:
    """Return every sample's loss (N,) and whether it is classified rightly (N,), on the CPU.

    The processes share the work, and all get the whole result.
    """
    share_buffers(model, runtime)
    model.eval()
    results = torch.zeros(2, len(part[0]), device=runtime.device)
    for batch in torch.arange(len(part[0])).split(_EVALUATION_BATCH):
        mine = share(batch, runtime).to(part[0].device)
        inputs, labels = prepare(*(t[mine].to(runtime.device) for t in part), None)
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
    processes share the work, and all get the whole result.
    """
    head, model.fc = model.fc, nn.Identity()
    model.to(runtime.device, memory_format=torch.channels_last).eval()
    results = torch.zeros(len(images), head.in_features, device=runtime.device)
    for batch in torch.arange(len(images)).split(_EVALUATION_BATCH):
        mine = share(batch, runtime)
        inputs, _ = prepare(images[mine].to(runtime.device), mine, None)
        with runtime.autocast():
            results[mine.to(runtime.device)] = model(inputs).float()
    model.fc = head
    return sum_over_processes(results, runtime)
