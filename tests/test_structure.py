"""The shape of the repository: sections stand alone, scripts start from anywhere."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ["section1_mlp", "section2_optimization", "section3_cnn", "section4_transfer"]
MODULES = sorted(
    path for folder in [*SECTIONS, "shared_utils"] for path in ROOT.glob(f"{folder}/**/*.py")
)
SCRIPTS = [path for path in MODULES if '__name__ == "__main__"' in path.read_text()]
ENTRY = "sys.path.insert(0, str(Path(__file__).resolve().parents[{}]))  # start from any directory"


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_sections_never_import_each_other(path):
    assert imports(path) & set(SECTIONS) <= {package(path)}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_numpy_sections_do_without_torch(path):
    if package(path) in SECTIONS[:3] and path.name != "benchmark.py":
        assert not imports(path) & {"torch", "torchvision"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_scripts_touch_the_import_path_and_all_by_the_same_line(path):
    lines = [line for line in path.read_text().splitlines() if "sys.path" in line]
    depth = len(path.relative_to(ROOT).parts) - 1
    assert lines == ([ENTRY.format(depth)] if path in SCRIPTS else [])


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_global_randomness(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "random"):
            assert node.attr in ("Generator", "default_rng", "SeedSequence"), ast.unparse(node)


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_every_script_starts_in_every_way(script, tmp_path):
    starts = {
        "from its section": ([script.name], script.parent),
        "as a module": (["-m", module(script)], ROOT),
        "from elsewhere": ([str(script)], tmp_path),
    }
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    running = {
        way: subprocess.Popen(
            [sys.executable, *command, "--help"],
            cwd=folder,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for way, (command, folder) in starts.items()
    }
    for way, process in running.items():
        output, _ = process.communicate()
        assert process.returncode == 0, f"{way}: {output}"
        assert "default:" in output, way
        if package(script) in SECTIONS:
            assert "--seed" in output and "--quick" in output, way
    assert list(tmp_path.iterdir()) == []


NUMPY_SCRIPTS = [path for path in SCRIPTS if package(path) in SECTIONS[:3]]


@pytest.mark.parametrize("script", NUMPY_SCRIPTS, ids=name)
def test_help_does_not_wait_for_heavy_packages(script):
    heavy = {"torch", "torchvision", "sklearn", "matplotlib", "scipy", "pandas"}
    code = f"import sys; import {module(script)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not heavy & set(done.stdout.split())
