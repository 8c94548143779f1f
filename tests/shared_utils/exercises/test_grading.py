"""A student's code may do what it likes: the verdict comes, in words, and nothing else happens."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared_utils.cli import ROOT
from shared_utils.exercises import handout
from shared_utils.exercises.grading import grade, judge
from shared_utils.exercises.table import choose, exercises

ROW = exercises()["1.1"]
HOLE = '    raise NotImplementedError("exercise 1.1: softmax, which no logit can overflow")\n'
RIGHT = """\
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graded") / "work"
    handout.start(choose(["1.1", "1.3"]), folder)
    return folder


@pytest.fixture
def write(folder):
    """Put a body into the hole of 1.1; the hole comes back after the test."""
    path = folder / "section1_mlp" / "functions.py"
    original = path.read_text()
    assert original.count(HOLE) == 1
    yield lambda body, before="": path.write_text(before + original.replace(HOLE, body))
    path.write_text(original)


def test_the_empty_function_is_not_done_and_the_original_is_right(folder, write):
    assert grade(ROW, folder).status == "not done"
    write(RIGHT)
    assert grade(ROW, folder).status == "right"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    import sys\n    sys.exit(0)\n", "take sys.exit"),
        ("    import os\n    os._exit(0)\n", "ended without an answer"),
        ("    import ctypes\n    ctypes.string_at(0)\n", "ended with status"),
        ("    return softmax(logits)\n", "calls itself without an end"),
        ("    return input()\n", "EOFError"),
        (
            "    raise KeyboardInterrupt\n",
            "KeyboardInterrupt in section1_mlp/functions.py:52",
        ),
    ],
)
def test_code_that_ends_in_any_way_gets_a_verdict(folder, write, body, words):
    write(body)
    found = grade(ROW, folder)
    assert found.status == "error" and words in " ".join(found.lines)
    assert found.case == "5 samples, 3 classes"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    raise NotImplementedError\n", "still empty: softmax in section1_mlp/functions.py:52"),
        (RIGHT[: RIGHT.index("    return")] + HOLE, "functions.py:53 still raises NotImpl"),
    ],
)
def test_a_raise_that_was_left_is_told_from_an_empty_function(folder, write, body, words):
    write(body)
    found = grade(ROW, folder)
    assert found.status == "not done" and words in found.lines[0] and not found.case
    assert ("delete that line" in found.lines[0]) == ("still raises" in words)


def test_a_file_that_python_cannot_read_is_no_case_that_fails(folder, write):
    write("    return (logits\n")
    found = grade(ROW, folder)
    assert found.status == "error" and not found.case
    assert found.lines == (
        "Python cannot read the file: SyntaxError in section1_mlp/functions.py:52:"
        " '(' was never closed",
    )


def test_a_function_that_is_gone_or_has_another_name_is_asked_for(folder, write):
    write("    pass\n\n\ndel softmax\n")
    assert "is the name as in the hand-out?" in grade(ROW, folder).lines[1]
    error = {"type": "NotImplementedError", "text": "", "function": "backward", "more": False}
    error |= {"file": "section2_optimization/layers/base.py", "line": 9}
    found = judge(exercises()["2.2"], [answers(error=error)])
    assert found.status == "error" and "is the name as in the hand-out?" in found.lines[1]


