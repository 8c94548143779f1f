"""How a network is trained: the numbers of a recipe, and the schedules of its learning rate.

A schedule is a factor on the peak, `Recipe.lr`; a function of the run's progress p in [0, 1). In a
first part of the run, `Recipe.warm_up`, it rises in a straight line from 0.1 to 1. Then:

    onecycle  down along half a cosine, after a warm-up over a quarter of the run
              (after Smith and Topin 2018, "Super-convergence")
    cosine    (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2017, "SGDR", equation 5)
    step      1, a tenth from one half on, a hundredth from three quarters on (He et al. 2015)
"""

import math
from dataclasses import dataclass

from shared_utils.errors import UserError

WARM_UP = {"onecycle": 0.25, "cosine": 0.0, "step": 0.0}  # by schedule; also their names


def schedule(name: str, progress: float, warm_up: float | None = None) -> float:
    """Return the factor on the peak learning rate; `warm_up` None is the schedule's own."""
    if warm_up is None:
        warm_up = WARM_UP[name]
    if progress < warm_up:
        return 0.1 + 0.9 * progress / warm_up
    if name == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


@dataclass(frozen=True)
class Recipe:
    """SGD with a momentum of 0.9, and what the flags say."""

    epochs: int
    batch_size: int  # of all processes together
    lr: float  # the peak
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    warm_up: float | None = None  # part of the run; None: the schedule's own
    nesterov: bool = True
    label_smoothing: float = 0.0
    clip: float = 0.0  # the largest norm of the whole gradient; 0: any
    crop: float = 1 / 16  # largest shift of an image, as a part of its side
    ema: float = 0.0  # decay of the average of the weights that is evaluated; 0: no average
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
        return schedule(self.schedule, progress, self.warm_up)


def passes_for(fraction: float) -> int:
    """Return how often an epoch passes over a fraction of the training images.

    As many images are shown as the whole set has, exactly where the fraction is 1, 1/2, 1/3 and so
    on. Else few labels would also mean few steps, and a study could not tell which of the two a
    network lacks.
    """
    return max(1, round(1 / fraction))
