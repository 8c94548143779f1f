"""Holding what was run against what is expected.

`expected_results.json` names commands, and for each the numbers that it should find. A run counts
for a command when script, flags and data are the same; then

    |measured - value| <= tolerance

decides. All other runs of that script are passed over, and the reason is told.
"""

import json
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from shared_utils.report.gathering import Run, flags, is_newer

EXPECTED = Path(__file__).with_name("expected_results.json")
OK, OUT, ABSENT, NOT_RUN = "ok", "out of tolerance", "no number there", "not run"


@dataclass(frozen=True)
class Comparison:
    """One expected number (an entry of the data file) and what was measured, if it was."""

    expected: dict
    measured: float | None
    verdict: str

    @property
    def found(self) -> str:
        """What was measured."""
        return "-" if self.measured is None else self._show(self.measured)

    @property
    def wanted(self) -> str:
        """What is expected."""
        return self._show(self.expected["value"])

    @property
    def tolerance(self) -> str:
        """How far from the expected the measured may be."""
        return self._show(self.expected["tolerance"])

    @property
    def published(self) -> str:
        """What others have found, or ""."""
        return self._show(self.expected["published"]["value"]) if self.source else ""

    @property
    def source(self) -> str:
        """Where that was published, and how it differs, or ""."""
        return self.expected.get("published", {}).get("source", "")

    def _show(self, value: float) -> str:
        """Return a number in its unit; the unit % stands for shares of 1."""
        unit = self.expected["unit"]
        return f"{value:.2%}" if unit == "%" else f"{value:.4g} {unit}".rstrip()


@dataclass
class Judged:
    """One expected command; the run that counts for it, if any; the runs passed over, and why."""

    entry: dict
    run: Run | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    passed_over: list[tuple[Run, str]] = field(default_factory=list)

    @property
    def section(self) -> str:
        """The section that the command belongs to."""
        return Path(self.entry["folder"]).parts[0]

    @property
    def failures(self) -> int:
        """How many numbers are not as expected."""
        return sum(comparison.verdict in (OUT, ABSENT) for comparison in self.comparisons)


def load_expected() -> list[dict]:
    """Return the expected commands with their numbers."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))["runs"]


def judge(expected: list[dict], runs: list[Run]) -> list[Judged]:
    """Compare, for every expected command, its newest run with what is expected of it."""
    verdicts = []
    for entry in expected:
        judged = Judged(entry)
        script, _ = flags(shlex.split(entry["command"]))
        for run in runs:
            if run.section != judged.section or flags(run.command)[0] != script:
                continue
            reason = _difference(run, entry)
            if reason:
                judged.passed_over.append((run, reason))
            elif judged.run is None or is_newer(run, judged.run):
                judged.run = run
        judged.comparisons = [_compare(item, judged.run) for item in entry["values"]]
        verdicts.append(judged)
    return verdicts


def count(runs: list[Run], judged: list[Judged]) -> dict:
    """Return how many runs, numbers and failures there are, and one sentence that says it."""
    expected = sum(len(one.comparisons) for one in judged)
    measured = sum(len(one.comparisons) for one in judged if one.run)
    failures, not_run = sum(one.failures for one in judged), sum(not one.run for one in judged)
    outside = f"{failures} of them not as expected" if failures else "all of them within tolerance"
    sentence = (
        f"{len(runs)} runs found. {measured} of {expected} expected numbers were measured"
        f"{f', {outside}' if measured else ''}. {not_run} of {len(judged)} commands were not run."
    )
    return {"measured": measured, "failures": failures, "not_run": not_run, "sentence": sentence}


def _difference(run: Run, entry: dict) -> str:
    """Return why a run cannot be compared with an entry, or ""."""
    name, digest = run.data.get("name"), entry.get("pixels")
    if name != entry["data"]:
        return f"its data is {name}, not {entry['data']}"
    if digest and run.data.get("pixels") != digest:
        return f"its {name} is not the same: {entry['data_note']} is expected"
    _, theirs = flags(run.command)
    _, ours = flags(shlex.split(entry["command"]))
    differing = [
        " ".join([flag, *theirs[flag]]) if flag in theirs else f"without {flag}"
        for flag in sorted(theirs.keys() | ours.keys())
        if theirs.get(flag) != ours.get(flag)
    ]
    if differing:
        return f"its flags differ: {', '.join(differing)}"
    if run.summary is None:
        return "it is unfinished" if run.unfinished else "its summary.json cannot be read"
    return ""


def _compare(expected: dict, run: Run | None) -> Comparison:
    if run is None:
        return Comparison(expected, None, NOT_RUN)
    value = run.summary
    for step in expected["path"]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return Comparison(expected, None, ABSENT)
    inside = abs(value - expected["value"]) <= expected["tolerance"]
    return Comparison(expected, value, OK if inside else OUT)
