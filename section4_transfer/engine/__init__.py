"""What lets the lesson's loop run anywhere: devices, precision, several processes, checkpoints.

    recipe.py, flags.py   the numbers of a training, and the flags that set them; without PyTorch
    averaging.py          a moving average of the weights
    devices.py            which device, which precision, and what to say when memory runs out
    runtime.py            the machine, to a training: one small object
    distributed.py        the same object for one of several processes
    state_files.py        what is kept on disk between two steps
    weights.py            files of weights, ours and those of others

PyTorch takes seconds to import. So the names below are looked up when they are first asked for.
"""

from importlib import import_module

_HOMES = {
    "Recipe": "section4_transfer.engine.recipe",
    "Runtime": "section4_transfer.engine.runtime",
    "evaluate": "section4_transfer.training",
    "fit": "section4_transfer.training",
    "init_runtime": "section4_transfer.engine.runtime",
    "predict": "section4_transfer.training",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