def test_a_file_that_hides_a_package_is_named(folder):
    (folder / "numpy.py").write_text("")
    try:
        assert grade(ROW, folder).lines[0].startswith("numpy.py in ")
        done = subprocess.run(
            [sys.executable, "-m", "shared_utils.exercises", "list"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    finally:
        (folder / "numpy.py").unlink()
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.endswith("hides the package numpy of Python: give it another name\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limit")
def test_memory_has_a_limit_well_below_what_the_machine_has(folder, write):
    write("    return np.zeros((25_000, 25_000))\n")  # 5 GB, if they were ever touched
    assert "more memory than a grader has" in grade(ROW, folder).lines[1]


def test_an_endless_loop_ends_with_the_time_limit_and_leaves_no_process(folder, write, monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda *a, **options: started.append(popen(*a, **options)) or started[0],
    )
    write("    while True:\n        pass\n")
    found = grade(ROW, folder, seconds=1)
    assert found.status == "error" and "no answer within 1 seconds" in found.lines[0]
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_what_is_printed_does_not_reach_the_verdict(folder, write):
    forged = json.dumps({"case": "5 samples, 3 classes", "answers": {}, "changed": []})
    write(f"    print('right\\n', {forged!r}, flush=True)\n    return None\n")
    found = grade(ROW, folder)
    assert found.status == "wrong" and "it is None" in found.lines[0]
    write(f"    print('x' * 10_000_000)\n{RIGHT}")
    assert grade(ROW, folder).status == "right"


def test_the_grader_and_not_the_handout_decides_how_it_is_graded(folder, write):
    package = folder / "shared_utils" / "exercises"
    kept = {path: path.read_bytes() for path in package.rglob("*.py")}
    try:
        for path in kept:
            path.write_text("raise SystemExit('mine')\n")
        write(RIGHT.replace("axis=1", "axis=0"))
        assert grade(ROW, folder).lines[-1].startswith("each column sums to 1")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_the_folder_stays_as_it_is_and_its_own_modules_are_imported(folder, write, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    write(RIGHT, before="from shared_utils.mine import np\n")
    (folder / "shared_utils" / "mine.py").write_text("import numpy as np\n")
    before = sorted(folder.rglob("*"))
    assert grade(ROW, folder).status == "right"
    assert sorted(folder.rglob("*")) == before


def answers(**changes) -> dict:
    record = {"case": "5 samples, 3 classes", "changed": []}
    return record | changes


def encoded(array, **changes) -> dict:
    array = np.asarray(array)
    entry = {"type": "ndarray", "dtype": str(array.dtype), "shape": list(array.shape)}
    return entry | {"values": array.ravel().tolist()} | changes


def verdict(entry: dict, number: str = "1.1"):
    return judge(exercises()[number], [answers(answers=entry)])


def test_another_kind_of_answer_is_told_from_wrong_numbers():
    right = ROW.oracle(**ROW.cases["5 samples, 3 classes"])["probs"]
    for entry, words in (
        (encoded(right[:, :2]), "its shape is (5, 2), but (5, 3) is expected"),
        (encoded(right.astype(np.float32)), "its dtype is float32, but float64"),
        ({"type": "list", "items": []}, "it is a list"),
        ({"type": "str"}, "it is a str"),
        ({"type": "ndarray", "dtype": "object", "shape": [2]}, "a ndarray of object (2,)"),
        ({"type": "NoneType"}, "it is None"),
    ):
        found = verdict({"probs": entry})
        assert words in " ".join(found.lines)
    assert verdict({}).lines[0].startswith("probs: it is None")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: -p, "the wrong sign"),
        (lambda p: 5 * p, "5 times too large, exactly N"),
        (lambda p: p / 5, "5 times too small, exactly N"),
        (lambda p: 15 * p, "15 times too large: a sum in place of a mean"),
        (lambda p: 2 * p, "every entry is 2 times the expected one"),
        (lambda p: p + 0.25, "every entry is 0.25 too large: a constant was added"),
        (lambda p: p * np.where(np.arange(3) == 1, -1, 1), "some signs are not"),
        (lambda p: p[::-1], "the right numbers in another order"),
        (lambda p: 0 * p, "zero everywhere"),
        (lambda p: np.where(p > 0.5, np.nan, p), "entries are not finite, nan at ["),
        (lambda p: p.T, "the transpose of what is expected"),
        (lambda p: p[..., None], "only the shape is not"),
        (lambda p: np.stack([p] * 5) / 5, "the sum over the batch is missing"),
        (lambda p: np.stack([p] * 5), "the mean over the batch is missing"),
        (lambda p: np.random.default_rng(0).random((3, 5)), "the axes are in the reverse order"),
    ],
)
def test_a_difference_of_a_known_kind_is_explained(wrong, words):
    right = ROW.oracle(**ROW.cases["5 samples, 3 classes"])["probs"]
    found = verdict({"probs": encoded(wrong(right))})
    assert found.status == "wrong" and words in " ".join(found.lines), found.lines


