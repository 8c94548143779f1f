"""The hand-out: holes and nothing else, in its own folder, and a student's work is never lost."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared_utils.errors import UserError
from shared_utils.exercises import handout
from shared_utils.exercises.handout import (
    RECORD,
    ROOT,
    WELCOME,
    repository_files,
    solution,
    start,
)
from shared_utils.exercises.holes import body, empty
from shared_utils.exercises.table import choose, exercises, file_of

SOURCE = b'''import math\r

class A:
    # before
    def f(self, x: int) -> int:
        """Doc.

        More.
        """
        # a remark on the solution
        return (
            x
        )
    # behind

    def g(self): pass
def f(x):
    def inner(y):
        y += 1
        return y
    return inner(x)'''


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "all"
    start(choose(["all"]), folder)
    return folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository of the files that exercises 1.1, 1.2 and 2.2 need, without git."""
    root = tmp_path / "repository"
    for path in repository_files(ROOT):
        if path.name == "README.md" or (path.suffix == ".py" and path.parts[0] != "tests"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, root / path)
    monkeypatch.setattr(handout, "ROOT", root)
    return root


def test_a_body_is_replaced_and_all_other_bytes_stay():
    emptied = empty(SOURCE, "A.f", "later").decode()
    assert emptied == SOURCE.decode().replace(
        "        # a remark on the solution\n        return (\n            x\n        )\n",
        '        raise NotImplementedError("later")\r\n',
    )
    assert body(SOURCE, "f.inner") == b"        y += 1\n        return y\n"
    emptied = empty(SOURCE, "f.inner", "later")
    assert emptied.endswith(
        b'def inner(y):\n        raise NotImplementedError("later")\r\n    return inner(x)'
    )
    for name in ("A.h", "B.f", "h"):
        with pytest.raises(KeyError):
            empty(SOURCE, name, "later")


def test_a_handout_differs_from_the_repository_in_its_holes_alone(made):
    copied = bytes_of(made)
    record = json.loads(copied.pop(RECORD))
    assert record["exercises"] == dict.fromkeys(exercises(), "not done")
    assert copied.keys() == {path.as_posix() for path in repository_files(ROOT)}
    holes = {}
    for row in exercises().values():
        for function in row.functions:
            holes.setdefault(file_of(function), []).append((row.number, function.split(":")[1]))
    page = copied.pop("README.md").decode()
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines(keepends=True)
    (left_out,) = (line for line in lines if "exercises/test_planted.py" in line)
    lines.remove(left_out)  # that test is not handed out
    assert left_out.startswith("| the exercises") and page == WELCOME + "".join(lines)
    for file, content in copied.items():
        expected = (ROOT / file).read_bytes()
        for number, name in holes.get(file, []):
            expected = empty(expected, name, f"exercise {number}: {exercises()[number].title}")
            node = ast.parse(content)
            for part in name.split("."):
                node = next(n for n in node.body if getattr(n, "name", "") == part)
            raised = node.body[-1].exc
            assert raised.func.id == "NotImplementedError", name
            assert raised.args[0].value.startswith(f"exercise {number}: "), name
            assert len(node.body) == 1 + (ast.get_docstring(node) is not None), name
        assert content == expected, file


def test_a_handout_holds_neither_runs_nor_data(made):
    names = bytes_of(made)
    assert "section1_mlp/README.md" in names and "shared_utils/runs/folder.py" in names
    assert not [name for name in names if name.endswith(".pyc")]
    assert not (made / "data").exists() and not list(made.glob("section*/runs"))


