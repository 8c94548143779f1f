"""The shape of the repository: lessons in front, machinery behind doors, scripts from anywhere."""

import ast
import os
import re
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


# The house: the top level of a section is the lesson and its scripts; the rest has these doors.
DOORS = {"layers", "optimizers", "gradcheck", "speed", "engine", "study"}
LESSONS = [
    path
    for path in MODULES
    if path.parent.name in SECTIONS and path not in SCRIPTS and path.name != "__init__.py"
]
# What a lesson may import beside its own section: mathematics, and what the loop is given.
OF_A_LESSON = {"numpy", "torch", "torchvision", "math", "functools", "itertools", "collections"}
OF_A_LESSON |= {"dataclasses", "contextlib", "typing", "re", "pathlib"}
SHARED_WITH_A_LESSON = {"datasets", "errors", "runs", "seed", "stats"}
SMALL = ("quickstart.py", "predict.py")  # no run that a seed or --quick could change
MACHINERY = ("resume", "signal", "lock", "perf_counter", "tqdm", "progress", "checkpoint", "open(")


def functions(path: Path) -> list[ast.FunctionDef]:
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    return function.end_lineno - function.lineno + 1


@pytest.mark.parametrize("section", SECTIONS)
def test_the_rooms_of_a_section_have_the_same_names_everywhere(section):
    rooms = {path.parent.name for path in MODULES if package(path) == section}
    assert rooms <= {section, *DOORS}
    files = {path.name for path in MODULES if path.parent.name == section}
    assert {"model.py", "models.py"} & files and {"training.py", "quickstart.py"} <= files


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_lesson_meets_no_machinery(path):
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for parts in (module.split(".") for module in modules):
            if parts[0] == "shared_utils":
                assert parts[1] in SHARED_WITH_A_LESSON, ".".join(parts)
            else:
                assert parts[0] in OF_A_LESSON | {package(path)}, ".".join(parts)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_loop_of_a_section_is_short_and_nothing_but_the_lesson(section):
    path = ROOT / section / "training.py"
    lines = path.read_text().splitlines()
    loops = [
        f for f in functions(path) if "backward()" in ast.unparse(f) or ".watch(" in ast.unparse(f)
    ]
    assert loops
    for function in loops:
        assert length(function) <= 40, function.name
        start = function.body[0].end_lineno  # behind the docstring
        code = "\n".join(lines[start : function.end_lineno]).lower()
        assert not [word for word in MACHINERY if word in code], function.name


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_functions_are_short_and_only_scripts_know_the_command_line(path):
    scripts = path in SCRIPTS or path.name == "cli.py" or "def add_" in path.read_text()
    for function in functions(path):
        if not function.name.endswith(("parser", "flags", "_flag")):
            assert length(function) <= 60, function.name
        assert scripts or "Namespace" not in ast.unparse(function.args), function.name


@pytest.mark.parametrize("section", SECTIONS)
def test_the_quickstart_is_one_page_with_the_loop_in_it(section):
    text = (ROOT / section / "quickstart.py").read_text()
    assert len(text.splitlines()) <= 50
    assert "backward(" in text and ".step(" in text
    assert "runs-dir" not in text and "add_shared_flags" not in text


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
        assert "default:" in output or script.name == "quickstart.py", way
        if package(script) in SECTIONS and script.name not in SMALL:
            assert "--seed" in output and "--quick" in output, way
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_wait_for_heavy_packages():
    heavy = ["torch", "torchvision", "sklearn", "matplotlib", "scipy", "pandas"]
    code = (
        "import importlib, sys\n"
        "for script in sys.argv[1:]:\n"
        "    importlib.import_module(script)\n"
        f"    assert not sys.modules.keys() & {heavy}, script\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(module, SCRIPTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_file_that_the_front_page_names_is_there():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|txt|json)|test_\w+\.py)", page)
    places = (ROOT, ROOT / "tests")
    missing = [path for path in named if not any((place / path).exists() for place in places)]
    assert named and not missing
    links = re.findall(r"\]\(([^)#:]+)[)#]", page) + re.findall(r'(?:src|href)="([^":]+)"', page)
    assert not [link for link in links if not (ROOT / link).exists()]
