"""The run folder of a study: opened by the main process alone."""

import argparse
from contextlib import nullcontext

from section4_transfer.devices import Runtime
from shared_utils.cli import open_run


def study_run(args: argparse.Namespace, name: str, described: dict, here: Runtime):
    """Return the context of the run folder `name`; processes beside the main one get None."""
    if not here.is_main:
        return nullcontext()
    return open_run(args, name, described | {"runtime": here.describe()})
