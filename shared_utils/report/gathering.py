"""Reading run folders that may be unfinished, damaged or foreign.

A report shows what others have left behind, so nothing here is trusted: a file that is missing,
broken or far too large becomes one line in `Run.problems`, and never ends the gathering.
"""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from shared_utils.cli import ROOT
from shared_utils.errors import UserError

SECTIONS = tuple(sorted(path.parent.name for path in ROOT.glob("section*/README.md")))
FALLBACKS = ("digits", "photo-digits")  # the small data sets that need no network
# Flags that change where a run reads and writes, not what it finds. What data it really had stands
# in its configuration, so `--dataset` is not needed to tell.
_FREE = (
    *("--data-dir", "--runs-dir", "--dataset", "--no-show"),
    *("--resume", "--checkpoint-minutes", "--threads"),
)
_PARTS = ("config.json", "summary.json", "metrics.csv")
_MAX_BYTES = {".json": 4_000_000, ".csv": 8_000_000, ".png": 2_000_000}
_MAX_ITEMS, _MAX_SIDE, _MAX_MARK, _MAX_DEPTH = 40, 10_000, 60, 20
_LAST_ROWS = 30


@dataclass(frozen=True)
class Figure:
    """A PNG of a run: its bytes, and its size in pixels."""

    name: str
    content: bytes
    width: int
    height: int


@dataclass
class Run:
    """What could be read of a run folder. `summary` is None where the run has none to show."""

    path: Path
    config: dict = field(default_factory=dict)
    summary: dict | None = None
    metrics: list[list[str]] = field(default_factory=list)  # the header and the last rows
    metric_rows: int = 0
    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unfinished: bool = False  # there is no summary.json
    superseded: bool = False  # a later run did the same

    @property
    def page(self) -> Path | None:
        """The page to play with that the run wrote, if it did."""
        page = self.path / "playground.html"
        return page if page.is_file() else None

    @property
    def label(self) -> str:
        """The folder, as short as it is clear."""
        inside = self.path.is_relative_to(ROOT)
        return str(self.path.relative_to(ROOT) if inside else self.path)

    @property
    def command(self) -> list[str]:
        """The command line as recorded, or []."""
        command = self.config.get("command")
        return [str(part) for part in command] if isinstance(command, list) else []

    @property
    def section(self) -> str:
        """The section that it belongs to, by its place or by its script, or ""."""
        script = next((Path(part) for part in self.command if part.endswith(".py")), Path())
        parts = (*self.path.parts, *script.parts)
        return next((part for part in parts if part in SECTIONS), "")

    @property
    def data(self) -> dict:
        """What the configuration says of the data."""
        return _dict(self.config.get("data"))

    @property
    def notice(self) -> str:
        """What data was used in place of what was wished for, or ""."""
        return str(self.data.get("notice") or "")

    @property
    def conclusions(self) -> list[str]:
        """The sentences that the script has computed."""
        lines = _dict(self.summary).get("conclusions")
        return [str(line) for line in lines[:_MAX_ITEMS]] if isinstance(lines, list) else []

    @property
    def marks(self) -> list[str]:
        """What a reader has to know before comparing this run with another."""
        args, name, marks = _dict(self.config.get("args")), self.data.get("name"), []
        if self.unfinished:
            marks.append("unfinished")
        if self.problems:
            marks.append("damaged")
        if name in FALLBACKS or self.notice:
            marks.append(f"fallback data: {str(name)[:_MAX_MARK]}")
        if args.get("quick"):
            marks.append("quick")
        if args.get("limit"):
            marks.append(f"limited to {str(args['limit'])[:_MAX_MARK]} samples")
        if self.superseded:
            marks.append("repeated later")
        return marks


