"""Gather all runs into one self-contained page; with --check, hold them against what is expected.

The page holds its figures, its style and its script, and asks for nothing from elsewhere.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # start from any directory

from shared_utils.cli import folder_path, start
from shared_utils.datasets.names import printable
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.report.checking import Judged, count, judge, load_expected
from shared_utils.report.gathering import Run, gather
from shared_utils.report.page import render

HERE = Path(__file__).resolve().parent
PROGRAM = "python -m shared_utils.report"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument(
        "--runs",
        nargs="+",
        type=folder_path,
        default=[],
        metavar="DIR",
        help="more run folders, or folders of them (default: those of the sections alone)",
    )
    parser.add_argument(
        "--output",
        type=folder_path,
        default=HERE / "report.html",
        help="the page to write (default: %(default)s)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write no page; compare the runs with expected_results.json and exit with 1 where a"
        " number is out of tolerance, with 2 where nothing could be compared (default: off)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Write the page or, with --check, print the comparison; return what was counted."""
    args = build_parser().parse_args(argv)
    runs = gather(args.runs)
    for folder in args.runs:
        if not holds_any(folder, runs):
            wanted = "name a run folder, or the folder that holds run folders"
            print(printable(f"note: {folder} holds no run: {wanted}"))
    judged = judge(load_expected(), runs)
    counts = count(runs, judged)
    if args.check:
        print_check(judged)
        print(f"\n{counts['sentence']}")
        if not counts["measured"]:
            raise UserError("no run could be compared: make one by a command of this list")
        if counts["failures"]:
            sys.exit(1)
        return counts
    # Names of files may hold bytes that are no UTF-8; they become question marks.
    page = render(runs, judged, args.output.parent).encode("utf-8", "replace")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.output, page)
    except (FileNotFoundError, ValueError) as error:  # no name; in /proc nobody can make a file
        raise UserError(f"{args.output} cannot be made: choose another --output") from error
    print(f"{counts['sentence']}\nreport: {args.output}")
    return counts


def holds_any(folder: Path, runs: list[Run]) -> bool:
    """Return whether one of the runs is `folder`, or lies in it."""
    places = (folder, *filter(Path.is_dir, folder.glob("*")))
    return not {run.path for run in runs}.isdisjoint(place.resolve() for place in places)


def print_check(judged: list[Judged]) -> None:
    """Print every expected command: its numbers, or that it was not run, and why others are not."""
    for one in judged:
        print(f"\n{one.entry['command']}")
        print(f"  {printable(one.run.label) if one.run else 'not run'}")
        for run, reason in one.passed_over:
            print(f"  {printable(f'not compared: {run.label}: {reason}')}")
        for item in one.comparisons if one.run else ():
            wanted = f"{item.wanted} +- {item.tolerance}"
            what = item.expected["what"]
            print(f"  {what:<48}{item.found:>12}  {wanted:<28}{item.verdict}")


if __name__ == "__main__":
    start(main)
