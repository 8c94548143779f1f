"""Each section on a system without fork, fcntl, resource and pwd, as Windows is: simulated here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What is absent on Windows is taken away before anything is imported. Child processes are started
# anew, and each of them begins with this, too: as `sitecustomize`, which Python imports first.
WITHOUT = """
import multiprocessing, os, signal, sys
if "%(folder)s" in sys.path:
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    for name in ("fork", "forkpty", "getuid", "sched_getaffinity"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGKILL", "SIGUSR1", "SIGHUP"):
        delattr(signal, name)
    multiprocessing.set_start_method("spawn")
    import filelock
    filelock.FileLock = filelock.SoftFileLock  # there, it is msvcrt's
"""
SCRIPTS = {
    "section1_mlp/train.py": ["--epochs", "1", "--limit", "100"],
    "section2_optimization/gradient_checking.py": [],
    "section3_cnn/train_mnist_numpy.py": ["--epochs", "1", "--limit", "100", "--threads", "2"],
    "section4_transfer/resnet_vs_plain.py": ["--epochs", "1", "--limit", "60", "--depth", "8"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_quick_run_needs_nothing_that_posix_alone_has(script, tmp_path):
    if "section4" in script:
        pytest.importorskip("torch", reason="the light environment has no PyTorch")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT % {"folder": tmp_path})
    flags = ["--quick", "--no-show", "--runs-dir", str(tmp_path / "runs"), *SCRIPTS[script]]
    if "section1" in script or "section3" in script:
        flags += ["--dataset", "digits"]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *flags],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert json.loads((folder / "summary.json").read_text())
    assert "finished" in json.loads((folder / "config.json").read_text())


def test_everything_can_be_imported_there(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT % {"folder": tmp_path})
    sections = [path for path in ROOT.glob("section[1-3]*") if path.is_dir()]
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in [*sections, ROOT / "shared_utils"]
        for path in sorted(folder.rglob("*.py"))
        if path.name not in ("__init__.py", "color_images.py", "benchmark.py")
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def environment(folder: Path) -> dict[str, str]:
    """Return this process's variables, with `folder` before all else that Python imports from."""
    return os.environ | {"PYTHONPATH": str(folder)}
