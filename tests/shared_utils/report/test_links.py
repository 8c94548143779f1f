"""The links from the report to the pages that runs wrote."""

from urllib.parse import unquote

from shared_utils.report import __main__ as report
from shared_utils.report import gathering
from tests.shared_utils.report.helpers import Page, make_run


def test_a_playground_is_linked_from_where_the_report_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "ROOT", tmp_path)
    run = make_run(tmp_path / "section1_mlp" / "runs" / 'play "50 %" <b>')
    make_run(tmp_path / "section1_mlp" / "runs" / "train")
    output = tmp_path / "some where" / "report.html"
    report.main(["--output", str(output)])
    assert "playground" not in output.read_text()
    (run / "playground.html").write_text("a page")
    report.main(["--output", str(output)])
    links = [a["href"] for a, _ in Page(output.read_text()).all("a") if "playground" in a["href"]]
    assert len(links) == 1
    assert (output.parent / unquote(links[0])).read_text() == "a page"
