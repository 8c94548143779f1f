"""How a network is trained: the numbers of a recipe, and the schedules of its learning rate.

A schedule is a factor on the peak, `Recipe.lr`; a function of the run's progress p in [0, 1):

    onecycle  up in a straight line over the first quarter, then down along half a cosine
              (after Smith and Topin 2018, "Super-convergence")
    cosine    (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2017, "SGDR", equation 5)
    step      1, a tenth from one half on, a hundredth from three quarters on (He et al. 2015)
"""

import math
from dataclasses import dataclass

from shared_utils.errors import UserError

_WARM_UP = 0.25


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _onecycle(progress: float) -> float:
    if progress < _WARM_UP:
        return 0.1 + 0.9 * progress / _WARM_UP
    return _cosine((progress - _WARM_UP) / (1 - _WARM_UP))


def _step(progress: float) -> float:
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


SCHEDULES = {"onecycle": _onecycle, "cosine": _cosine, "step": _step}


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov's momentum of 0.9, and what the flags say."""

    epochs: int
    batch_size: int  # of all processes together
    lr: float  # the peak
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    label_smoothing: float = 0.0
    clip: float = 0.0  # the largest norm of the whole gradient; 0: any
    passes: int = 1  # over the training images in an "epoch", between two evaluations

    def check(self, processes: int, n: int | None = None) -> None:
        """Raise UserError when a process's shard of a batch, of n images in all, could be one."""
        if n is not None and n < 2 * processes:
            raise UserError(
                f"{n} training images are too few for {processes} processes: start at most {n // 2}"
            )
        least = 4 * processes
        if self.batch_size < least:
            raise UserError(
                f"--batch-size must be at least {least}, not {self.batch_size}:"
                " batch norm compares the images of a batch"
            )

    def steps_per_epoch(self, n: int) -> int:
        """Return the number of steps between two evaluations, for n training samples."""
        return self.passes * math.ceil(n / self.batch_size)

    def lr_factor(self, progress: float) -> float:
        """Return the schedule's factor on every peak learning rate."""
        return SCHEDULES[self.schedule](progress)


def passes_for(fraction: float) -> int:
    """Return how often an epoch passes over a fraction of the training set.

    As many images are shown as the whole set has. Else few labels would also mean few steps, and a
    study could not tell which of the two a network lacks.
    """
    return max(1, round(1 / fraction))
