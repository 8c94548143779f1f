"""The report: what it shows, what it compares, and that nothing in a run folder can hurt it."""

import base64
import importlib
import json
import os
import shlex

import pytest

from shared_utils.report import __main__ as report
from shared_utils.report import gathering
from shared_utils.report.checking import count, judge, load_expected
from shared_utils.report.gathering import ROOT, flags, gather
from shared_utils.report.page import render
from shared_utils.report.tables import metrics_table, result_tables
from tests.shared_utils.report.helpers import ENTRY, Page, draw, make_run


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository without runs, in whose Section 1 a test may make some."""
    monkeypatch.setattr(gathering, "ROOT", tmp_path)
    monkeypatch.setattr(report, "load_expected", lambda: [ENTRY])
    return tmp_path


def page_of(runs) -> Page:
    return Page(render(runs, judge([ENTRY], runs)))


def runs_of(root):
    return root / "section1_mlp" / "runs"


# What the page shows


def test_values_figures_and_configuration_are_on_the_page(root):
    path = make_run(runs_of(root) / "train")
    page = page_of(gather())
    cells = [text for _, text in page.all("td")]
    for wanted in ("98.34%", "98.00% to 98.50%", "98.10% ± 0.03%", "52.00%", "1.6, 1, 2"):
        assert wanted in cells
    assert "98.10%" in cells and "98.00% ± 0.20%" in cells and "95.00%" in cells  # the comparison
    assert "95.00% (A. Author 1998)" in cells and "all 2 within tolerance" in cells
    assert "ab" * 32 in cells  # the digest of the data, folded away
    assert "relu is first" in [text for _, text in page.all("li")]
    (image,) = [attributes for attributes, _ in page.all("img")]
    kind, content = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content, validate=True) == (path / "curves.png").read_bytes()
    assert (image["width"], image["height"]) == ("40", "30") and image["alt"]
    folded = [text for _, text in page.all("details")]
    assert any("sha256" in text for text in folded) and any("0.25" in text for text in folded)


def test_headers_can_be_sorted_by_keyboard_and_numbers_carry_their_order(root):
    make_run(runs_of(root) / "train")
    page = page_of(gather())
    heads = [attributes for attributes, _ in page.all("th")]
    assert heads and all(head["aria-sort"] == "none" and head["scope"] == "col" for head in heads)
    buttons = page.all("button")
    assert len(buttons) == len(heads) and all(text for _, text in buttons)
    orders = {text: attributes.get("data-order") for attributes, text in page.all("td")}
    assert float(orders["98.34%"]) == 0.9834 and float(orders["98.10% ± 0.03%"]) == 0.981


def test_nothing_is_asked_for_from_elsewhere(root):
    make_run(runs_of(root) / "train")
    page = page_of(gather())
    for tag, attributes, _ in page.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            value = attributes.get(name, "")
            assert value.startswith(("#", "data:image/png;base64,")) or not value, (tag, value)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    links = [attributes["href"][1:] for attributes, _ in page.all("a")]
    names = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert set(links) <= set(names) and len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"data": {"name": "digits"}}, "fallback data: digits"),
        ({"data": {"name": "photo-digits"}}, "fallback data: photo-digits"),
        ({"data": {"name": "other", "notice": "no MNIST"}}, "fallback data: other"),
        ({"args": {"quick": True}}, "quick"),
        ({"args": {"limit": 600}}, "limited to 600 samples"),
    ],
)
def test_small_runs_are_marked(root, change, mark):
    make_run(runs_of(root) / "train", **change)
    (run,) = gather()
    assert run.marks == [mark]
    page = page_of([run])
    assert mark in [text for attributes, text in page.all("span") if "class" in attributes]
    notice = change.get("data", {}).get("notice")
    assert not notice or notice in [text for _, text in page.all("p")]


def test_a_full_run_has_no_mark(root):
    make_run(runs_of(root) / "train")
    assert gather()[0].marks == []


def test_unfinished_runs_are_listed_as_such(root):
    (make_run(runs_of(root) / "train") / "summary.json").unlink()
    (run,) = gather()
    assert run.marks == ["unfinished"] and run.problems == []
    page = page_of([run])
    assert "unfinished" in [text for _, text in page.all("td")]
    assert page.all("img")


def test_what_was_not_run_is_listed_with_its_command(root):
    make_run(runs_of(root) / "train", flags=["--quick"])
    items = [text for _, text in page_of(gather()).all("li")]
    (missing,) = [text for text in items if ENTRY["command"] in text]
    assert "section1_mlp/runs/train" in missing and "--quick" in missing
    page = Page(render([], judge(load_expected(), [])))  # no run at all
    items = [text for _, text in page.all("code")]
    assert items == [entry["command"] for entry in load_expected()]


def test_of_equal_runs_the_last_finished_one_is_shown(root):
    make_run(runs_of(root) / "train-20260101-000000", mean=0.97, started="2026-01-01")
    make_run(runs_of(root) / "train", mean=0.981, started="2026-01-02")
    make_run(runs_of(root) / "train-quick", ["--quick"], started="2026-01-03")
    (make_run(runs_of(root) / "train-new", started="2026-01-04") / "summary.json").unlink()
    shown = {run.path.name: run.superseded for run in gather()}
    assert shown == {
        "train": False,
        "train-20260101-000000": True,
        "train-new": False,
        "train-quick": False,
    }
    assert len(page_of(gather()).all("article")) == 3


def test_runs_from_other_places_find_their_chapter(root, tmp_path):
    make_run(tmp_path / "a" / "one")  # by the script's path
    make_run(tmp_path / "b", command=["python", "train.py"])  # nobody can tell
    page = page_of(gather([tmp_path / "a", tmp_path / "b"]))
    assert "a/one" in page.text(id="section1_mlp").replace(str(tmp_path), "")
    assert "Other runs" in page.text(id="other")
    with pytest.raises(report.UserError, match="is not a folder"):
        gather([tmp_path / "nowhere"])


def test_long_and_wide_results_are_folded_turned_and_cut():
    wide = {"runs": {"a": {f"x{n}": n for n in range(20)}, "b": {"x3": 5}}}
    (table,) = result_tables(wide)
    assert table.columns == ["", "a", "b"] and len(table.rows) == 20
    assert [cell.text for cell in table.rows[3]] == ["x3", "3", "5"]
    (table,) = result_tables({"runs": {str(n): {"x": n} for n in range(5000)}})
    assert table.folded and len(table.rows) == 200 and "5,000" in table.note
    table = metrics_table([["epoch"], ["8"], ["9"]], 9)
    assert table.note == "the last 2 of 9 rows" and table.rows[1][0].text == "9"


def test_last_rows_of_long_metrics_are_kept(root):
    rows = "".join(f"{n}\n" for n in range(1000))
    (make_run(runs_of(root) / "train") / "metrics.csv").write_text(f"epoch\n{rows}")
    (run,) = gather()
    assert run.metric_rows == 1000 and run.metrics[0] == ["epoch"] and run.metrics[-1] == ["999"]
    assert len(run.metrics) == 31


# Damaged and hostile folders

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


def test_hostile_text_stays_text(root):
    path = make_run(
        runs_of(root) / "<img src=x onerror=alert(3)>",
        flags=["--seeds", "3", HOSTILE],
        data={"name": HOSTILE, "notice": HOSTILE, "sha256": HOSTILE},
        args={"limit": HOSTILE, HOSTILE: HOSTILE},
        started=HOSTILE,
    )
    evil = {HOSTILE: {HOSTILE: HOSTILE}, "x": HOSTILE, "conclusions": [HOSTILE, {"a": HOSTILE}]}
    (path / "summary.json").write_text(json.dumps(evil | {"figures": [HOSTILE]}))
    (path / "metrics.csv").write_text(f"{HOSTILE}\n{HOSTILE}\n")
    draw(path / '"onload="alert(4)".png')
    page = page_of(gather())
    clean = page_of([])
    assert len(page.all("script")) == len(clean.all("script")) == 1
    assert page.all("script") == clean.all("script")  # and with it the digest in the policy
    assert len(page.all("img")) == 2 and all("onload" not in a for a, _ in page.all("img"))
    assert HOSTILE in [text for _, text in page.all("li")]
    assert all(
        not name.startswith("on") for _, attributes, _ in page.elements for name in attributes
    )
    (policy,) = [a["content"] for a, _ in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def break_json(name, content):
    return lambda path: (path / name).write_bytes(content)


def name_directory(path):
    (path / "summary.json").unlink()
    (path / "summary.json").mkdir()


def make_pipe(path):
    (path / "curves.png").unlink()
    os.mkfifo(path / "curves.png")


def grow(path):
    with open(path / "metrics.csv", "wb") as file:
        file.truncate(50_000_000_000)  # a sparse file


def half_picture(path):
    whole = (path / "curves.png").read_bytes()
    (path / "curves.png").write_bytes(whole[: len(whole) // 2])


def lost_picture(path):
    (path / "summary.json").write_text(json.dumps({"figures": ["curves.png", "lost.png"]}))


def lead_astray(path):
    (path / "curves.png").unlink()
    (path / "curves.png").symlink_to("/etc/passwd")


DAMAGE = {
    "half a summary": (break_json("summary.json", b'{"runs": '), "summary.json: is not valid JSON"),
    "no object": (break_json("summary.json", b"[1, 2]"), "summary.json: is not a JSON object"),
    "empty": (break_json("config.json", b""), "config.json: is not valid JSON"),
    "no text": (break_json("config.json", b"\xff\xfe\x00"), "config.json: is not valid JSON"),
    "deep": (break_json("summary.json", b'{"a":' * 10**5), "summary.json: is not valid JSON"),
    "too deep": (
        break_json("summary.json", b'{"a":' * 30 + b"1" + b"}" * 30),
        "summary.json: is nested too deeply",
    ),
    "a long field": (
        break_json("metrics.csv", b"x" * 200_000),
        "metrics.csv: field larger than field limit (131072)",
    ),
    "no config": (lambda path: (path / "config.json").unlink(), "config.json: is not there"),
    "a folder": (name_directory, "summary.json: is not a file"),
    "a pipe": (make_pipe, "curves.png: is not a file"),
    "huge": (grow, "metrics.csv: has more than 8,000,000 bytes"),
    "half a picture": (half_picture, "curves.png: is not a whole PNG"),
    "no picture": (lead_astray, "curves.png: is not a whole PNG"),
    "a lost picture": (lost_picture, "lost.png: is not there"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line_and_the_rest_is_shown(root, name):
    damage, line = DAMAGE[name]
    make_run(runs_of(root) / "train-whole", ["--seeds", "9"])
    damage(make_run(runs_of(root) / "train"))
    runs = {run.path.name: run for run in gather()}
    assert runs["train"].problems == [line] and "damaged" in runs["train"].marks
    assert not runs["train"].unfinished and runs["train-whole"].problems == []
    page = page_of(list(runs.values()))
    (shown,) = [text for attributes, text in page.all("p") if attributes.get("class") == "bad"]
    assert shown == f"Could not be read: {line}" and page.all("img")


STRANGE = (
    "null", "true", "-1", "1e999", "NaN", "9" * 4000, '"text"', "[]", "{}", "[[[1]]]", '"\\ud800"',
    '{"mean": {}, "std": 1, "n": []}', '{"a": {"mean": "x", "std": "y", "n": 1}}',
    '{"mean": 1, "std": {}, "n": 1}', '[{"a": 1}, {"b": [1, {}]}]', '{"acc": "high"}',
    '{"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": 1}}}}}}}}}}', '{"": {"": ""}}',
)  # fmt: skip


@pytest.mark.parametrize("part", ["config.json", "summary.json"])
def test_strange_values_anywhere_are_shown_or_left_out(root, part):
    names = {
        "config.json": ("command", "args", "data", "started", "versions"),
        "summary.json": ("runs", "conclusions", "figures", "acc", "data"),
    }
    for number, strange in enumerate(STRANGE):
        path = make_run(runs_of(root) / f"train-{number}")
        body = ", ".join(f'"{name}": {strange}' for name in names[part])
        (path / part).write_text("{" + body + "}")
    page_of(gather())


def test_odd_names_reach_the_disc(root, capsys):
    make_run(runs_of(root) / os.fsdecode(b"tr\xffain\x1b[31m"))
    assert report.main(["--output", str(root / "out" / "page.html")])["measured"] == 2
    assert (root / "out" / "page.html").read_bytes().decode("utf-8")
    report.main(["--check"])
    assert "\x1b" not in capsys.readouterr().out


# The command line


def test_its_name_and_a_tilde_are_understood(root, capsys):
    args = report.build_parser().parse_args(["--output=~/page.html", "--runs=~/runs"])
    home = report.Path.home()
    assert (args.output, args.runs) == (home / "page.html", [home / "runs"])
    with pytest.raises(SystemExit):
        report.main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m shared_utils.report ")


def test_a_folder_without_a_run_is_named(root, capsys):
    (root / "more" / "empty").mkdir(parents=True)
    make_run(root / "more" / "train")
    folders = [str(root / "more" / name) for name in ("", "train", "empty")]
    report.main(["--output", str(root / "page.html"), "--runs", *folders])
    notes = [line for line in capsys.readouterr().out.splitlines() if "note: " in line]
    wanted = "name a run folder, or the folder that holds run folders"
    assert notes == [f"note: {root / 'more' / 'empty'} holds no run: {wanted}"]


def test_a_page_that_cannot_be_made_is_one_line(root, monkeypatch):
    def refuse(path, content):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(report, "write_atomically", refuse)
    with pytest.raises(report.UserError, match=r"x\.html cannot be made: choose another --output"):
        report.main(["--output", str(root / "x.html")])


# The comparison


def check(capsys, *argv):
    """Return the exit status of --check, and its lines."""
    try:
        report.main(["--check", *argv])
        status = 0
    except SystemExit as stop:
        status = stop.code
    except report.UserError:
        status = 2
    return status, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 0),
        ({"mean": 0.98199}, 0),  # the tolerance is 0.002
        ({"mean": 0.97801}, 0),
        ({"mean": 0.98201}, 1),
        ({"mean": 0.97799}, 1),
        ({"gain": 2.01}, 1),
        ({"gain": None}, 1),
        ({"gain": float("nan")}, 1),
        ({"gain": True}, 1),
        ({"gain": "1.5"}, 1),
        ({"gain": 10**400}, 1),
    ],
)
def test_verdicts(root, capsys, values, status):
    make_run(runs_of(root) / "train", **values)
    assert check(capsys)[0] == status


def test_a_number_that_is_not_there_is_a_failure(root, capsys):
    path = make_run(runs_of(root) / "train")
    (path / "summary.json").write_text('{"runs": {"relu": 3}, "gains": {"crop": []}}')
    status, lines = check(capsys)
    assert status == 1 and sum("no number there" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"data": {"name": "digits"}}, "its data is digits, not mnist"),
        ({"flags": ["--seeds", "3", "--quick"]}, "its flags differ: --quick"),
        ({"flags": ["--seeds", "3", "--limit=600"]}, "its flags differ: --limit 600"),
        ({"flags": ["--seeds", "4"]}, "its flags differ: --seeds 4"),
        ({"flags": []}, "its flags differ: without --seeds"),
    ],
)
def test_other_runs_are_not_compared_and_it_is_said_why(root, capsys, run, reason):
    make_run(runs_of(root) / "train", mean=0.5, **run)
    status, lines = check(capsys)
    assert status == 2  # nothing was compared: that is no success
    assert f"  not compared: section1_mlp/runs/train: {reason}" in lines and "  not run" in lines


@pytest.mark.parametrize("flag", ["--data-dir=x", "--no-show", "--dataset=mnist", "--runs-dir=y"])
def test_flags_that_change_no_result_do_not_matter(root, capsys, flag):
    make_run(runs_of(root) / "train", flags=[flag, "--seeds=3"])
    assert check(capsys)[0] == 0


def test_unfinished_and_broken_runs_are_not_compared(root, capsys):
    (make_run(runs_of(root) / "train-1") / "summary.json").unlink()
    (make_run(runs_of(root) / "train-2") / "summary.json").write_text("{")
    make_run(runs_of(root) / "other", command=["python", "section1_mlp/test.py", "--seeds", "3"])
    status, lines = check(capsys)
    assert status == 2
    assert "  not compared: section1_mlp/runs/train-1: it is unfinished" in lines
    assert "  not compared: section1_mlp/runs/train-2: its summary.json cannot be read" in lines
    assert not any("other" in line for line in lines)


def test_the_newest_run_counts(root, capsys):
    make_run(runs_of(root) / "a", mean=0.5, started="2026-01-01")
    make_run(runs_of(root) / "b", mean=0.981, started="2026-01-03")
    make_run(runs_of(root) / "c", mean=0.5, started="2026-01-02")
    assert check(capsys)[0] == 0


def test_where_a_name_is_not_enough_the_digest_decides(root):
    make_run(runs_of(root) / "train")
    entry = ENTRY | {"pixels": "cd" * 32, "data_note": "a lossy copy"}
    (judged,) = judge([entry], gather())
    assert not judged.run and "a lossy copy is expected" in judged.passed_over[0][1]
    assert judge([entry | {"pixels": "12" * 32}], gather())[0].run


def test_nothing_at_all_is_status_2(root, capsys):
    status, lines = check(capsys)
    assert status == 2 and ENTRY["command"] in lines
    assert count([], judge([ENTRY], []))["not_run"] == 1


# The data file


@pytest.mark.parametrize("entry", load_expected(), ids=lambda entry: entry["command"])
def test_expected_commands_exist_and_their_numbers_are_complete(entry):
    script, _ = flags(shlex.split(entry["command"]))
    section, runs, name = entry["folder"].split("/")
    assert runs == "runs" and name
    module = importlib.import_module(f"{section}.{script.removesuffix('.py')}")
    words = shlex.split(entry["command"])
    start = next(n for n, word in enumerate(words) if word.endswith(".py"))
    assert words[start] == f"{section}/{script}" and (ROOT / section / script).exists()
    module.build_parser().parse_args(words[start + 1 :])
    assert entry["data"] and entry["hardware"] and entry["values"]
    assert ("pixels" in entry) == ("data_note" in entry)
    for value in entry["values"]:
        assert value["what"] and value["path"] and value["tolerance"] >= 0
        assert isinstance(value["value"], (int, float)) and "unit" in value
        assert value.get("published", {"source": "none"})["source"]
    assert len({tuple(value["path"]) for value in entry["values"]}) == len(entry["values"])
