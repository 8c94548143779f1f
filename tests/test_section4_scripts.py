import json
import signal
import subprocess
import sys

import pytest
from section4_helpers import ROOT, run_script

from section4_transfer import augmentation_study, resnet_vs_plain, transfer_learning

TINY = ["--dataset", "photo-digits", "--limit", "40", "--epochs", "1", "--batch-size", "20"]
TINY += ["--device", "cpu", "--no-show"]


def figures(folder):
    return {path.name for path in folder.glob("*.png")}


def test_resnet_vs_plain_writes_every_output(tmp_path, capsys):
    flags = ["--depth", "14", "8", "--runs-dir", str(tmp_path), *TINY]
    summary = resnet_vs_plain.main(flags)
    folder = tmp_path / "resnet_vs_plain"
    assert list(summary["runs"]) == ["resnet-8", "plain-8", "resnet-14", "plain-14"]
    assert json.loads((folder / "summary.json").read_text())["data"] == "photo-digits"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 5
    assert (folder / "plain-14.pt").exists()
    assert len(figures(folder)) == 5
    assert max(path.stat().st_size for path in folder.glob("*.png")) < 150_000
    assert "resnet-14 minus plain-14" in capsys.readouterr().out
    first = (folder / "metrics.csv").read_bytes()
    resnet_vs_plain.main(flags)
    assert (folder / "metrics.csv").read_bytes() == first


def test_transfer_learning_writes_every_output(tmp_path):
    flags = ["--weights", "rotation", "--pretrain-epochs", "1", "--resize", "32"]
    flags += ["--fractions", "0.5", "--runs-dir", str(tmp_path), *TINY]
    summary = transfer_learning.main(flags)
    folder = tmp_path / "transfer_learning"
    assert list(summary["runs"]) == ["scratch 50%", "frozen 50%", "fine-tuned 50%"]
    assert summary["weights"] == "rotation"
    assert len(summary["conclusions"]) == 2 and len(figures(folder)) == 4
    assert {path.name for path in folder.glob("*.pt")} == {
        "rotation.pt", "scratch.pt", "frozen.pt", "fine-tuned.pt",
    }  # fmt: skip


def test_augmentation_study_writes_every_output(tmp_path):
    flags = ["--model", "resnet20", "--resize", "8", "--fractions", "0.5", "1"]
    summary = augmentation_study.main([*flags, "--runs-dir", str(tmp_path), *TINY])
    assert len(summary["runs"]) == 2 * 16 and len(summary["gains"]["0.5"]) == 7
    assert set(summary["gains"]["1"]["crop"]) == {"alone", "beside all others"}
    assert len(figures(tmp_path / "augmentation")) == 5


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        (resnet_vs_plain, ["--depth", "21"], "6n + 2"),
        (resnet_vs_plain, ["--size", "3"], "needs 4"),
        (transfer_learning, ["--resize", "31"], "needs 32"),
        (transfer_learning, ["--fractions", "1.5"], "at most 1"),
        (augmentation_study, ["--resize", "31"], "needs 32"),
        (augmentation_study, ["--fractions", "0"], "above 0"),
    ],
)
def test_bad_flags_end_with_one_line_and_status_2(script, flags, words, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main(flags)
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_what_a_user_can_mend_is_one_line_and_status_2(tmp_path):
    (tmp_path / "a").mkdir()
    result = run_script("resnet_vs_plain", "--dataset", "folder", "--data-dir", str(tmp_path))
    assert result.returncode == 2 and "fewer than two class folders" in result.stderr
    assert "Traceback" not in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_ctrl_c_leaves_whole_files_and_status_130(tmp_path):
    script = ROOT / "section4_transfer" / "resnet_vs_plain.py"
    flags = ["--depth", "8", "--runs-dir", str(tmp_path), *TINY, "--epochs", "1000"]
    process = subprocess.Popen(
        [sys.executable, str(script), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()  # the first epoch is done
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in errors
    names = {path.name for path in (tmp_path / "resnet_vs_plain").iterdir()}
    assert names == {"config.json", "metrics.csv"}  # and no temporary file
    rows = (tmp_path / "resnet_vs_plain" / "metrics.csv").read_text()
    assert rows.endswith("\n") and rows.count("resnet-8,0,1,") == 1