def test_an_untouched_handout_holds_what_its_front_page_names(made):
    words = "-B -m pytest -n 0 -p no:cacheprovider -k front_page tests/test_structure.py"
    done = subprocess.run(
        [sys.executable, *words.split()],
        cwd=made,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_git_and_a_bare_folder_list_the_same_files(tmp_path):
    for name in (
        "a.py",
        "section1_mlp/model.py",
        "section1_mlp/figures/f.png",
        "shared_utils/runs/x.py",
        ".gitignore",
        "ä b.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    kept = {path.as_posix() for path in repository_files(tmp_path)}
    assert kept == {
        "a.py",
        "section1_mlp/model.py",
        "section1_mlp/figures/f.png",
        "shared_utils/runs/x.py",
        ".gitignore",
        "ä b.txt",
    }
    left_out = (
        "section1_mlp/runs/r/config.json",
        "data/x",
        ".venv/x",
    )
    for name in (
        *left_out,
        "env/pyvenv.cfg",
        "a/__pycache__/x.pyc",
        "shared_utils/report/report.html",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a.py")
    assert {path.as_posix() for path in repository_files(tmp_path)} == kept
    (tmp_path / ".gitignore").write_text("/env/\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert {path.as_posix() for path in repository_files(tmp_path)} == kept


def test_more_exercises_join_a_handout_and_keep_what_was_written(small, tmp_path):
    folder, before = tmp_path / "work", bytes_of(small)
    start(choose(["1.1"]), folder)
    functions = folder / "section1_mlp" / "functions.py"
    hole = b'raise NotImplementedError("exercise 1.1: softmax, which no logit can overflow")'
    functions.write_bytes(functions.read_bytes().replace(hole, b"return 42  # mine"))
    (folder / "notes.txt").write_text("mine")
    lines = start(choose(["1.1", "1.2"]), folder)
    assert "was there already" in lines[0] and "was there already" not in lines[1]
    assert b"return 42  # mine" in functions.read_bytes()
    assert b"exercise 1.2" in functions.read_bytes()
    assert (folder / "notes.txt").read_text() == "mine"
    assert bytes_of(small) == before and not (tmp_path / RECORD).exists()


def test_a_function_that_the_student_changed_is_never_emptied(small, tmp_path):
    folder = tmp_path / "work"
    start(choose(["1.1"]), folder)
    linear = folder / "section2_optimization" / "layers" / "linear.py"
    linear.write_text(
        linear.read_text().replace("x = self._cached()", "x = self._cached()  # mine")
    )
    before = bytes_of(folder)
    with pytest.raises(UserError, match=r"Linear\.backward in .* was changed"):
        start(choose(["1.2", "2.2"]), folder)
    assert bytes_of(folder) == before
    for content, words in ((b"def f(:", "not valid Python"), (b"x = 1\n", "put it back")):
        linear.write_bytes(content)
        with pytest.raises(UserError, match=words):
            start(choose(["2.2"]), folder)
    linear.unlink()
    with pytest.raises(UserError, match="is missing"):
        start(choose(["2.2"]), folder)


def test_a_folder_that_is_something_else_is_refused(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for folder, words in (
        (tmp_path / "mine", "neither empty nor a hand-out"),
        (tmp_path / "file", "neither empty nor a hand-out"),
        (small / "inside", "lies in the repository"),
        (small, "lies in the repository"),
    ):
        with pytest.raises(UserError, match=words):
            start(choose(["1.1"]), folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "repository"]


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"functions": {}, "exercises": {"1.1": 1}}'])
def test_a_damaged_record_is_refused_in_one_line(tmp_path, record):
    (tmp_path / RECORD).write_text(record)
    with pytest.raises(UserError, match="is damaged"):
        handout.read_record(tmp_path)


def test_a_handout_makes_no_handouts_and_has_no_solutions_but_adds_to_itself(
    small, tmp_path, monkeypatch
):
    folder = tmp_path / "work"
    start(choose(["1.1"]), folder)
    monkeypatch.setattr(handout, "ROOT", folder)
    with pytest.raises(UserError, match="not in a hand-out"):
        solution(choose(["1.1"])[0])
    with pytest.raises(UserError, match="is a hand-out itself"):
        start(choose(["1.1"]), tmp_path / "other")
    start(choose(["2.2"]), folder)
    assert "2.2" in handout.read_record(folder)["exercises"]


def test_the_solution_leads_from_the_holes_to_the_original(made, tmp_path):
    difference = "".join(solution(row) for row in choose(["1.4"]))
    (tmp_path / "functions.py").write_bytes((ROOT / "section1_mlp/functions.py").read_bytes())
    assert "-    raise NotImplementedError" in difference and "+    return a > 0\n" in difference
    assert difference.count("raise NotImplementedError") == 3


def test_every_exercise_names_functions_and_a_heading_that_exist():
    for row in exercises().values():
        page = (ROOT / row.page).read_text(encoding="utf-8").splitlines()
        assert any(line.lstrip("#") == f" {row.heading}" for line in page if line[:1] == "#"), (
            row.number
        )
        for function in row.functions:
            assert body((ROOT / file_of(function)).read_bytes(), function.split(":")[1]).strip()
        assert set(row.builds_on) < exercises().keys() and row.hint and row.minutes > 0
