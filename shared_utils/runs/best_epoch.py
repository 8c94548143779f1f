"""What was measured while a network learned, and which of its epochs is the best.

The best epoch has the highest validation accuracy; among equal ones, which small validation sets
have, the lower validation loss. The test set has no part in it.
"""

import math
from dataclasses import dataclass, field


@dataclass
class History:
    """The course of one training."""

    rows: list[dict] = field(default_factory=list)  # one an epoch, as in metrics.csv
    series: dict[str, list] = field(default_factory=dict)  # what else was measured, by its name
    best_epoch: int = 0  # counted from 1; 0: no epoch has ended
    seconds: float = 0.0  # of the training steps, evaluation not counted
    samples: int = 0  # that the training steps have seen

    def add(self, row: dict) -> bool:
        """Append an epoch's row; return whether it is the best epoch so far.

        Raises FloatingPointError, naming the epoch, when the validation loss is not finite.
        """
        if not math.isfinite(row["val_loss"]):
            epoch, loss = len(self.rows) + 1, row["val_loss"]
            raise FloatingPointError(f"epoch {epoch}: the validation loss became {loss}")
        is_best = self.best_epoch == 0 or _rank(row) > _rank(self.best)
        self.rows.append(row)
        if is_best:
            self.best_epoch = len(self.rows)
        return is_best

    @property
    def best(self) -> dict:
        """The row of the best epoch."""
        return self.rows[self.best_epoch - 1]

    @property
    def samples_per_second(self) -> float:
        """How many samples a second of training saw."""
        return self.samples / self.seconds if self.seconds else 0.0


def _rank(row: dict) -> tuple[float, float]:
    return row["val_acc"], -row["val_loss"]
