"""The run folder of a study: opened by the main process alone."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first
from shared_utils.cli import open_run
from shared_utils.runs import RunFolder


@contextmanager
def study_run(
    args: argparse.Namespace, name: str, described: dict, here: Runtime
) -> Iterator[RunFolder | None]:
    """Open the run folder `name`; processes beside the main one get None, once it has opened it."""
    with ExitStack() as stack:
        run = None
        with main_first(here):
            if here.is_main:
                about = described | {"runtime": here.describe()}
                run = stack.enter_context(open_run(args, name, about))
        yield run
