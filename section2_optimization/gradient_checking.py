"""Check every gradient of this section against finite differences, and find planted bugs.

Prints a table of all layers, losses and models, and draws the error of three difference formulas
against the step size. With --planted-bugs, classic faults are planted one by one: each must be
caught, and the correct code must pass a thousand random draws. Writes
<runs-dir>/gradient_checking/.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.gradcheck.cases import COMPONENTS, check_everything, false_alarms
from section2_optimization.gradcheck.checks import TOLERANCE, Check
from section2_optimization.gradcheck.planted_bugs import FAULTS, planted
from section2_optimization.gradcheck.step_sizes import (
    STEP_SIZES,
    draw_step_sizes,
    step_size_errors,
)
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.errors import UserError
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"draws": 100}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs")
    parser.add_argument(
        "--planted-bugs", action="store_true", help="plant classic faults (default: off)"
    )
    parser.add_argument(
        "--draws",
        type=positive_int,
        default=1000,
        help="random draws of the correct code, with --planted-bugs (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Run the checks, write all outputs, return the summary.

    Raises UserError when a gradient is wrong, a fault is not caught, or an alarm is false.
    """
    args = parse_args(build_parser(), argv, QUICK)
    with open_run(args, "gradient_checking", {"name": "random numbers"}) as run:
        rows = check_everything(stream(args.seed, "checks"))
        print_table(rows)
        for central, exact in rows:
            run.log(as_row(central, exact))
        summary = {
            "arrays": len(rows),
            "wrong": sum(not central.passed for central, _ in rows),
            "worst_error_smooth": max(central.error for central, exact in rows if exact),
            "worst_error_complex_step": max(exact.error for _, exact in rows if exact),
        }

        errors = step_size_errors(stream(args.seed, "step sizes"))
        summary["step_sizes"] = {
            name: {"best_eps": STEP_SIZES[error.argmin()], "error": error.min()}
            for name, error in errors.items()
        }
        print("\nThe step size at which each formula is best:")
        for name, best in summary["step_sizes"].items():
            print(f"  {name:<14}eps = {best['best_eps']:.0e}   relative error {best['error']:.0e}")

        if args.planted_bugs:
            summary["planted_bugs"] = plant_bugs(args.seed)
            alarms = false_alarms(stream(args.seed, "draws"), args.draws)
            summary["false_alarms"] = {"draws": args.draws, "alarms": len(alarms)}
            print(f"\nCorrect code, {args.draws} random draws: {len(alarms)} false alarms")
        run.write_json("summary.json", summary)

        from shared_utils.plotting import save_figure, show_figures

        save_figure(draw_step_sizes(errors), run.path / "step_sizes.png")
        print(f"\ntable, summary and figure: {run.path}")
        show_figures(args.no_show)
        if summary["wrong"]:
            raise UserError(f"{summary['wrong']} gradients are wrong: see the table")
        missed = [fault for fault, caught in summary.get("planted_bugs", {}).items() if not caught]
        if missed:
            raise UserError(f"not caught: {'; '.join(missed)}")
        if summary.get("false_alarms", {}).get("alarms"):
            raise UserError("the correct code raised false alarms: see summary.json")
        return summary


def print_table(rows: list[tuple[Check, Check | None]]) -> None:
    """Print one line an array; the worst element with its analytic and its numeric value."""
    print(f"{'checked':<25}{'array':<8}{'shape':<9}{'error':>9}{'complex':>10}  ", end="")
    print(f"{'worst':<9}{'analytic':>13}{'numeric':>13}  verdict")
    for central, exact in rows:
        print(
            f"{central.name:<25}{central.array:<8}{central.shape!s:<9}{central.error:>9.0e}"
            f"{f'{exact.error:.0e}' if exact else '(kinks)':>10}  {central.worst!s:<9}"
            f"{central.analytic:>13.6g}{central.numeric:>13.6g}  {central.verdict}"
        )
    print(f"error: central differences, eps = 1e-5, must be below {TOLERANCE:.0e}; ", end="")
    print("complex: the same by complex steps")


def as_row(central: Check, exact: Check | None) -> dict:
    """Return the row of `metrics.csv` for one array."""
    return {
        "checked": central.name,
        "array": central.array,
        "error_central": central.error,
        "error_complex_step": exact.error if exact else "",
        "kinks": central.kinks,
        "verdict": central.verdict,
    }


def plant_bugs(seed: int) -> dict[str, list[str]]:
    """Plant every fault, print and return which checks caught it."""
    print(f"\n{'planted bug':<55}{'error':>8}  caught by")
    caught_by = {}
    for fault in FAULTS:
        rows = check_everything(stream(seed, "checks"), planted(fault, COMPONENTS))
        wrong = [central for central, _ in rows if not central.passed]
        caught_by[fault] = [f"{check.name}: {check.array}" for check in wrong]
        first = f"{caught_by[fault][0]} ({len(wrong)} in all)" if wrong else "NOT CAUGHT"
        print(f"{fault:<55}{max((c.error for c in wrong), default=0):>8.0e}  {first}")
    print(f"{sum(map(bool, caught_by.values()))} of {len(FAULTS)} planted bugs caught")
    return caught_by


if __name__ == "__main__":
    start(main)
