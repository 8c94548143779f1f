"""The command line: lists, hints, solutions, many hand-outs at once, and refusals in one line."""

import csv
import json

import pytest

from shared_utils.errors import UserError
from shared_utils.exercises import __main__ as commands
from shared_utils.exercises import handout
from shared_utils.exercises.grading import Verdict
from shared_utils.exercises.handout import RECORD
from shared_utils.exercises.table import exercises


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make hand-outs of nothing but a record; a grader gives the verdicts that it holds."""

    def make(name: str, **verdicts: str):
        folder = tmp_path / name
        folder.mkdir()
        started = {number.replace("_", ".")[1:]: v for number, v in verdicts.items()}
        (folder / RECORD).write_text(json.dumps({"functions": {}, "exercises": started}))
        return folder

    def grade(row, folder, seconds):
        status = json.loads((folder / RECORD).read_text())["exercises"][row.number]
        return Verdict(status, "" if status == "right" else "a case", ("a reason",) * 9)

    monkeypatch.setattr(commands, "grade", grade)
    return make


def line_of(file: str, text: str) -> int:
    lines = (handout.ROOT / file).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(text))


def test_the_list_holds_every_exercise_and_the_state_of_a_handout(make, capsys):
    commands.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1::2]] == list(exercises())
    where = f"section1_mlp/functions.py:{line_of('section1_mlp/functions.py', 'def softmax')}"
    assert lines[2].strip() == where
    commands.main(["list", str(make("one", e1_2="right", e2_2="wrong"))])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:6:2]] == [
        ["1.2", "15", "right"],
        ["2.2", "15", "wrong"],
        ["1.1", "10", "softmax,"],
    ]


def test_a_hint_and_a_solution_are_printed(capsys):
    commands.main(["hint", "1.1", "2.2"])
    said = capsys.readouterr().out
    assert exercises()["1.1"].hint in said and 'section1_mlp/README.md, "Forward"' in said
    assert f"functions.py:{line_of('section1_mlp/functions.py', 'def softmax')}" in said
    commands.main(["solution", "1.3"])
    assert "+    grad = probs.copy()" in capsys.readouterr().out


def test_many_handouts_make_one_table(make, tmp_path, capsys):
    first, second = make("anna", e1_1="right", e1_2="wrong"), make("=ben", e1_1="right")
    table = tmp_path / "verdicts.csv"
    with pytest.raises(SystemExit) as end:
        commands.main(["check", str(first), str(tmp_path), str(second), "--csv", str(table)])
    assert end.value.code == 1
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[0] == ["folder", "exercise", "verdict", "first failing case"]
    assert rows[1:] == [
        [str(first), "1.1", "right", ""],
        [str(first), "1.2", "wrong", "a case"],
        [str(tmp_path), "", "not graded", ""],
        [str(second), "1.1", "right", ""],
    ]
    assert json.loads((first / RECORD).read_text())["exercises"] == {"1.1": "right", "1.2": "wrong"}
    assert "is not a hand-out" in capsys.readouterr().out


def test_a_file_among_handouts_is_reported_and_passed_over(make, tmp_path, capsys):
    folder, file, table = make("anna", e1_1="right"), tmp_path / "notes.txt", tmp_path / "v.csv"
    file.write_text("mine")
    for paths in ([folder, file], [file, folder]):
        with pytest.raises(SystemExit) as end:
            commands.main(["check", *map(str, paths), "--csv", str(table)])
        assert end.value.code == 1
        said = capsys.readouterr().out
        assert "notes.txt is not a hand-out" in said and "1 of 1 started exercises" in said
        rows = [[str(folder), "1.1", "right", ""], [str(file), "", "not graded", ""]]
        assert sorted(csv.reader(table.read_text().splitlines()[1:])) == rows
    with pytest.raises(UserError, match="no is neither a number such as"):
        commands.main(["check", str(folder), str(tmp_path / "no")])


def test_check_ends_with_0_when_all_is_right_and_says_what_comes_first_when_not(make, capsys):
    folder = make("one", e1_1="right", e1_2="wrong", e1_5="wrong")
    assert commands.main(["check", str(folder), "1.1"])["1.1"].status == "right"
    with pytest.raises(SystemExit):
        commands.main(["check", str(folder)])
    said = capsys.readouterr().out
    assert "it builds on 1.2: get that right first" in said
    assert "or: python -m shared_utils.exercises hint 1.5\n" in said
    assert "1.2  the cross-entropy, from the logits, section1_mlp/functions.py: wrong\n" in said
    assert said.endswith("in the whole hand-out, 1 of 3 started exercises are right\n")
    assert max(len(block.splitlines()) for block in said.split("\n\n")) <= 10


def test_a_verdict_that_is_no_wrong_case_names_none_in_the_table(make, tmp_path, monkeypatch):
    verdict = Verdict("not done", "", ("still empty: softmax",))
    monkeypatch.setattr(commands, "grade", lambda *_: verdict)
    with pytest.raises(SystemExit):
        commands.main(["check", str(make("one", e1_1="x")), "--csv", str(tmp_path / "v.csv")])
    assert (tmp_path / "v.csv").read_text().splitlines()[1].endswith(",1.1,not done,")


def test_what_comes_next_is_said_for_the_folder_one_stands_in(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(handout, "start", lambda rows, folder: ["made"])
    monkeypatch.chdir(tmp_path)
    for folder, words in ((".", "next: write"), ("work", "next: cd work, write")):
        commands.main(["start", "1.1", "--to", folder])
        assert words in capsys.readouterr().out


def test_the_help_says_where_to_stand_and_a_limit_that_is_no_number_is_refused(capsys):
    for arguments, words in (
        (["--help"], "for the top folder, the one that holds shared_utils"),
        (["check", "--seconds", "abc"], "must be a finite number above 0, not abc"),
    ):
        with pytest.raises(SystemExit):
            commands.main(arguments)
        said = capsys.readouterr()
        assert words in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "{}/no"], "no is neither a number such as 1.5 nor a folder"),
        (["check", "{}/exercises.json"], "json is neither a number such as 1.5 nor a folder"),
        (["check", "1"], "^1 is neither a number such as 1.5 nor a folder"),
        (["check", "1,5"], "^1,5 is neither a number"),
        (["check", "2.2."], r"^2\.2\. is neither a number"),
        (["check", "{}/.."], r"is not a hand-out .*: go to yours with cd, or make one"),
        (["check", "{}/part"], r"part is a part of a hand-out: go to its own folder, cd .*one$"),
        (["list", "{}/no"], "is not a hand-out"),
        (["check", "{}", "--csv", "{}/no/v.csv"], r"v\.csv cannot be written"),
        (["check", "{}", "--csv", "{}"], "cannot be written"),
        (["check", "{}", "1.2"], r"not started in .*: python -m .* start 1\.2 --to .*one$"),
        (["check", "{}", "9.9"], "there is no exercise 9.9; there are 1.1, 1.2"),
        (["hint", "nine"], "there is no exercise nine"),
        (["start", "0.1", "--to", "{}"], "there is no exercise 0.1"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(make, arguments, words):
    folder = make("one", e1_1="right")
    (folder / "part").mkdir()
    with pytest.raises(UserError, match=words) as refusal:
        commands.main([text.format(folder) for text in arguments])
    assert "\n" not in str(refusal.value)
