"""Pictures found, answered line by line, and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared_utils.errors import UserError
from shared_utils.predictions import Classifier, answer_pictures, find_pictures


def level(path: Path) -> np.ndarray:
    """See a picture as its mean level, in [0, 1]."""
    try:
        with Image.open(path) as image:
            return np.full((1, 2, 2), np.asarray(image.convert("L")).mean() / 255)
    except OSError as error:
        raise UserError(f"{path} is damaged") from error


DARK_OR_LIGHT = Classifier(
    Path("level.pt"),
    "two levels",
    ("dark", "li$ght", "neither"),
    level,
    lambda x: np.array([1 - x[0, 0, 0], x[0, 0, 0], 0.0], np.float32),
)


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """A folder with pictures of two levels, in folders, and with what is no picture."""
    monkeypatch.chdir(tmp_path)
    names = {"a.png": 51, "b[1].PNG": 204, "in/c.jpg": 255, ".hidden.png": 0, "in/.x/d.png": 0}
    for name, value in names.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    return tmp_path / "pictures"


def found(*names: str) -> list[str]:
    return [path.as_posix() for path in find_pictures(names)[0]]


def test_files_folders_and_patterns_name_pictures(pictures):
    everything = ["pictures/a.png", "pictures/b[1].PNG", "pictures/in/c.jpg"]
    assert found("pictures") == everything
    assert found("pictures/a.png", "pictures/in") == [everything[0], everything[2]]
    assert found("pictures/b[1].PNG") == [everything[1]]  # a name, though it looks like a pattern
    assert found("pictures/*") == everything[:2]
    assert found("pictures/**/*.jpg") == everything[2:]
    assert found(str(pictures / "?.png")) == [(pictures / "a.png").as_posix()]


@pytest.mark.parametrize(
    "name, words",
    [
        ("empty", "empty holds no picture: name a picture"),
        ("none.png", "does not exist"),
        ("none/*.png", "not exist"),
        ("", "an empty name was given: name a picture"),
        ("~nobody-is-called-so/a.png", "names no user's home: name a picture"),
        ("pictures/i*", r"i\* matches only folders: .* write pictures.i\*.\*"),
        ("pictures/n*", r"n\* matches no picture, but \.txt files \(1\): name a picture"),
    ],
)
def test_a_name_that_stands_for_no_picture_is_refused(pictures, name, words):
    with pytest.raises(UserError, match=words):
        find_pictures([name])


def test_pictures_of_a_telephone_are_to_be_saved_as_jpeg(pictures, capsys):
    advice = "save HEIC as JPEG, it cannot be read here"
    for name in ("empty/1.HEIC", "empty/2.heic", "pictures/3.heic"):
        Path(name).write_bytes(b"ftypheic")
    with pytest.raises(UserError, match=rf"holds no picture, but \.heic files \(2\): {advice}"):
        find_pictures(["empty"])
    assert len(answer_pictures(["pictures"], DARK_OR_LIGHT, Path("runs"), as_json=True)) == 3
    left_out = "left out: .heic files (1), .txt files (1)"
    assert capsys.readouterr().err == f"{left_out}: {advice}\n"
    with pytest.raises(UserError, match="1 of 1"):
        answer_pictures(["empty/1.HEIC"], DARK_OR_LIGHT, Path("runs"))
    path = Path("empty/1.HEIC")
    assert capsys.readouterr().err == f"error: {path} is damaged: {advice}\n"


def test_an_answer_is_a_line_with_the_likeliest_classes(pictures, capsys):
    answers = answer_pictures(["pictures/a.png"], DARK_OR_LIGHT, Path("runs"))
    network, line, where = capsys.readouterr().out.splitlines()
    assert network == "network: level.pt, trained on two levels"
    assert line == "pictures/a.png: dark 80.00%, then li$ght 20.00%, neither 0.00%"
    assert where == f"what the network saw: {Path('runs/inputs.png')}"
    assert answers[0].ranking[0] == ("dark", pytest.approx(0.8))
    answer_pictures(["pictures/a.png"], DARK_OR_LIGHT, Path("runs"), top=1)
    assert "\npictures/a.png: dark 80.00%\n" in capsys.readouterr().out


def test_json_lines_hold_the_answers_and_nothing_else(pictures, capsys):
    answer_pictures(["pictures"], DARK_OR_LIGHT, Path("runs"), top=2, as_json=True)
    out = capsys.readouterr().out
    first, second, third = map(json.loads, out.splitlines())
    assert list(first) == ["file", "label", "probability", "top", "weights"]
    assert (first["file"], first["label"]) == ("pictures/a.png", "dark")
    assert first["weights"] == "level.pt"
    assert second["probability"] == pytest.approx(0.8)
    assert third["top"] == [
        {"label": "li$ght", "probability": 1.0},
        {"label": "dark", "probability": 0.0},
    ]
    assert Path("runs/predictions.jsonl").read_text() == out


def test_damaged_pictures_are_named_and_the_others_answered(pictures, capsys):
    (pictures / "b[1].PNG").write_bytes(b"no picture")
    (pictures / "red\x1b[31m.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 4 pictures could not be used"):
        answer_pictures(["pictures"], DARK_OR_LIGHT, Path("runs"))
    out, err = capsys.readouterr()
    assert "a.png: dark" in out and "c.jpg: li$ght" in out
    assert "b[1].PNG is damaged" in err and "red\\x1b[31m.png is damaged" in err


def test_the_figure_shows_the_first_pictures_and_opens_on_request(pictures, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("shared_utils.plotting.show_figures", lambda no_show: shown.append(no_show))
    heights = []
    for count, show in ((1, False), (10, True), (12, False)):
        names = ["pictures/a.png"] * count
        answer_pictures(names, DARK_OR_LIGHT, Path("runs"), show=show)
        with Image.open("runs/inputs.png") as figure:
            heights.append(figure.height)
        assert ("what the network saw of the first 10" in capsys.readouterr().out) == (count > 10)
    assert heights[0] < heights[1] == heights[2]
    assert shown == [True, False, True]
