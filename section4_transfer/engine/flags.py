"""The flags that the scripts of this section share; without PyTorch, so that `--help` is quick."""

import argparse
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from section4_transfer.engine.recipe import WARM_UP, Recipe
from shared_utils.cli import (
    IMAGE_DATASETS,
    add_shared_flags,
    momentum_number,
    non_negative_float,
    number,
    open_run,
    parse_args,
    positive_int,
)
from shared_utils.runs import RunFolder

if TYPE_CHECKING:
    from section4_transfer.engine.runtime import Runtime
    from shared_utils.datasets.color_images import TorchData

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
fraction = number(lambda x: 0 < x <= 1, "above 0 and at most 1")
# What belongs to the steps of He et al. (2015), section 4.2, and differs from our defaults.
PUBLISHED = {"weight_decay": 1e-4, "crop": 1 / 8, "nesterov": False}


def add_study_flags(
    parser: argparse.ArgumentParser,
    runs_dir: Path,
    *,
    epochs: int,
    batch_size: int,
    lr,
    published: dict = PUBLISHED,
) -> None:
    """Add what the studies share; `lr` is one of the defaults of `add_shared_flags`."""
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
    add_recipe_flags(parser, published)
    parser.add_argument(
        "--crop",
        type=fraction,
        default=1 / 16,
        help="largest shift of an augmented image, as a part of its side, at least a pixel"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--ema",
        type=momentum_number,
        default=0.0,
        help="evaluate and keep a moving average of the weights, with this decay, such as 0.999"
        " (default: none)",
    )


def parse_study_args(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    quick: dict,
    published: dict = PUBLISHED,
) -> argparse.Namespace:
    """Parse `argv`; `--quick` and `--schedule step` change defaults: explicit flags still win."""
    args = parse_args(parser, argv, quick)
    if args.schedule == "step":
        parser.set_defaults(**published)
        args = parse_args(parser, argv, quick)
    return args


def load_images(args: argparse.Namespace, size: int) -> "TorchData":
    """Load the images that the flags name; those of a folder become squares of `size` pixels."""
    from shared_utils.datasets.color_images import load_torch_data

    return load_torch_data(
        args.dataset,
        args.data_dir,
        args.limit,
        size,
        limit_all=args.quick,  # a first look at large data
        skip_damaged=args.skip_damaged,
    )


def open_study(
    args: argparse.Namespace, name: str, data: "TorchData", runtime: "Runtime", **about
) -> AbstractContextManager[RunFolder | None]:
    """Open the run folder `name`, in the main process alone; `config.json` holds `about` too."""
    from section4_transfer.engine.state_files import TORCH

    described = data.describe() | about | {"runtime": runtime.describe()}
    return runtime.only_main(open_run(args, name, described, TORCH))


def add_resize_flag(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the size of the images that the network sees."""
    parser.add_argument(
        "--resize",
        type=positive_int,
        default=default,
        help="side of the images that the network sees, in pixels (default: %(default)s)",
    )


def add_recipe_flags(parser: argparse.ArgumentParser, published: dict | None = None) -> None:
    """Add the flags of device, precision and recipe; `published` are the defaults of `step`."""
    defaults = " ".join(_as_flag(name, value) for name, value in (published or {}).items())
    changes = f", with {defaults} by default" if defaults else ""
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: CUDA, else MPS, else the CPU"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the arithmetic; auto: bf16 on NVIDIA GPUs and x86 chips that have units for it",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        help="threads on the processor; results differ in their last digits (default: all cores;"
        " where other programs are at work, 1 can be many times faster)",
    )
    parser.add_argument(
        "--schedule",
        type=lambda text: text.replace("one-cycle", "onecycle"),  # its name in earlier versions
        choices=list(WARM_UP),
        default="onecycle",
        help="of the learning rate, whose peak is --lr; step: as published for CIFAR"
        f"{changes} (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-up",
        type=momentum_number,
        help="part of the run in which the learning rate rises to its peak, in [0, 1) (default:"
        f" {', '.join(f'{part:g} for {name}' for name, part in WARM_UP.items())})",
    )
    parser.add_argument(
        "--nesterov",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Nesterov's momentum, not the heavy ball's (default: on)",
    )
    for name, kind, meaning in (
        (
            *("--label-smoothing", momentum_number),
            "part of each label that is spread evenly over all classes, in [0, 1)",
        ),
        ("--clip", non_negative_float, "largest norm of the whole gradient; 0: no limit"),
    ):
        parser.add_argument(name, type=kind, default=0.0, help=f"{meaning} (default: %(default)s)")


def _as_flag(name: str, value) -> str:
    flag = name.replace("_", "-")
    return f"--no-{flag}" if value is False else f"--{flag} {value:g}"


def recipe_from(flags: dict, **changes) -> Recipe:
    """Return the recipe that the flags describe (`vars(args)`), with `changes`."""
    named = {f.name: flags[f.name] for f in fields(Recipe) if f.name in flags}
    return Recipe(**named | changes)
