"""Run folders: the arguments of a run, what it measured and learned; stopped, and resumed.

A lesson's loop watches a `TrainingRun`, or `NO_RUN`, which keeps and shows nothing:

    for step in run.watch(training, steps):
        if step.ends_epoch:
            ...
"""

from shared_utils.runs.best_epoch import History
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.training_run import NO_RUN, Training, TrainingRun

__all__ = ["NO_RUN", "History", "RunFolder", "Training", "TrainingRun"]
