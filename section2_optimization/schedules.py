"""Schedules: the learning rate as a function of the step.

Far from a minimum large steps save time; near it they overshoot, and the noise of the minibatches
keeps the parameters jittering at a distance that grows with the rate. Hence rates that fall. Hence
too, for the adaptive rules above all, rates that first rise: their averages know nothing yet.

Each schedule is a pure function of the step t = 0, 1, ... and of its constants; eta_t is its value.
Set it before the step: `optimizer.lr = cosine(t, lr, total)`. `lr` is the largest rate of a
schedule, its peak. None reaches 0 before t = total, when the training is over.
"""

import math
from collections.abc import Callable
from functools import partial


def constant(t: int, lr: float) -> float:
    """eta_t = lr."""
    _check(t, lr)
    return lr


def step_decay(t: int, lr: float, every: int, factor: float = 0.1) -> float:
    """eta_t = lr factor^floor(t / every)."""
    _check(t, lr)
    _positive(every=every, factor=factor)
    return lr * factor ** (t // every)


def exponential(t: int, lr: float, factor: float) -> float:
    """eta_t = lr factor^t."""
    _check(t, lr)
    _positive(factor=factor)
    return lr * factor**t


def cosine(t: int, lr: float, total: int, lr_min: float = 0.0) -> float:
    """eta_t = lr_min + (lr - lr_min) (1 + cos(pi t / total)) / 2, for t = 0..total.

    Source: Loshchilov and Hutter (2017), "SGDR", equation 5, without restarts.
    """
    _check(t, lr, total)
    return _half_cosine(lr, lr_min, t / total)


def linear_warmup(t: int, lr: float, warmup: int) -> float:
    """eta_t = lr (t + 1) / warmup for t < warmup, then lr: the first step has a rate above 0.

    Source: Goyal et al. (2017), "Accurate, large minibatch SGD", section 2.2.
    """
    _check(t, lr)
    _positive(warmup=warmup)
    return lr * min(1.0, (t + 1) / warmup)


def onecycle(
    t: int,
    lr: float,
    total: int,
    warmup_fraction: float = 0.3,
    start_divisor: float = 25.0,
    end_divisor: float = 1e4,
) -> float:
    """Half a cosine from lr / start_divisor up to lr, then half a cosine down to almost nothing.

    It ends, at t = total - 1, at lr / start_divisor / end_divisor; the peak is at
    t = warmup_fraction total - 1, of a very short training before its first step. Source: Smith and
    Topin (2018), "Super-convergence", with the cosines and the constants of PyTorch's OneCycleLR.
    """
    _check(t, lr, total - 1)
    _positive(start_divisor=start_divisor, end_divisor=end_divisor)
    if not 0 < warmup_fraction < 1:
        raise ValueError(f"warmup_fraction must lie between 0 and 1, not {warmup_fraction}")
    peak, start = warmup_fraction * total - 1, lr / start_divisor
    if peak > 0 and t <= peak:
        return _half_cosine(start, lr, t / peak)
    return _half_cosine(lr, start / end_divisor, (t - peak) / (total - 1 - peak))


SCHEDULES = ("constant", "step", "exponential", "cosine", "warmup", "onecycle")


def make_schedule(name: str, lr: float, total: int) -> Callable[[int], float]:
    """Return the schedule called `name` as a function of the step, fitted to `total` steps.

    Step: a tenth after each third; exponential: down to a hundredth; warm-up: over the first tenth.
    Raises ValueError for an unknown name, with the names that exist.
    """
    schedules = {
        "constant": partial(constant, lr=lr),
        "step": partial(step_decay, lr=lr, every=math.ceil(total / 3)),
        "exponential": partial(exponential, lr=lr, factor=0.01 ** (1 / total)),
        "cosine": partial(cosine, lr=lr, total=total),
        "warmup": partial(linear_warmup, lr=lr, warmup=math.ceil(total / 10)),
        "onecycle": partial(onecycle, lr=lr, total=total),
    }
    if name not in schedules:
        raise ValueError(f"there is no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    return schedules[name]


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _check(t: int, lr: float, last: float = math.inf) -> None:
    if not 0 <= t <= last:
        raise ValueError(f"the step must lie in 0..{last}, not {t}")
    _positive(lr=lr)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a finite number above 0, not {value}")
