"""Turning the nested results of any script into tables that a page can show.

Scripts differ in what they find, so nothing is assumed but two habits: a dict of dicts is a table
with a row each, and {"mean", "std", "n"} is one number with its deviation over seeds.
"""

from dataclasses import dataclass, field

_MAX_TEXT, _MAX_ROWS, _MAX_COLUMNS = 300, 200, 40
_ELSEWHERE = ("data", "conclusions", "figures")  # shown beside the tables
_WIDE, _LONG = 12, 30  # columns that still fit a page; rows that need no folding


@dataclass(frozen=True)
class Cell:
    """A text, what it is sorted by, the place on the page that it leads to, and its colour."""

    text: str
    order: float | str = ""
    link: str = ""
    kind: str = ""  # "", "good", "warn" or "bad"


@dataclass
class Table:
    """A titled table; a long one is folded away."""

    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    @property
    def folded(self) -> bool:
        """Whether it is too long to be shown unasked."""
        return len(self.rows) > _LONG


def result_tables(summary: dict) -> list[Table]:
    """Return tables of all that `summary.json` holds, except the sentences."""
    tables, loose = [], {}
    for name, value in summary.items():
        records = _records(value)
        if records:
            tables.append(_table("results" if name == "runs" else name, records))
        elif name not in _ELSEWHERE:
            loose[name] = value
    if loose:
        tables.append(pairs("single values", loose))
    return tables


def pairs(title: str, content: dict) -> Table:
    """Return a table of names and values."""
    rows = [[Cell(_words(name), name), cell] for name, cell in _flatten(content).items()]
    return _cut(Table(title, ["name", "value"], rows))


def metrics_table(rows: list[list[str]], total: int) -> Table:
    """Return the table of a `metrics.csv`'s header and last rows."""
    cells = [[Cell(_short(text)) for text in row] for row in rows[1:]]
    table = _cut(Table("metrics.csv", [_short(name) for name in rows[0]], cells))
    if len(rows) - 1 < total:
        table.note = f"the last {len(rows) - 1} of {total:,} rows"
    return table


def _records(value) -> dict[str, dict]:
    """Return the rows of a value that is a table, or {}."""
    if isinstance(value, list):
        value = {str(number): row for number, row in enumerate(value, 1)}
    if not isinstance(value, dict) or not all(isinstance(row, dict) for row in value.values()):
        return {}
    if all(row.keys() >= {"mean", "std", "n"} for row in value.values()):
        return {}
    return value


def _table(title: str, records: dict[str, dict]) -> Table:
    """Return a table with a row a record, or a column a record where it would be too wide."""
    flat = {name: _flatten(row) for name, row in records.items()}
    names = list(dict.fromkeys(name for row in flat.values() for name in row))
    if len(names) > _WIDE and len(names) > len(flat):
        columns = ["", *map(_short, flat)]
        rows = [
            [Cell(_words(name), name), *(row.get(name, Cell("")) for row in flat.values())]
            for name in names
        ]
    else:
        columns = ["", *map(_words, names)]
        rows = [
            [Cell(_short(record), record), *(row.get(name, Cell("")) for name in names)]
            for record, row in flat.items()
        ]
    return _cut(Table(_words(title), columns, rows))


def _cut(table: Table) -> Table:
    if len(table.rows) > _MAX_ROWS or len(table.columns) > _MAX_COLUMNS:
        size = f"{len(table.rows):,} rows and {len(table.columns)} columns"
        table.note = f"cut to {_MAX_ROWS} rows and {_MAX_COLUMNS} columns, of {size}"
    table.columns = table.columns[:_MAX_COLUMNS]
    table.rows = [row[:_MAX_COLUMNS] for row in table.rows[:_MAX_ROWS]]
    return table


def _flatten(value, name: str = "") -> dict[str, Cell]:
    """Return the leaves of nested dicts, each under the names that lead to it."""
    if not isinstance(value, dict):
        return {name: _cell(name, value)}
    if value.keys() >= {"mean", "std", "n"} and isinstance(value["mean"], (int, float)):
        middle, spread = _cell(name, value["mean"]), value["std"]
        text = middle.text if spread is None else f"{middle.text} ± {_cell(name, spread).text}"
        return {name: Cell(_short(text), middle.order)}
    leaves = {}
    for key, item in value.items():
        leaves |= _flatten(item, f"{name} {key}".strip())
    return leaves


def _cell(name: str, value) -> Cell:
    if value is None or isinstance(value, (bool, str)):
        return Cell(_short({None: "", True: "yes", False: "no"}.get(value, value)))
    if isinstance(value, dict):
        return Cell("…")
    if isinstance(value, list):
        flat = ["…" if isinstance(item, (list, dict)) else item for item in value[:20]]
        join = " to " if "ci95" in name else ", "
        return Cell(_short(join.join(_cell(name, item).text for item in flat)))
    share = ("acc" in name or "ci95" in name) and abs(value) <= 1
    if isinstance(value, int):
        return Cell(f"{value:,}", value)
    whole = 1e4 <= abs(value) < 1e12
    return Cell(f"{value:.2%}" if share else f"{value:,.0f}" if whole else f"{value:.4g}", value)


def _words(name: str) -> str:
    return _short(name).replace("_", " ")


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
