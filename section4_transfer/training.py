"""The training loop: forward, loss, backward, step; and the choice of the best epoch.

After each epoch the network is evaluated on the whole validation set; the weights of the epoch that
does best there are the result. The test set has no part in it. All sums are over samples and over
all processes, so neither a short batch nor the number of processes changes what is reported.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from section4_transfer.engine.averaging import WeightAverage
from section4_transfer.engine.devices import memory_errors
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import Runtime
from shared_utils.datasets.color_images import batches, generator
from shared_utils.runs import NO_RUN, History, TrainingRun
from shared_utils.seed import stream

Split = tuple[Tensor, Tensor]  # images (or features) and labels
Prepare = Callable[[Tensor, Tensor, torch.Generator | None], Split]

_EVALUATION_BATCH = 250  # large enough for speed at 32 pixels, small enough for memory at 224
_SMALLER = f"a smaller --resize or --size: {_EVALUATION_BATCH} images are evaluated at a time"


def train_steps(
    training: "Training",
    train: Split,
    prepare: Prepare,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    first_step: int = 0,
) -> Iterator[Tensor]:
    """Train on `train`, which is on the device; after every step, yield the loss of its shard.

    A step's batch, learning rates and draws follow from the seed and its number alone: a training
    that continues from `first_step` ends with the same bytes as an uninterrupted one.
    """
    (x, y), model, optimizer = train, training.model, training.optimizer
    learner, total = runtime.parallel(model), training.epochs * training.steps_per_epoch
    order = enumerate(shuffled_batches(len(x), recipe, seed))
    for step, batch in islice(order, first_step, None):
        model.train()
        draws = generator(seed, f"augmentation, rank {runtime.rank}, step {step}")
        mine = runtime.shard(batch).to(x.device)
        inputs, labels = prepare(x[mine], y[mine], draws)
        with runtime.autocast():
            logits = learner(inputs)
        losses = F.cross_entropy(
            logits.float(), labels, reduction="sum", label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        # The processes' gradients are averaged: weighted so, that is the mean over the batch.
        (losses * (runtime.world / len(batch))).backward()
        training.add_step(losses.detach(), logits.detach(), labels)
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        set_lr(optimizer, recipe.lr_factor(step / total))
        optimizer.step()
        training.end_step(step)
        yield losses.detach() / len(mine)


def fit(
    model: nn.Module,
    train: Split,
    val: Split,
    prepare: Prepare,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    groups: list[dict] | None = None,
    run: TrainingRun = NO_RUN,
) -> History:
    """Train `model` and leave it, in eval mode, with the weights of its best validation epoch.

    `prepare(x, y, generator)` makes a batch; in evaluation it gets no generator and, for the
    labels, zeros, since only its images are used. `groups` are the optimizer's parameter groups.
    `history.series` holds, for each epoch, the mean "gradient_norms" of the layers, and the
    "seconds" of training up to its end; and "first_gradient_norms", those of the first step, in
    which the weights are the initial ones. The model comes back on the CPU and without gradients,
    so that a study's networks do not fill a GPU.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite, and UserError
    when memory runs out, or when batch or images are too few.
    """
    recipe.check(runtime.world, len(train[0]))
    with memory_errors(f"--batch-size {max(4, recipe.batch_size // 2)}"):
        runtime.place(model)
        train, val = (tuple(t.to(runtime.device) for t in split) for split in (train, val))
        training = Training(model, make_optimizer(model, recipe, groups), recipe, len(train[0]))
        steps = partial(train_steps, training, train, prepare, recipe, runtime, seed=seed)
        for step in run.watch(training, steps):
            if step.ends_epoch:
                row = {"epoch": step.epoch} | training.train_scores(runtime)
                row["val_loss"], row["val_acc"] = evaluate(training.result, val, prepare, runtime)
                training.end_epoch(row)
                run.log(row)
    model.load_state_dict(training.best)
    model.zero_grad(set_to_none=True)
    model.eval().cpu()
    return training.history


class Training:
    """All that the next step of a training depends on, and all that was measured.

    `optimizer` is `make_optimizer`'s, `n` the number of training samples.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.SGD, recipe: Recipe, n: int):
        self.model, self.optimizer = model, optimizer
        self.epochs, self.steps_per_epoch = recipe.epochs, recipe.steps_per_epoch(n)
        self.samples = recipe.passes * n  # in an epoch
        self.step = 0  # how many are done
        series = {"first_gradient_norms": [], "gradient_norms": [], "seconds": []}
        self.history = History(series=series)
        self.average = WeightAverage(model, recipe.ema) if recipe.ema else None
        self.best: dict[str, Tensor] = {}  # the weights of the best epoch
        # The layers' weights, input first: neither biases nor norms.
        self.weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        device = self.weights[0].device
        self.sums = torch.zeros(3, device=device)  # of the epoch: losses, correct, samples
        self.norms = torch.zeros(len(self.weights), device=device)  # of the epoch, summed

    def add_step(self, losses: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch's summed losses, its correct answers and the norms of its gradients."""
        targets = labels if labels.ndim == 1 else labels.argmax(1)  # mixup's are soft
        correct = (logits.argmax(1) == targets).sum().float()
        self.sums += torch.stack([losses, correct, torch.ones_like(losses) * len(logits)])
        self.norms += torch.stack([torch.linalg.vector_norm(w.grad) for w in self.weights])

    def end_step(self, step: int) -> None:
        """Note what is there after step `step`, counted from 0, and not after the epoch."""
        if step == 0:
            self.history.series["first_gradient_norms"] = self.norms.tolist()
        if self.average is not None:
            self.average.add(self.model, step)

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and kept: the average of the weights, if there is one."""
        return self.model if self.average is None else self.average.model

    def train_scores(self, runtime: Runtime) -> dict:
        """Return the epoch's loss and accuracy over all samples, as they were while it learned.

        Raises FloatingPointError when the loss is no longer finite.
        """
        losses, correct, samples = runtime.sum(self.sums).tolist()
        if not math.isfinite(losses):
            epoch = self.step // self.steps_per_epoch
            raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite")
        return {"train_loss": losses / samples, "train_acc": correct / samples}

    def end_epoch(self, row: dict) -> None:
        """Note an epoch's measurements, and its weights if no epoch before was better."""
        series = self.history.series
        series["gradient_norms"].append((self.norms / self.steps_per_epoch).tolist())
        series["seconds"].append(self.history.seconds)
        self.sums.zero_()
        self.norms.zero_()
        if self.history.add(row):
            self.best = {k: v.detach().clone() for k, v in self.result.state_dict().items()}

    def state(self) -> dict:
        """Return it all in plain containers and tensors; of a finished training, the result."""
        state = {name: getattr(self, name) for name in ("step", "best", "sums", "norms")}
        state["history"] = vars(self.history)
        if self.step < self.epochs * self.steps_per_epoch:
            state["model"] = self.model.state_dict()
            state["optimizer"] = self.optimizer.state_dict()
            if self.average is not None:
                state["average"] = self.average.model.state_dict()
        return state

    def load_state(self, state: dict) -> None:
        """Take over what `state` returned. Raises KeyError, RuntimeError and more if it is not."""
        step, history = int(state["step"]), History(**state["history"])
        self.model.load_state_dict(state.get("model", state["best"]))
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.model.load_state_dict(state["average"])
        self.sums.copy_(state["sums"])
        self.norms.copy_(state["norms"])
        self.step, self.history, self.best = step, history, state["best"]


def make_optimizer(
    model: nn.Module, recipe: Recipe, groups: list[dict] | None = None
) -> torch.optim.SGD:
    """Return the recipe's optimizer of `model`, or of parameter groups with lrs of their own.

    Weight decay pulls on the layers' weights alone. Biases and the gains and shifts of batch norm,
    which are vectors, go without: few as they are, they fit no noise.
    """
    optimizer = torch.optim.SGD(
        [split for group in groups or [{"params": model.parameters()}] for split in _split(group)],
        recipe.lr,
        momentum=0.9,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def _split(group: dict) -> list[dict]:
    """Return the group's parameters that are trained in two groups: matrices, and vectors."""
    trained = [p for p in group["params"] if p.requires_grad]
    matrices, vectors = ([p for p in trained if (p.ndim > 1) == kind] for kind in (True, False))
    splits = [group | {"params": matrices}, group | {"params": vectors, "weight_decay": 0.0}]
    return [split for split in splits if split["params"]]


def set_lr(optimizer: torch.optim.SGD, factor: float) -> None:
    """Give every parameter group `factor` times its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def shuffled_batches(n: int, recipe: Recipe, seed: int) -> Iterator[Tensor]:
    """Yield the indices of every batch of a training, in order."""
    rng = stream(seed, "shuffle")
    for _ in range(recipe.epochs * recipe.passes):
        yield from batches(n, recipe.batch_size, rng)


def evaluate(
    model: nn.Module, split: Split, prepare: Prepare, runtime: Runtime
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over all samples of a split."""
    logits, labels = predict(model, split[0], prepare, runtime), split[1].cpu()
    losses = F.cross_entropy(logits, labels, reduction="none")
    return losses.double().mean().item(), (logits.argmax(1) == labels).double().mean().item()


def predict(model: nn.Module, images: Tensor, prepare: Prepare, runtime: Runtime) -> Tensor:
    """Return the logits of all images (N, classes), on the CPU; the model stays on the device."""
    return _outputs(model, images, prepare, runtime).cpu()


def extract_features(
    model: nn.Module, images: Tensor, prepare: Prepare, runtime: Runtime
) -> Tensor:
    """Return what `model`, without its head `fc`, makes of the images, (N, features)."""
    head, model.fc = model.fc, nn.Identity()
    try:
        return _outputs(model, images, prepare, runtime)
    finally:
        model.fc = head


@torch.no_grad()
def _outputs(model: nn.Module, images: Tensor, prepare: Prepare, runtime: Runtime) -> Tensor:
    """Return the model's outputs of all images, (N, width), on the device.

    In eval mode: batch norm uses the statistics that it has learned and does not change them. The
    processes share the work, and all get the whole result. Raises UserError when memory runs out.
    """
    with memory_errors(_SMALLER):
        runtime.place(model).eval()
        runtime.share_buffers(model)
        outputs = None
        for batch in torch.arange(len(images)).split(_EVALUATION_BATCH):
            mine = runtime.shard(batch)
            if not len(mine) and outputs is not None:
                continue  # a last batch may hold fewer images than there are processes
            chosen = mine if len(mine) else batch[:1]  # of a first one, to learn the width
            x = images[chosen.to(images.device)].to(runtime.device)
            inputs, _ = prepare(x, torch.zeros(len(x), dtype=torch.long, device=x.device), None)
            with runtime.autocast():
                values = model(inputs).float()
            if outputs is None:
                outputs = torch.zeros(len(images), values.shape[1], device=runtime.device)
            outputs[mine.to(runtime.device)] = values[: len(mine)]
        return runtime.sum(outputs)
