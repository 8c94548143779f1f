"""The page: one HTML file that holds its figures, style and script, and asks for nothing else.

All text of runs is escaped by the template engine. Beside that, the page tells the browser to obey
no style and no script but its own two, which are named by their digests.
"""

import base64
import hashlib
import os
import time
from pathlib import Path
from urllib.parse import quote

from shared_utils.cli import ROOT
from shared_utils.report.checking import NOT_RUN, OK, Comparison, Judged, count
from shared_utils.report.gathering import SECTIONS, Run
from shared_utils.report.tables import Cell, Table, metrics_table, pairs, result_tables

HERE = Path(__file__).resolve().parent


def render(runs: list[Run], judged: list[Judged], folder: Path = HERE) -> str:
    """Return the page as HTML, to be kept in `folder`: links to other pages lead from there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = _base64
    environment.filters["sha256"] = lambda text: _base64(hashlib.sha256(text.encode()).digest())
    environment.filters["link"] = lambda path: _link(path, folder)
    anchors = {id(run): f"run-{number}" for number, run in enumerate(runs, 1)}
    titles = {section: _title(section) for section in SECTIONS} | {"": "Other runs"}
    chapters = [
        {
            "anchor": section or "other",
            "title": title,
            "expected": _numbers([one for one in judged if one.section == section]),
            "runs": [
                (anchors[id(run)], run, result_tables(run.summary or {}))
                for run in runs
                if run.section == section and not run.superseded
            ],
        }
        for section, title in titles.items()
    ]
    return environment.get_template("template.html").render(
        made=time.strftime("%Y-%m-%d %H:%M"),
        sentence=count(runs, judged)["sentence"],
        overview=_overview(judged, anchors),
        missing=[one for one in judged if not one.run],
        all_runs=_all_runs(runs, anchors),
        chapters=[
            chapter for chapter in chapters if chapter["runs"] or chapter["anchor"] != "other"
        ],
        metrics_table=metrics_table,
        pairs=pairs,
    )


def _overview(judged: list[Judged], anchors: dict[int, str]) -> Table:
    """Return a row a command, with the first of its numbers."""
    columns = ["command", "data", "first number", "found", "expected", "published", "verdict"]
    table = Table("Results beside what is expected", columns)
    for one in judged:
        total = len(one.comparisons)
        if not one.run:
            verdict = Cell(NOT_RUN, "2", kind="warn")
        elif one.failures:
            verdict = Cell(f"{one.failures} of {total} not as expected", "0", kind="bad")
        else:
            verdict = Cell(f"all {total} within tolerance", "1", kind="good")
        data = ", ".join(filter(None, (one.entry["data"], one.entry.get("data_note"))))
        command = Cell(one.entry["command"], link=anchors[id(one.run)] if one.run else "")
        first = one.comparisons[0]
        table.rows.append([command, Cell(data), *_number(first), Cell(first.published), verdict])
    return table


def _numbers(judged: list[Judged]) -> Table:
    """Return a row for every expected number of a section."""
    columns = ["command", "number", "found", "expected", "verdict", "published"]
    table = Table("Expected numbers", columns)
    for one in judged:
        for item in one.comparisons:
            kind = {OK: "good", NOT_RUN: "warn"}.get(item.verdict, "bad")
            source = f"{item.published} ({item.source})" if item.source else ""
            verdict = [Cell(item.verdict, kind=kind), Cell(source)]
            table.rows.append([Cell(one.entry["command"]), *_number(item), *verdict])
    return table


def _number(item: Comparison) -> list[Cell]:
    measured = "" if item.measured is None else item.measured
    wanted = Cell(f"{item.wanted} ± {item.tolerance}", item.expected["value"])
    return [Cell(item.expected["what"]), Cell(item.found, measured), wanted]


def _all_runs(runs: list[Run], anchors: dict[int, str]) -> Table:
    table = Table("All runs", ["folder", "data", "started", "state and marks"])
    for run in runs:
        bad = bool(run.problems) or run.unfinished
        table.rows.append(
            [
                Cell(run.label[:200], link="" if run.superseded else anchors[id(run)]),
                Cell(str(run.data.get("name", ""))[:200]),
                Cell(str(run.config.get("started", ""))[:19].replace("T", " ")),
                Cell(
                    ", ".join(run.marks) or "finished",
                    kind="bad" if bad else "warn" if run.marks else "good",
                ),
            ]
        )
    return table


def _title(section: str) -> str:
    """Return the heading of a section's README."""
    with open(ROOT / section / "README.md", encoding="utf-8") as readme:
        return readme.readline().lstrip("# ").strip()


def _link(path: Path, folder: Path) -> str:
    """Return the address of a file, as seen from `folder`; on another drive, its full address."""
    try:
        relative = Path(os.path.relpath(path.resolve(), folder.resolve()))
    except ValueError:  # Windows
        return path.resolve().as_uri()
    return quote(relative.as_posix(), errors="surrogateescape")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
