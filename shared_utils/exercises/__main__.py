"""Exercises that grade themselves: take functions out of the lessons, write them, get a verdict.

    python -m shared_utils.exercises list
    python -m shared_utils.exercises start 1.1 2.2 --to ../my-exercises
    cd ../my-exercises, and write the functions that it names
    python -m shared_utils.exercises check             (default: all that were started here)

Each command is for the top folder, the one that holds shared_utils. Within ../my-exercises, more
exercises are added with --to . (a dot). check exits with status 1 when something is not right.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # start from any directory

from shared_utils.exercises.strays import stray_words

# Before the imports that it would break.
if __name__ == "__main__" and (words := stray_words(Path(__file__).resolve().parents[2])):
    print(f"error: {words}", file=sys.stderr)
    sys.exit(2)

import argparse
import csv
import io
import re
from collections.abc import Sequence

from shared_utils.cli import folder_path, positive_float, start
from shared_utils.datasets.names import printable
from shared_utils.errors import UserError
from shared_utils.exercises import handout
from shared_utils.exercises.grading import SECONDS, Verdict, grade
from shared_utils.exercises.table import Exercise, choose, exercises
from shared_utils.files import write_atomically

PROGRAM = "python -m shared_utils.exercises"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the commands and their flags."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words)

    listing = command("list", "list the exercises, those of a hand-out first, with their verdicts")
    listing.add_argument(
        "folder",
        type=folder_path,
        nargs="?",
        help="the hand-out (default: the current folder, if it is one)",
    )
    making = command("start", "make a hand-out, or add exercises to one")
    making.add_argument("numbers", nargs="+", help="such as 1.1 2.3, or all")
    making.add_argument("--to", type=folder_path, required=True, help="the folder of the hand-out")
    checking = command("check", "grade what stands in one or more hand-outs")
    checking.add_argument(
        "what",
        nargs="*",
        help="folders, and numbers such as 1.1 (default: the current folder, all started in it)",
    )
    checking.add_argument(
        "--seconds",
        type=positive_float,
        default=SECONDS,
        help="time limit of each exercise (default: %(default)s)",
    )
    checking.add_argument(
        "--csv", type=folder_path, help="also write the verdicts to this file (default: none)"
    )
    for name, words in (
        ("hint", "say where to begin"),
        ("solution", "show the original functions, as a difference"),
    ):
        asking = command(name, words)
        asking.add_argument("numbers", nargs="+", help="such as 1.1 2.3, or all")
    return parser


def main(argv: list[str] | None = None) -> dict[str, Verdict] | None:
    """Run one command; return the last folder's verdicts by number when it was `check`."""
    args = build_parser().parse_args(argv)
    if args.command == "list":
        print_list(args.folder)
    elif args.command == "start":
        print("\n".join(handout.start(choose(args.numbers), args.to)))
        go = "" if args.to.resolve() == Path.cwd() else f"cd {args.to}, "
        print(f"\nnext: {go}write them, then {PROGRAM} check")
    elif args.command == "check":
        return check(args.what, args.seconds, args.csv)
    else:
        say = hint if args.command == "hint" else handout.solution
        print("\n".join(say(row) for row in choose(args.numbers)))


def print_list(folder: Path | None) -> None:
    """Print a line for each exercise; those that were started in `folder`, a hand-out, first.

    Raises UserError for a folder that is not a hand-out; None is the current one, if it is one.
    """
    if folder is None and not handout.is_handout(Path()):
        states, folder = {}, handout.ROOT
    else:
        folder = folder or Path()
        states = handout.read_record(folder)["exercises"]
    print(f"{'':<5}{'minutes':>7}  {'verdict':<11}what to write")
    for row in sorted(exercises().values(), key=lambda row: row.number not in states):
        state = states.get(row.number, "")
        print(f"{row.number:<5}{row.minutes:>7}  {state:<11}{row.title}")
        print(f"{'':<25}{handout.places(row, folder)}")


