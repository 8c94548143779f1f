"""How a network is trained: the numbers of a recipe, its flags, and the schedules of its rate.

A schedule is a factor on the peak rate, a function of the run's progress p in [0, 1):

    one-cycle  up in a straight line over the first quarter, then down along half a cosine
               (after Smith and Topin 2018, "Super-convergence")
    cosine     (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2017, "SGDR", equation 5)
    step       1, a tenth from one half on, a hundredth from three quarters on (He et al. 2015)
"""

import argparse
import math
from dataclasses import dataclass, fields

from section4_transfer.devices import DEVICES, PRECISIONS, Runtime
from shared_utils.cli import non_negative_float
from shared_utils.errors import UserError

_WARM_UP = 0.25


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _one_cycle(progress: float) -> float:
    if progress < _WARM_UP:
        return 0.1 + 0.9 * progress / _WARM_UP
    return _cosine((progress - _WARM_UP) / (1 - _WARM_UP))


def _step(progress: float) -> float:
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


SCHEDULES = {"one-cycle": _one_cycle, "cosine": _cosine, "step": _step}


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov's momentum of 0.9, and what the flags say."""

    epochs: int
    batch_size: int  # of all processes together
    lr: float  # the peak
    weight_decay: float = 5e-4
    schedule: str = "one-cycle"
    label_smoothing: float = 0.0
    clip: float = 0.0  # the largest norm of the whole gradient; 0: any
    passes: int = 1  # over the training images in an "epoch", between two evaluations

    def check(self, runtime: Runtime, n: int | None = None) -> None:
        """Raise UserError when a process's share of a batch, of n images in all, could be one."""
        if n is not None and n < 2 * runtime.world:
            raise UserError(
                f"{n} training images are too few for {runtime.world} processes: start at most"
                f" {n // 2}"
            )
        least = 4 * runtime.world
        if self.batch_size < least:
            raise UserError(
                f"--batch-size must be at least {least}, not {self.batch_size}:"
                " batch norm compares the images of a batch"
            )


def add_recipe_flags(parser: argparse.ArgumentParser, weight_decay: float = 5e-4) -> None:
    """Add the flags of the engine, which all scripts of this section share."""
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: CUDA, else MPS, else the CPU"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the arithmetic; auto: bf16 on chips with units for it, else fp32",
    )
    parser.add_argument(
        "--schedule",
        choices=list(SCHEDULES),
        default="one-cycle",
        help="of the learning rate, whose peak is --lr (default: %(default)s)",
    )
    for name, default, meaning in (
        ("--weight-decay", weight_decay, "pull of every weight towards zero"),
        ("--label-smoothing", 0.0, "share of a label that is spread over all classes, below 1"),
        ("--clip", 0.0, "largest norm of the whole gradient; 0: any"),
    ):
        parser.add_argument(
            name,
            type=non_negative_float,
            default=default,
            help=f"{meaning} (default: %(default)s)",
        )


def recipe_of(args: argparse.Namespace, **changes) -> Recipe:
    """Return the recipe that the flags describe, with `changes`."""
    if args.label_smoothing >= 1:
        raise UserError("--label-smoothing must be below 1, or nothing of a label is left")
    flags = {f.name: getattr(args, f.name) for f in fields(Recipe) if hasattr(args, f.name)}
    return Recipe(**flags | changes)


def share(text: str) -> float:
    """Read a number above 0 and at most 1 (an argparse type)."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return value


def passes_for(fraction: float) -> int:
    """Return how often an epoch passes over a fraction of the training set.

    As many images are shown as the whole set has. Else few labels would also mean few steps, and a
    study could not tell which of the two a network lacks.
    """
    return max(1, round(1 / fraction))
