"""The right answers of Section 4, and what the classic slips give in their place, in NumPy."""

import contextlib
import math
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np

from shared_utils.exercises.oracles.common import rng, same
from shared_utils.exercises.table import Broken, lesson

EPS = 1e-5  # of PyTorch's batch norm


def tensor(array: np.ndarray):
    """Return a float32 or integer tensor."""
    torch = lesson("torch")
    return torch.as_tensor(array, dtype=None if array.dtype.kind in "iu" else torch.float32)


def images(seed: int, *shape: int) -> np.ndarray:
    """Return random images in float32, as the networks take them."""
    return rng(seed).normal(size=shape).astype(np.float32)


def block_of(channels: int, stride: int, residual: bool, x: np.ndarray):
    """Return a block in eval mode, with random weights that depend on nothing else."""
    torch, models = lesson("torch"), lesson("section4_transfer.models")
    block = models.BasicBlock(x.shape[1], channels, stride, residual).eval()
    with torch.no_grad():
        for seed, param in enumerate(block.parameters()):
            param.copy_(tensor(rng(seed).normal(0, 0.3, tuple(param.shape))))
    return block


def ask_shortcut(x, channels, stride) -> dict:
    """Ask a block for its shortcut alone."""
    return {"shortcut": block_of(channels, stride, True, x).shortcut(tensor(x))}


