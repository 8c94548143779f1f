"""The script of the laboratory: its table, its planted bugs, and how it fails."""

import pytest

from section2_optimization import gradient_checking
from section2_optimization.gradcheck.checks import TOLERANCE
from section2_optimization.gradcheck.planted_bugs import FAULTS
from section2_optimization.layers import Linear
from shared_utils.errors import UserError


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """One run of the script with planted bugs: its folder and its summary."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["--no-show", "--runs-dir", str(folder), "--planted-bugs", "--draws", "5"]
    return folder / "gradient_checking", gradient_checking.main(arguments)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_bug_is_caught_in_the_component_where_it_is(fault, script):
    caught_by, component = script[1]["planted_bugs"][fault], fault.split(":")[0]
    assert caught_by
    assert component == "Sequential" or any(check.startswith(component) for check in caught_by)


def test_the_script_writes_everything(script):
    folder, summary = script
    assert summary["wrong"] == 0 and summary["worst_error_smooth"] < TOLERANCE
    assert summary["worst_error_complex_step"] < 1e-13
    assert summary["false_alarms"] == {"draws": 5, "alarms": 0}
    assert len(summary["planted_bugs"]) >= 12
    written = {path.name for path in folder.iterdir()}
    assert written == {"config.json", "metrics.csv", "step_sizes.png", "summary.json"}


def test_the_script_fails_when_a_bug_is_missed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gradient_checking, "FAULTS", {"Linear: nothing wrong": Linear})
    monkeypatch.setattr(gradient_checking, "planted", lambda fault, components: components)
    arguments = ["--no-show", "--runs-dir", str(tmp_path), "--planted-bugs", "--draws", "1"]
    with pytest.raises(UserError, match="not caught: Linear: nothing wrong"):
        gradient_checking.main(arguments)
    assert "NOT CAUGHT" in capsys.readouterr().out
