"""A network of a study, before it is trained, and the names of networks in results."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from section4_transfer.augment import Pipeline
from shared_utils.runs import History
from shared_utils.runs.outcomes import Outcome

Groups = dict[str, list[Outcome]]  # the outcomes of each variant, one a seed


@dataclass(frozen=True)
class Variant:
    """One network of a study, about to be trained."""

    name: str  # in results and figures
    seed: int
    model: nn.Module  # that is tested
    pipeline: Pipeline  # from bytes to what it sees
    train: Callable[..., History]  # `train(run=run)` trains it
    work: float = 0.0  # how long that takes, in the unit of the study's `total_work`
    file: str = ""  # the name under which the first seed's weights are saved; "": not at all


def label(name: str, fraction: float) -> str:
    """Return a variant's name in the results: with its fraction of the images, if not all."""
    return name if fraction == 1 else f"{name} {100 * fraction:g}%"
