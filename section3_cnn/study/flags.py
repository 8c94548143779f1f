"""The flags that the scripts of this section share."""

import argparse
from pathlib import Path

from section3_cnn.model import ARCHS, POOLS
from shared_utils.cli import add_shared_flags


def add_training_flags(
    parser: argparse.ArgumentParser,
    runs_dir: Path,
    *,
    epochs: int | tuple[None, str],
    seeds: int,
    schedule: str = "onecycle follows: see train_mnist_numpy.py",
    **defaults,
) -> None:
    """Add those of a training; `schedule` says what follows `--lr`, `defaults` add further ones."""
    add_shared_flags(
        parser,
        runs_dir,
        epochs=epochs,
        batch_size=64,
        lr=(0.01, f"%(default)s, of the first step; {schedule}"),
        seeds=seeds,
        dataset="auto",
        limit=(None, "all"),
        resumable=True,
        checkpoint_minutes=10.0,
        **defaults,
    )


def add_network_flags(parser: argparse.ArgumentParser) -> None:
    """Add those that choose a network."""
    parser.add_argument(
        "--arch",
        choices=ARCHS,
        default="small",
        help="small: two convolutions; deep: five, with batch norm and dropout "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--pool", choices=list(POOLS), default="max", help="all pools (default: %(default)s)"
    )
