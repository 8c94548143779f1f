"""Names that people gave, as text that no terminal, page or figure can misread.

A folder may be called anything: with colours for a terminal, with a new line in it, with bytes that
are no text. What is printed or written is the name with all that spelled out.
"""

from collections.abc import Sequence


def printable(name: str) -> str:
    r"""Return `name` with every character that cannot be printed spelled out, such as `\x1b`."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def shortened(name: str, most: int = 40) -> str:
    """Return `name`; of a longer one than `most` characters, its beginning and its end."""
    if len(name) <= most:
        return name
    return f"{name[: most - most // 2 - 1]}\N{HORIZONTAL ELLIPSIS}{name[-(most // 2) :]}"


def enumeration(items: Sequence[str], most: int = 8) -> str:
    """Return `items` separated by commas; of more than `most`, the first ones and how many more."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"
