"""Ctrl-C and SIGTERM, noted while a step is computed, obeyed between two steps."""

import signal


class Interrupted(BaseException):
    """The run was asked to stop, by the signal `number`, and has kept what it needs to continue.

    Not an Exception, as KeyboardInterrupt is not one: no handler of errors must catch it.
    """

    def __init__(self, number: int, advice: str = ""):
        super().__init__(advice)
        self.number, self.advice = number, advice


class Interrupts:
    """While it is entered, the first SIGINT or SIGTERM is noted as `noted`, not obeyed.

    A second SIGINT raises KeyboardInterrupt at once, for whoever cannot wait for the step's end. A
    second SIGTERM does not: `torchrun` passes Ctrl-C on as one.
    """

    def __init__(self):
        self.noted = 0

    def __enter__(self) -> "Interrupts":
        numbers = signal.SIGINT, signal.SIGTERM
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        if number == self.noted == signal.SIGINT:
            raise KeyboardInterrupt
        self.noted = self.noted or number


def obey_sigterm() -> None:
    """Let SIGTERM raise Interrupted, so that it unwinds what is open, as Ctrl-C does."""

    def stop(number: int, frame) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, stop)
