"""Kill a training script at random moments, resume it each time, compare what is left.

    python tests/kill_at_random.py --kills 50 section1_mlp/train.py --limit 20000 --epochs 6

The script first runs undisturbed. Then it is started with --resume again and again, and ended after
a random time: by SIGKILL mostly, else by SIGINT or SIGTERM. Weights, metrics and summary (timings
aside) must be those of the undisturbed run. Where in the code a kill falls depends on the machine,
so this is not part of the test suite; the tests named *_resume.py stop at chosen steps.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.resume_helpers import outcome

SIGNALS = [signal.SIGKILL] * 3 + [signal.SIGINT, signal.SIGTERM]


def run(command: list[str], after: float | None, number: int) -> int:
    """Run a command, send it a signal after so many seconds; return its exit status."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        output, _ = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL, 130, 143):
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return process.returncode


def main() -> None:
    """Run undisturbed, run disturbed, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-seconds", type=float, default=1.0, help="no kill before")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    # A shell lets its background jobs, and what they start, ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, ends = random.Random(args.seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, args.script, *args.arguments, "--no-show", "--runs-dir"]
        clock = time.monotonic()
        if run([*command, f"{folder}/whole"], None, 0) != 0:
            sys.exit("the undisturbed run did not end well")
        seconds = time.monotonic() - clock
        command += [f"{folder}/killed", "--resume"]
        # Long enough to get on by a little each time, short enough for all the kills.
        longest = args.start_seconds + 2 * seconds / args.kills
        while not ends[0]:
            late = sum(ends.values()) >= args.kills
            after = None if late else rng.uniform(args.start_seconds, longest)
            ends[run(command, after, rng.choice(SIGNALS))] += 1
        whole, killed = (
            outcome(next(path for path in Path(folder, name).iterdir() if path.is_dir()))
            for name in ("whole", "killed")
        )
    stops = sum(ends.values()) - 1
    print(f"undisturbed: {seconds:.1f} s; stopped {stops} times, exit statuses {dict(ends)}")
    differing = sorted(n for n in whole.keys() | killed.keys() if whole.get(n) != killed.get(n))
    print(f"{len(whole)} files compared: " + (f"DIFFERING {differing}" if differing else "equal"))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
