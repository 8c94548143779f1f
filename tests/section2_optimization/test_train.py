"""The script of the comparison: complete in its outputs, plain about bad flags."""

import csv
import json

import pytest
from PIL import Image

from section2_optimization import train


def test_the_script_writes_everything(tmp_path, capsys):
    arguments = ["--no-show", "--runs-dir", str(tmp_path), "--datasets", "moons", "--epochs", "3"]
    arguments += ["--optimizers", "sgd", "adam", "--lrs", "0.1", "--seeds", "2"]
    summary = train.main([*arguments, "--schedules", "constant", "cosine"])
    folder = tmp_path / "train"
    figures = {"boundaries", "curves_moons", "paths", "schedules", "sensitivity"}
    expected = {f"{name}.png" for name in figures}
    expected |= {"config.json", "metrics.csv", "paths.gif", "summary.json"}
    assert {path.name for path in folder.iterdir()} == expected
    assert all(path.stat().st_size < 150_000 for path in folder.glob("*.png"))
    with Image.open(folder / "paths.gif") as animation:
        assert animation.n_frames > 20
    assert set(summary["runs"]) == {"moons/sgd", "moons/adam"}
    assert summary["runs"]["moons/sgd"]["test_acc"] > 0.8
    assert (
        json.loads((folder / "summary.json").read_text())["runs"].keys() == summary["runs"].keys()
    )
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    # Two optimizers and two schedules, two seeds, at the start and after each of three epochs.
    assert len(rows) == (2 + 2) * 2 * 4
    out = capsys.readouterr().out
    assert "gradient check: 42 arrays correct" in out
    assert all(line in out for line in summary["conclusions"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optimizers", "adamm"], "'gd', 'sgd', 'momentum'"),
        (["--schedules", "cosin"], "'constant', 'step'"),
        (["--datasets", "mnist"], "'linear', 'moons'"),
        (["--lrs", "0"], "above 0"),
        (["--lrs", "-1"], ""),
        (["--lrs", "nan"], "above 0"),
        (["--momentum", "1"], "must be above 0 and below 1"),
        (["--momentum", "0"], "must be above 0 and below 1"),
        (["--betas", "0.9", "1"], "must be from 0 to below 1"),
        (["--epochs", "0"], "from 1 to 2^31 - 1"),
    ],
)
def test_bad_flags_end_in_one_line_and_status_2(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        train.main([*arguments, "--no-show", "--runs-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_rates_is_still_understood_as_lrs():
    assert train.build_parser().parse_args(["--rates", "0.1", "1"]).lrs == [0.1, 1.0]
