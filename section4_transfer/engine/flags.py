"""The flags that the scripts of this section share; without PyTorch, so that `--help` is quick."""

import argparse
from dataclasses import fields
from pathlib import Path

from section4_transfer.engine.recipe import SCHEDULES, Recipe
from shared_utils.cli import (
    IMAGE_DATASETS,
    add_shared_flags,
    momentum_number,
    non_negative_float,
    positive_int,
)

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def add_study_flags(
    parser: argparse.ArgumentParser, runs_dir: Path, *, epochs: int, batch_size: int, lr
) -> None:
    """Add what the three studies share; `lr` is a default, or a pair as in `add_shared_flags`."""
    add_shared_flags(
        parser,
        runs_dir,
        datasets=IMAGE_DATASETS,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
        weight_decay=5e-4,
    )
    add_recipe_flags(parser)


def add_fraction_flags(
    parser: argparse.ArgumentParser, fractions: list[float], meaning: str
) -> None:
    """Add the size of the images that the network sees, and the parts of the data to learn from."""
    parser.add_argument(
        "--resize",
        type=positive_int,
        default=224,
        help="side of the images that the network sees, in pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=fraction,
        default=fractions,
        help=f"{meaning} (default: {' '.join(f'{value:g}' for value in fractions)})",
    )


def add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of device, precision and recipe."""
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
        type=lambda text: text.replace("one-cycle", "onecycle"),  # its name in earlier versions
        choices=list(SCHEDULES),
        default="onecycle",
        help="of the learning rate, whose peak is --lr (default: %(default)s)",
    )
    for name, kind, meaning in (
        ("--label-smoothing", momentum_number, "part of a label that all classes share, in [0, 1)"),
        ("--clip", non_negative_float, "largest norm of the whole gradient; 0: any"),
    ):
        parser.add_argument(name, type=kind, default=0.0, help=f"{meaning} (default: %(default)s)")


def recipe_from(flags: dict, **changes) -> Recipe:
    """Return the recipe that the flags describe (`vars(args)`), with `changes`."""
    named = {f.name: flags[f.name] for f in fields(Recipe) if f.name in flags}
    return Recipe(**named | changes)


def fraction(text: str) -> float:
    """Read a number above 0 and at most 1 (an argparse type)."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return value
