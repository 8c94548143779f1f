"""Run folders: the arguments of a run, what it measured and learned; stopped, and resumed.

A lesson's loop needs one name of this package, `NO_RUN` or the `TrainingRun` that it was given:

    for step in run.watch(training, steps):
        if step.ends_epoch:
            ...
"""

from shared_utils.runs.folder import RunFolder
from shared_utils.runs.history import History
from shared_utils.runs.training import NO_RUN, Training, TrainingRun

__all__ = ["NO_RUN", "History", "RunFolder", "Training", "TrainingRun"]