def test_the_largest_difference_is_found_and_the_right_answers_are_named():
    case = exercises()["2.2"].cases["6 samples, 3 inputs, 2 outputs"]
    right = exercises()["2.2"].oracle(**case)
    wrong = right["dW"].copy()
    wrong[2, 1] += 0.5
    wrong[0, 0] -= 0.25
    found = verdict(
        {name: encoded(wrong if name == "dW" else grad) for name, grad in right.items()}, "2.2"
    )
    assert found.lines[0] == "dW: 2 of 6 entries of an array (3, 2) are wrong"
    assert found.lines[1].startswith("largest difference 0.5 at [2, 1]: it is ")
    assert found.lines[2] == "right in this case: dx, db"


def test_another_answer_to_the_same_question_is_seen():
    records = [
        answers(case=name, answers={"probs": encoded(ROW.oracle(**case)["probs"])})
        for name, case in ROW.cases.items()
    ]
    assert judge(ROW, [*records, records[0]]).status == "right"
    again = answers(
        answers={"probs": encoded(ROW.oracle(**ROW.cases["5 samples, 3 classes"])["probs"] + 1)}
    )
    assert "asked a second time" in judge(ROW, [*records, again]).lines[0]
    assert judge(ROW, records, "it stopped").lines == ("it stopped",)


def test_an_exercise_that_needs_another_says_so():
    error = {"type": "NotImplementedError", "text": "exercise 3.3: im2col and col2im"}
    error |= {"file": "", "line": 0, "function": "im2col", "more": False}
    found = judge(exercises()["3.4"], [answers(error=error)])
    assert found.lines == ("it needs exercise 3.3: do that one first",)


def test_an_exercise_whose_package_is_missing_is_not_graded(folder):
    missing = folder / "torch"
    missing.mkdir()
    text = "raise ModuleNotFoundError(\"No module named 'torch'\")\n"
    (missing / "__init__.py").write_text(text)
    found = grade(exercises()["4.1"], folder)
    shutil.rmtree(missing)
    assert found.status == "not graded" and found.lines[0].startswith("this exercise needs torch")


def test_from_start_to_a_verdict_by_the_command_itself(tmp_path):
    def command(*words: str, cwd: Path = handout.ROOT) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "shared_utils.exercises", *words],
            cwd=cwd,
            capture_output=True,
            text=True,
        )

    folder = tmp_path / "work"
    assert command("start", "1.3", "--to", str(folder)).returncode == 0
    path = folder / "section1_mlp" / "functions.py"
    hole = 'raise NotImplementedError("exercise 1.3: the gradient of softmax and cross-entropy")'
    path.write_text(path.read_text().replace(hole, "return (probs - np.eye(probs.shape[1])[y])"))
    done = command("check", cwd=folder)
    assert done.returncode == 1 and "5 times too large, exactly N" in done.stdout
    assert command("list", cwd=folder).stdout.splitlines()[1].split()[:3] == ["1.3", "10", "wrong"]
    text = path.read_text().replace("return (probs", "return (1 / len(y)) * (probs")
    path.write_text(text)
    done = command("check", "1.3", cwd=folder)
    assert done.returncode == 0 and "1 of 1 started exercises are right" in done.stdout


def test_an_endless_loop_ends_also_where_the_grader_was_killed():
    resource = pytest.importorskip("resource", reason="this system has no limits of a process")
    code = (
        "import resource; from shared_utils.exercises.answering import _limit; _limit(3000, 0.5);"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout) == 12 != resource.getrlimit(resource.RLIMIT_CPU)[1]
