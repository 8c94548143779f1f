"""Time Section 1's training on idle cores and beside a program that takes one of them.

    python tests/busy_cores.py

Two settings take turns: one thread, and the default, a thread for each core. What
counts is a ratio: the time of the default over that of one thread. The times depend on the
machine, so this is not part of the test suite.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"one thread": ["--threads", "1"], "default": []}
BUSY = "while True: pass"


def train_seconds(flags: list[str]) -> float:
    """Train for three epochs with these flags; return the seconds of the training steps."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, str(ROOT / "section1_mlp" / "train.py"), "--runs-dir", runs]
        command += ["--epochs", "3", "--activations", "relu", "--no-show", *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads(Path(runs, "train", "summary.json").read_text(encoding="utf-8"))
    return summary["runs"]["relu"]["train_seconds"]


def main() -> None:
    """Measure both situations and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="more flags of train.py")
    args = parser.parse_args()
    for others in (0, 1):
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
        try:
            times = {name: [] for name in SETTINGS}
            for _ in range(args.rounds):
                for name, flags in SETTINGS.items():
                    times[name].append(train_seconds(flags + args.flags))
        finally:
            for process in busy:
                process.kill()
        medians = {name: float(np.median(values)) for name, values in times.items()}
        ratio = medians["default"] / medians["one thread"]
        words = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in medians.items())
        print(f"{others} other programs at work: {words}; default / one thread: {ratio:.2f}")


if __name__ == "__main__":
    main()
