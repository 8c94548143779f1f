"""Gather all runs into one self-contained page; with --check, hold them against what is expected.

The page holds its figures, its style and its script, and asks for nothing from elsewhere.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # start from any directory

from shared_utils.cli import start
from shared_utils.datasets.names import printable
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.report.checking import Judged, count, judge, load_expected
from shared_utils.report.gathering import gather
from shared_utils.report.page import render

HERE = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="more run folders, or folders of them (default: those of the sections alone)",
    )
    parser.add_argument(
        "--output",
        type=Path,
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
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Names of files may hold bytes that are no UTF-8; they become question marks.
    page = render(runs, judged, args.output.parent)
    write_atomically(args.output, page.encode("utf-8", "replace"))
    print(f"{counts['sentence']}\nreport: {args.output}")
    return counts


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