def gather(folders: Iterable[Path] = ()) -> list[Run]:
    """Return the runs of all sections and of `folders`, each a run folder or a folder of them.

    Raises UserError for a folder that is not there.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]} is not a folder: name one that holds runs")
    places = [*(ROOT / section / "runs" for section in SECTIONS), *folders]
    found = (path for place in places for path in (place, *_subfolders(place)) if _is_run(path))
    runs = [_read(path) for path in dict.fromkeys(path.resolve() for path in found)]
    latest = {}  # of each task, the finished run that was started last
    for run in runs:
        if run.summary is not None and is_newer(run, latest.get(_task(run), Run(Path()))):
            latest[_task(run)] = run
    for run in runs:
        run.superseded = _task(run) in latest and is_newer(latest[_task(run)], run)
    return runs


def flags(command: list[str]) -> tuple[str, dict[str, list[str]]]:
    """Split a command into its script's name and the flags that can change its results."""
    start = next((n for n, part in enumerate(command) if part.endswith(".py")), None)
    if start is None:
        return "", {}
    found, name = {}, ""
    for part in command[start + 1 :]:
        if part.startswith("--"):
            name, given, value = part.partition("=")
            found[name] = [value] if given else []
        else:
            found.setdefault(name, []).append(part)
    return Path(command[start]).name, {k: v for k, v in found.items() if k not in _FREE}


def is_newer(one: Run, other: Run) -> bool:
    """Return whether `one` was started after `other`."""
    return str(one.config.get("started", "")) > str(other.config.get("started", ""))


def _task(run: Run) -> str:
    return repr((run.section, flags(run.command), run.data.get("name"), run.data.get("sha256")))


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


def _subfolders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []


def _is_run(path: Path) -> bool:
    return any((path / part).exists() for part in _PARTS)


def _read(path: Path) -> Run:
    run = Run(path)
    run.unfinished = not (path / "summary.json").exists()
    run.config = _attempt(run, "config.json", _json, required=True) or {}
    run.summary = _attempt(run, "summary.json", _json)
    run.metrics, run.metric_rows = _attempt(run, "metrics.csv", _rows) or ([], 0)
    pictures = sorted(picture.name for picture in path.glob("*.png"))
    promised = _dict(run.summary).get("figures")  # some scripts list what they have drawn
    if isinstance(promised, list):
        run.problems += [
            f"{str(name)[:_MAX_MARK]}: is not there"
            for name in promised[:_MAX_ITEMS]
            if name not in pictures
        ]
    if len(pictures) > _MAX_ITEMS:
        run.problems.append(f"{len(pictures)} figures: only the first {_MAX_ITEMS} are shown")
    figures = (_attempt(run, name, _figure) for name in pictures[:_MAX_ITEMS])
    run.figures = [Figure(*figure) for figure in figures if figure]
    return run


def _attempt(run: Run, name: str, parse: Callable[[str, bytes], object], required: bool = False):
    """Return what `parse` makes of a file; None, and a line in `problems`, if it cannot be had."""
    path = run.path / name
    if not required and not path.exists() and not path.is_symlink():
        return None
    try:
        if not path.is_file():  # a pipe would keep us waiting
            raise ValueError("is not there" if not path.exists() else "is not a file")
        limit = _MAX_BYTES[path.suffix]
        with open(path, "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ValueError(f"has more than {limit:,} bytes")
        return parse(name, content)
    except (ValueError, OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        run.problems.append(f"{name}: {reason}")
        return None


def _json(name: str, content: bytes) -> dict:
    try:
        # A number of a thousand digits is nothing that a result can be: let it become infinite.
        value = json.loads(content, parse_int=lambda t: int(t) if len(t) < 16 else float(t))
    except (ValueError, RecursionError) as error:
        raise ValueError("is not valid JSON") from error
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
    if level:
        raise ValueError("is nested too deeply")
    return value


def _rows(name: str, content: bytes) -> tuple[list[list[str]], int]:
    rows = list(csv.reader(content.decode(errors="replace").splitlines()))
    return [*rows[:1], *rows[1:][-_LAST_ROWS:]], max(0, len(rows) - 1)


def _figure(name: str, content: bytes) -> tuple[str, bytes, int, int]:
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
            image.verify()
    except Exception as error:  # Pillow names a dozen kinds for what is wrong with a picture
        raise ValueError("is not a whole PNG") from error
    if max(width, height) > _MAX_SIDE:
        raise ValueError(f"has more than {_MAX_SIDE:,} pixels a side")
    return name, content, width, height
