"""A comparison that was stopped: the searches that were done are taken from the run folder."""

from section2_optimization.study.comparison import (
    Budget,
    Method,
    Trial,
    TrialsByLr,
    initial_network,
    search,
)
from section2_optimization.study.toy_data import ToyData
from shared_utils.runs import RunFolder


def resumable_search(run: RunFolder, data: ToyData, method: Method, budget: Budget) -> TrialsByLr:
    """Return what `search` finds, or has found in this run before."""

    def train_all() -> dict:
        found = search(data, method, budget)
        return {lr: [_state(trial) for trial in trials] for lr, trials in found.items()}

    kept = run.cached(f"{data.name}-{method.name}-{method.schedule}", train_all)
    return {lr: [_restored(state, data) for state in states] for lr, states in kept.items()}


def _state(trial: Trial) -> dict:
    return vars(trial) | {"model": trial.model.params}


def _restored(state: dict, data: ToyData) -> Trial:
    trial = Trial(**state | {"model": initial_network(data, state["seed"])})
    for key, param in trial.model.params.items():
        param[:] = state["model"][key]
    return trial