def hint(row: Exercise) -> str:
    """Return an exercise's hint, the place of its functions, and where it is derived."""
    return (
        f"{row.number}  {row.title}: {handout.places(row)}\n{row.hint}\n"
        f'derived in {row.page}, "{row.heading}"\n'
    )


def check(what: list[str], seconds: float, table: Path | None) -> dict[str, Verdict]:
    """Grade, print every verdict, keep the progress; exit with 1 when something is not right."""
    numbers = [text for text in what if re.fullmatch(r"\d+\.\d+|all", text)]
    paths = [text for text in what if text not in numbers]
    folders = [_folder(text, alone=len(paths) == 1) for text in paths] or [Path()]
    if table and (table.is_dir() or not table.parent.is_dir()):
        raise UserError(f"{table} cannot be written: choose a file in a folder that exists")
    lines, right = [("folder", "exercise", "verdict", "first failing case")], True
    for folder in folders:
        if len(folders) > 1:
            print(f"== {printable(str(folder))}")
        try:
            verdicts = check_folder(folder, numbers, seconds)
        except UserError as error:
            if len(folders) == 1:
                raise
            print(f"{error}\n")
            verdicts = {"": Verdict("not graded")}
        lines += [(folder, number, v.status, v.case) for number, v in verdicts.items()]
        right &= all(
            v.status in ("right", "not graded") and number for number, v in verdicts.items()
        )
    if table:
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        write_atomically(table, text.getvalue().encode("utf-8", "backslashreplace"))
        print(f"verdicts: {table}")
    if not right:
        sys.exit(1)
    return verdicts


def _folder(text: str, alone: bool) -> Path:
    """Return a folder; a file among others, too, which is then reported and passed over."""
    folder = folder_path(text)
    if not folder.is_dir() and (alone or not folder.is_file()):
        raise UserError(f"{text} is neither a number such as 1.5 nor a folder")
    return folder


def check_folder(folder: Path, numbers: list[str], seconds: float) -> dict[str, Verdict]:
    """Grade one hand-out: the exercises of these numbers, or all that were started in it.

    Raises UserError when it is not a hand-out, or an exercise was not started in it.
    """
    record = handout.read_record(folder)
    started = record["exercises"]
    chosen = choose(numbers if numbers and "all" not in numbers else list(started))
    verdicts = {}
    for row in chosen:
        if row.number not in started:
            command = f"{PROGRAM} start {row.number} --to {folder}"
            raise UserError(f"exercise {row.number} was not started in {folder}: {command}")
        verdicts[row.number] = verdict = grade(row, folder, seconds)
        open_ones = [n for n in row.builds_on if started.get(n, "right") != "right"]
        print("\n".join(report(row, verdict, handout.places(row, folder), open_ones)) + "\n")
        started[row.number] = verdict.status
    try:
        handout.write_record(folder, record)
    except OSError as error:
        print(f"the progress could not be kept: {error.strerror}")
    done = sum(state == "right" for state in started.values())
    print(f"in the whole hand-out, {done} of {len(started)} started exercises are right")
    return verdicts


def report(
    row: Exercise, verdict: Verdict, places: str, open_ones: Sequence[str] = ()
) -> list[str]:
    """Return a verdict in at most ten lines; `open_ones` must be right before this one can be."""
    lines = [f"{row.number}  {row.title}, {places}: {verdict.status}"]
    if verdict.case:
        lines.append(f"  first failing case: {verdict.case}")
    lines += [f"  {line}" for line in verdict.lines[:6]]
    if verdict.status in ("wrong", "error") and open_ones:
        lines.append(f"  it builds on {', '.join(open_ones)}: get that right first")
    if verdict.status in ("wrong", "error", "not done"):
        lines.append(f'  see {row.page}, "{row.heading}", or: {PROGRAM} hint {row.number}')
    return lines


if __name__ == "__main__":
    start(main)
