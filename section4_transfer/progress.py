"""What is shown while a network trains: a bar with loss, accuracy, images per second, time left."""

import time
from collections.abc import Callable

from torch import Tensor

from section4_transfer.devices import Runtime

_WARM, _TIMED = 2, 12  # steps: the first ones are slow, so the time is taken between these
_SHOWN = 10  # steps from one look at the loss to the next: each look makes a GPU wait


class Progress:
    """Follows a training of `images` images in `steps` steps, of which some may be `done`.

    Only the main process shows it. `on_estimate` gets the seconds that a new training will take,
    once, early.
    """

    def __init__(
        self,
        name: str,
        images: int,
        steps: int,
        done: int,
        runtime: Runtime,
        on_estimate: Callable[[float], None] | None = None,
    ):
        from tqdm import tqdm

        hidden = None if runtime.is_main else True  # None: hidden where nobody watches
        seen = round(images * done / steps)
        self.bar = tqdm(total=images, initial=seen, desc=name, unit="img", disable=hidden)
        self.steps, self.step, self.started = steps, 0, 0.0
        self.on_estimate = on_estimate if runtime.is_main and done == 0 else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def advance(self, images: int, sums: Tensor) -> None:
        """Note a step of so many images; `sums` are the epoch's so far: loss, right, images."""
        self.step += 1
        self.bar.update(images)
        if self.step % _SHOWN == 0 and not self.bar.disable:
            loss, right, count = sums.tolist()
            self.bar.set_postfix(loss=f"{loss / count:.3f}", acc=f"{right / count:.3f}")
        if self.step == _WARM:
            self.started = time.perf_counter()
        if self.step == _TIMED and self.on_estimate is not None:
            each = (time.perf_counter() - self.started) / (_TIMED - _WARM)
            self.on_estimate(each * self.steps)
