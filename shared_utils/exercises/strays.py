"""A file such as numpy.py beside the lessons hides the package of that name from all of them."""

import os
import sys

PACKAGES = {"matplotlib", "numpy", "scipy", "sklearn", "torch"} | sys.stdlib_module_names


def stray_words(folder: str | os.PathLike) -> str:
    """Return which file of `folder` hides a package, and what to do; "" where none does."""
    hidden = (name[:-3] for name in sorted(os.listdir(folder)) if name.endswith(".py"))
    for name in hidden:
        if name in PACKAGES and name != "test":  # Python's own tests, which no lesson imports
            return f"{name}.py in {folder} hides the package {name} of Python: give it another name"
    return ""