def shortcut(x, channels, stride, slip: str = "") -> dict:
    """Option A: every stride-th pixel, then zeros as the new channels."""
    new = np.zeros((len(x), channels - x.shape[1], *x.shape[2:]), x.dtype)
    both = [new, x] if slip == "zeros first" else [x, new]
    if slip == "repeated":
        both = [x, x[:, : new.shape[1]]]
    y = np.concatenate(both, axis=1)
    if slip == "averaged" and stride == 2:
        return {"shortcut": y.reshape(*y.shape[:2], y.shape[2] // 2, 2, -1, 2).mean((3, 5))}
    start = stride - 1 if slip == "odd pixels" else 0
    return {"shortcut": y[:, :, start::stride, start::stride]}


def ask_block(x, channels, stride, residual) -> dict:
    """Ask a block for its output."""
    return {"y": block_of(channels, stride, residual, x)(tensor(x)).contiguous()}


def conv3x3(x: np.ndarray, W: np.ndarray, stride: int) -> np.ndarray:
    """Return the convolution with one pixel of padding, in float64."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("ocij,ncrqij->norq", W, windows[:, :, ::stride, ::stride])


def block(x, channels, stride, residual, slip: str = "") -> dict:
    """y = relu(F(x) + x), with the weights of `block_of` and batch norm in eval mode."""
    shapes = [(channels, x.shape[1], 3, 3), (channels,), (channels,)]
    shapes += [(channels, channels, 3, 3), (channels,), (channels,)]
    W1, g1, b1, W2, g2, b2 = (rng(i).normal(0, 0.3, shape) for i, shape in enumerate(shapes))

    def norm(z, gamma, beta):
        return gamma[:, None, None] * z / math.sqrt(1 + EPS) + beta[:, None, None]

    z = norm(conv3x3(x.astype(float), W1, stride), g1, b1)
    z = conv3x3(z if slip == "no inner relu" else np.maximum(z, 0), W2, 1)
    z = z if slip == "no second norm" else norm(z, g2, b2)
    z = np.maximum(z, 0) if slip == "relu before" else z
    if (residual or slip == "always") and slip != "no shortcut":
        z = z + shortcut(x, channels, stride)["shortcut"]
    y = z if slip in ("relu before", "no last relu") else np.maximum(z, 0)
    return {"y": y.astype(np.float32)}


def ask_step(losses, logits, labels, grads) -> dict:
    """Ask what a step adds to the sums of an epoch; the weights are dummies with a gradient."""
    training = lesson("section4_transfer.training").Training
    torch = lesson("torch")
    weights = [SimpleNamespace(grad=tensor(grad)) for grad in grads]
    epoch = SimpleNamespace(weights=weights, sums=torch.ones(3), norms=torch.ones(len(grads)))
    training.add_step(epoch, torch.tensor(float(losses)), tensor(logits), tensor(labels))
    return {"norms": epoch.norms, "sums": epoch.sums}


def step_sums(losses, logits, labels, grads, slip: str = "") -> dict:
    """Sums that start at 1 (so that an overwritten one is seen): loss, correct, samples; norms."""
    squares = np.array([float((grad.astype(float) ** 2).sum()) for grad in grads])
    norms = {
        "squared": squares,
        "absolute": np.array([np.abs(grad).sum() for grad in grads]),
        "root mean square": np.sqrt(squares / [grad.size for grad in grads]),
        "whole": np.full(len(grads), math.sqrt(squares.sum())),
    }.get(slip, np.sqrt(squares))
    targets = labels if labels.ndim == 1 else labels.argmax(axis=1)
    sums = np.array([losses, (logits.argmax(axis=1) == targets).sum(), len(logits)])
    if slip == "mean":
        sums = sums / [len(logits), len(logits), 1]
    start = 0 if slip == "overwritten" else 1
    return {name: (start + v).astype(np.float32) for name, v in (("norms", norms), ("sums", sums))}


def ask_features(x, mean, var) -> dict:
    """Ask for the features of a network whose backbone is one batch norm, in training mode."""
    training = lesson("section4_transfer.training")
    network, runtime = small_network(len(mean))
    network.norm.running_mean.copy_(tensor(mean))
    network.norm.running_var.copy_(tensor(var))
    head = network.fc
    prepare = lambda images, labels, generator: (images, labels)  # noqa: E731
    features = training.extract_features(network, tensor(x), prepare, runtime)
    return {
        "features": features,
        "running mean afterwards": network.norm.running_mean,
        "the head is put back (1)": float(network.fc is head),
    }


def small_network(width: int):
    """Return a network whose backbone is one batch norm, in training mode, and a runtime."""
    torch = lesson("torch")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.fc = torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 2)

        def forward(self, x):
            return self.fc(self.norm(x))

    runtime = lesson("section4_transfer.engine.runtime").Runtime(torch.device("cpu"), "fp32")
    return Network().train(), runtime


def features_promises() -> None:
    """After an error, too, the head is back."""
    network, runtime = small_network(2)
    head = network.fc

    def prepare(*_):
        raise InterruptedError

    with contextlib.suppress(InterruptedError):
        extract = lesson("section4_transfer.training").extract_features
        extract(network, tensor(np.ones((3, 2))), prepare, runtime)
    if network.fc is not head:
        raise Broken("after an error model.fc is not the head: put it back in a finally")


def features(x, mean, var, slip: str = "") -> dict:
    """Batch norm with the running statistics, which stay."""
    m, v = (x.mean(axis=0), x.var(axis=0)) if slip == "training mode" else (mean, var)
    answers = {
        "features": (x - m) / np.sqrt(v + EPS),
        "running mean afterwards": 0.9 * mean + 0.1 * m if slip == "training mode" else mean,
    }
    head = {"the head is put back (1)": 0.0 if slip == "no head" else 1.0}
    return {name: array.astype(np.float32) for name, array in answers.items()} | head


def ask_mixup(labels, classes, alpha) -> dict:
    """Ask mixup for a batch in which only pixel n of image n is 1: the output shows its weights."""
    torch = lesson("torch")
    n = len(labels)
    pixels = torch.eye(n).view(n, 1, 1, n).repeat(1, 3, 1, 1)
    mix = lesson("section4_transfer.augment").mixup(classes, alpha)
    x, soft = mix(pixels, tensor(labels), torch.Generator().manual_seed(1))
    same(np.eye(n), pixels[:, 0, 0].numpy(), "x")
    return {"weights": x[:, 0, 0], "soft labels": soft}


def mixup_promises() -> None:
    """All chance comes from the generator, every batch has its own, and w is drawn from Beta."""
    for alpha in (0.2, 4.0):
        first, again, other = (mixup_draws(alpha, seed) for seed in (1, 1, 2))
        if not np.all(np.nanmax(first["w"], axis=1) - np.nanmin(first["w"], axis=1) > 1e-6):
            raise Broken("all pairs have the same w: draw one for each")
        for name, remedy in (
            ("w", "draw it by a NumPy generator, which a number from the given one seeds"),
            ("partners", "torch.randperm(len(x), generator=generator)"),
        ):
            if not alike(first[name], again[name]):
                raise Broken(f"{name}: not from the given generator, equal seeds differ: {remedy}")
            if alike(first[name][:1], first[name]) or alike(first[name], other[name]):
                raise Broken(f"{name}: the same in every batch, or for every seed: {remedy}")
        w = np.concatenate([first["w"], other["w"]])
        mean, spread, wanted = np.nanmean(w), np.nanvar(w), 1 / (4 * (2 * alpha + 1))
        if abs(mean - 0.5) > 0.1:
            raise Broken(f"w has the mean {mean:.2f}, Beta(alpha, alpha) 0.5: is w clamped?")
        if abs(spread - wanted) > 0.025:
            raise Broken(
                f"w has the variance {spread:.3f}, but Beta({alpha}, {alpha}) has {wanted:.3f}"
                " (and a uniform one 0.083): draw w from Beta(alpha, alpha)"
            )


def mixup_draws(alpha: float, seed: int) -> dict[str, np.ndarray]:
    """Return w and partners (16, 64) of 16 batches; nan where an image is not seen to be mixed."""
    torch = lesson("torch")
    mix = lesson("section4_transfer.augment").mixup(2, alpha)
    generator, n = torch.Generator().manual_seed(seed), 64
    w, partners = [], []
    for _ in range(16):
        pixels = torch.eye(n).view(n, 1, 1, n).repeat(1, 3, 1, 1)
        weights = mix(pixels, torch.zeros(n, dtype=torch.long), generator)[0][:, 0, 0].numpy()
        others = weights - np.diag(np.diag(weights))
        mixed = others.max(axis=1) > 0
        w.append(np.where(mixed, np.diag(weights), np.nan))
        partners.append(np.where(mixed, others.argmax(axis=1), np.nan))
    return {"w": np.array(w), "partners": np.array(partners)}


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays are equal wherever both hold a number."""
    return bool(np.all(np.isclose(a, b) | np.isnan(a) | np.isnan(b)))


def mixup(labels, classes, alpha, weights=None, slip: str = "") -> dict:
    """The labels that belong to the `weights` of the images, which were drawn at random.

    Row i of the weights must hold w at i and 1 - w at one other place.
    """
    if weights is None or weights.shape != (len(labels),) * 2:
        weights = np.eye(len(labels), dtype=np.float32)
    w = np.clip(np.diag(weights), 0, 1)
    other = (weights - np.diag(np.diag(weights))).argmax(axis=1)
    other = np.where(w == 1, np.arange(len(w)), other)
    onehot = np.eye(classes, dtype=np.float32)[labels]
    mixed = np.diag(w) + (1 - w)[:, None] * np.eye(len(w), dtype=np.float32)[other]
    soft = {
        "hard": onehot,
        "swapped": (1 - w)[:, None] * onehot + w[:, None] * onehot[other],
        "half": (onehot + onehot[other]) / 2,
        "of the other": onehot[other],
    }.get(slip, w[:, None] * onehot + (1 - w)[:, None] * onehot[other])
    return {"weights": mixed.astype(np.float32), "soft labels": soft.astype(np.float32)}


def ask_interval(a, b, comparisons, overlap) -> dict:
    """Ask for a paired difference."""
    found = lesson("shared_utils.stats").paired_difference(
        a, b, comparisons=comparisons, overlap=overlap
    )
    return {name: getattr(found, name) for name in ("mean", "low", "high", "pairs")}


def interval(a, b, comparisons, overlap, slip: str = "") -> dict:
    """Student's interval over pairs; for one pair of boolean arrays that of Agresti and Min."""
    level = 1 - (0.05 if slip == "one-sided" else 0.025) / (1 if slip == "alone" else comparisons)
    normal = NormalDist().inv_cdf(level)
    if np.shape(a) == (1,):
        return {"mean": a[0] - b[0], "low": math.nan, "high": math.nan, "pairs": 1}
    if len(a) == 1:
        n, plus = len(a[0]) + 2, 0.0 if slip == "no half" else 0.5
        n = n - 4 * (0.5 - plus)
        ours, theirs = (a[0] & ~b[0]).sum() + plus, (~a[0] & b[0]).sum() + plus
        middle = (ours - theirs) / n
        half = normal * math.sqrt(((ours + theirs) / n - middle**2) / n)
        mean = a[0].mean() - b[0].mean()
        return {"mean": mean, "low": middle - half, "high": middle + half, "pairs": 1}
    from scipy.stats import t as student  # takes a moment to import

    J, d = len(a), np.subtract(a, b)
    quantile = normal if slip == "normal" else student.ppf(level, J - 1)
    variance = d.var() if slip == "divisor J" else d.var(ddof=1)
    variance = np.var(a, ddof=1) + np.var(b, ddof=1) if slip == "unpaired" else variance
    scale = {"no root of J": 1.0, "no overlap": 1 / J}.get(slip, 1 / J + overlap)
    half = quantile * math.sqrt(scale * variance)
    return {"mean": d.mean(), "low": d.mean() - half, "high": d.mean() + half, "pairs": J}
