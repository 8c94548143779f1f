"""The page that is read first: it runs as it stands, and learns the spirals."""

from pathlib import Path

from section2_optimization import quickstart


def test_it_learns_the_spirals(capsys):
    assert quickstart.main([])["test_acc"] > 0.97
    assert "test accuracy on spirals (generated): 9" in capsys.readouterr().out


def test_it_fits_on_one_page():
    assert len(Path(quickstart.__file__).read_text().splitlines()) <= 50
