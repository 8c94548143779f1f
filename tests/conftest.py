"""Settings for all tests: no windows, and Ctrl-C as usual, which a background job ignores.

Every process has one thread: the arrays are small, and pytest has a process on each of the cores.
Without PyTorch, whose results most tests are held against, only the others are collected.
"""

import ast
import importlib.util
import os
import signal
from pathlib import Path

import pytest

os.environ |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent


def needs_torch(path: Path, seen: set[Path]) -> bool:
    """Return whether a file imports PyTorch at its top, itself or through another of ours."""
    if path in seen:
        return False
    seen.add(path)
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if any(module.split(".")[0] in ("torch", "torchvision") for module in found):
        return True
    files = [ROOT.joinpath(*module.split(".")) for module in found]
    files = [f for base in files for f in (base.with_suffix(".py"), base / "__init__.py")]
    return any(needs_torch(file, seen) for file in files if file.is_file())


@pytest.fixture
def no_rendering(monkeypatch):
    """Empty files in the place of figures, whose rendering takes most of a small run's time."""
    monkeypatch.setattr("shared_utils.plotting.render", lambda fig: b"")


if importlib.util.find_spec("torch") is None:
    collect_ignore = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("test_*.py"))
        if needs_torch(path, set())
    ]
    print(f"without PyTorch: {len(collect_ignore)} files of tests need it and are left out")
