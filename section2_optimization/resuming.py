"""A comparison that was stopped: the arms that were done are taken from the run folder."""

from collections.abc import Sequence

from section2_optimization.comparison import Arm, Trial, initial_network, search
from section2_optimization.toy_data import ToyData
from shared_utils.runs.folder import RunFolder


def resumable_search(
    run: RunFolder,
    name: str,
    data: ToyData,
    arm: Arm,
    rates: Sequence[float],
    seeds: Sequence[int],
    bar,
    **options,
) -> dict[float, list[Trial]]:
    """Return what `search` finds, or found before the run was stopped; `bar` counts trainings."""

    def states() -> dict:
        found = search(data, arm, rates, seeds, bar.update, **options)
        return {lr: [_state(trial) for trial in trials] for lr, trials in found.items()}

    before = bar.n
    kept = run.cached(name, states)
    bar.update(before + len(rates) * len(seeds) - bar.n)
    return {lr: [_restored(trial, data) for trial in trials] for lr, trials in kept.items()}


def _state(trial: Trial) -> dict:
    return vars(trial) | {"model": trial.model.params}


def _restored(state: dict, data: ToyData) -> Trial:
    trial = Trial(**state | {"model": initial_network(data, state["seed"])})
    for key, param in trial.model.params.items():
        param[:] = state["model"][key]
    return trial
