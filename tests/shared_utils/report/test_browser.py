"""The report in a real browser: no error, every figure seen, no sideways scrolling, sorting."""

import html
import json

import pytest

from shared_utils.report import gathering
from shared_utils.report.checking import judge, load_expected
from shared_utils.report.page import render
from tests.browser import BROWSER, allowed, browse
from tests.shared_utils.report.helpers import ENTRY, Page, make_run

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium here: install it to run these")

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"

LOOK = """
const found = { width: innerWidth, scroll: document.documentElement.scrollWidth };
found.images = [...document.images].map((i) => [i.naturalWidth, i.clientWidth, i.clientHeight]);
const table = [...document.querySelectorAll("article table")].find(
  (t) => t.caption.textContent === "results");
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const sort = (name) => {
  const button = [...table.querySelectorAll("button")].find((b) => b.textContent === name);
  button.click();
  return [order(), button.parentElement.getAttribute("aria-sort"),
    table.querySelectorAll("th:not([aria-sort=none])").length];
};
found.start = order();
found.sorted = [sort("test acc"), sort("test acc"), sort("name"), sort("test acc")];
const open = () => document.querySelectorAll("details[open]").length;
found.details = [document.querySelectorAll("details").length, open()];
dispatchEvent(new Event("beforeprint"));
found.details.push(open());
dispatchEvent(new Event("afterprint"));
found.details.push(open());
found.outside = [...document.querySelectorAll("body *")].filter(
  (e) => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 0.5
).map((e) => e.outerHTML.slice(0, 100));
parent.document.title = JSON.stringify(found);
"""


@pytest.fixture
def page(tmp_path, monkeypatch) -> str:
    """A page with a wide and long run, a hostile one, and everything that is still missing."""
    monkeypatch.setattr(gathering, "ROOT", tmp_path)
    runs = tmp_path / "section1_mlp" / "runs"
    wide = make_run(runs / "train")
    accuracies = {"b": 0.9, "a": 0.1, "none": None, "c": 0.25, "d": 0.0999}
    rows = {
        name: {"test_acc": accuracy} | {f"quantity_{n}": n / 7 for n in range(4)}
        for name, accuracy in accuracies.items()
    }
    many = {f"arm-{n}": {f"column-{m}": n / (m + 1) for m in range(11)} for n in range(40)}
    (wide / "summary.json").write_text(json.dumps({"runs": rows, "many": many}))
    make_run(
        runs / ("x" * 200),
        ["--no-show", HOSTILE, "y" * 500],
        data={"name": HOSTILE, "notice": "z" * 500, "sha256": "ab" * 200},
    )
    gathered = gathering.gather()
    return render(gathered, judge([ENTRY, *load_expected()], gathered))


def test_on_a_phone(page, tmp_path):
    # A window cannot be that narrow; a frame can, and is laid out as a window of its width is.
    inner = html.escape(allowed(page, LOOK))
    outer = f'<title></title><iframe width="390" height="844" srcdoc="{inner}"></iframe>'
    dom, console = browse(outer, tmp_path)
    assert console == []
    found = json.loads(Page(dom).all("title")[0][1])
    assert found["width"] == 390
    assert found["scroll"] <= 390 and found["outside"] == []
    assert len(found["images"]) == 2
    assert all(natural == 40 and w > 0 and h > 0 for natural, w, h in found["images"])
    assert found["start"] == ["b", "a", "none", "c", "d"]
    rising = ["d", "a", "c", "b", "none"]
    assert found["sorted"] == [
        [rising, "ascending", 1],
        [["b", "c", "a", "d", "none"], "descending", 1],
        [["a", "b", "c", "d", "none"], "ascending", 1],
        [rising, "ascending", 1],
    ]
    total, *opened = found["details"]
    assert total > 0 and opened == [0, total, 0]


def test_on_a_desk_without_any_change(page, tmp_path):
    dom, console = browse(page, tmp_path)
    assert console == []
    assert Page(dom).all("h1") and len(Page(dom).all("script")) == 1


def test_the_browser_takes_no_script_but_the_pages_own(page, tmp_path):
    foreign = (
        "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'it'\">"
    )
    dom, console = browse(page.replace("</main>", f"{foreign}</main>"), tmp_path)
    assert Page(dom).all("title") == [({}, "Deep learning, written out: report")]
    assert len(console) >= 3 and all("Content Security Policy" in line for line in console)
