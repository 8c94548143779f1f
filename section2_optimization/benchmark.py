"""Race the update rules against PyTorch's: same parameters, same gradients, in turn.

A step of an optimizer is a walk over memory: every parameter, its gradient and its memories are
read and written, and little is computed in between. Writes <runs-dir>/benchmark/. The only script
of this section that needs PyTorch.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.optimizers import make_optimizer
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 3, "steps": 5}
SHAPE = (1000, 1000)
LR = 1e-3
RULES = {  # our name and options; PyTorch's
    "momentum": (("sgd", {"momentum": 0.9}), ("SGD", {"momentum": 0.9})),
    "rmsprop": (("rmsprop", {}), ("RMSprop", {})),
    "adam": (("adam", {}), ("Adam", {})),
    "adamw": (("adamw", {}), ("AdamW", {})),
    "adagrad": (("adagrad", {}), ("Adagrad", {})),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs")
    for flag, default, words in (
        ("--rounds", 9, "turns of each contender; medians are over them"),
        ("--steps", 40, "steps in a turn"),
        ("--threads", os.cpu_count(), "cores of either"),
    ):
        parser.add_argument(
            flag, type=positive_int, default=default, help=f"{words} (default: %(default)s)"
        )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time a step of every rule, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    with (
        threadpool_limits(args.threads, "blas"),
        open_run(args, "benchmark", {"name": "random numbers"}) as run,
    ):
        summary = {"torch": torch.__version__, "results": []}
        print(f"a step over {np.prod(SHAPE):,} parameters, float32, in milliseconds")
        print(f"{'rule':<10}{'ours':>7}{'PyTorch':>9}{'ratio':>7}")
        for rule in RULES:
            result = race(rule, args)
            summary["results"].append(result)
            print("{rule:<10}{ours_ms:>7.2f}{torch_ms:>9.2f}{ratio:>7.2f}".format(**result))
        run.write_json("summary.json", summary)
        print(f"\nsummary: {run.path}")
        return summary


def contenders(rule: str, threads: int, rng: np.random.Generator) -> tuple[Callable, Callable]:
    """Return two functions that take one step each, from equal parameters, and return these."""
    import torch

    (name, options), (torch_name, torch_options) = RULES[rule]
    params, grads = ({"W": rng.standard_normal(SHAPE, np.float32)} for _ in range(2))
    theirs = torch.nn.Parameter(torch.tensor(params["W"]))
    theirs.grad = torch.tensor(grads["W"])
    optimizer = make_optimizer(name, LR, **options)
    optimizer.threads = threads
    torch_class = getattr(torch.optim, torch_name)
    torch_optimizer = torch_class([theirs], LR, foreach=True, **torch_options)

    def our_step() -> np.ndarray:
        optimizer.step(params, grads)
        return params["W"]

    def their_step() -> np.ndarray:
        torch_optimizer.step()
        return theirs.detach().numpy()

    return our_step, their_step


def race(rule: str, args: argparse.Namespace) -> dict:
    """Time the two in turn; return medians, their spread (quartiles) and PyTorch's time / ours.

    Raises RuntimeError when they do not arrive at the same parameters.
    """
    pair = contenders(rule, args.threads, stream(args.seed, rule))
    after_five = [[step() for _ in range(5)][-1] for step in pair]
    if not np.allclose(*after_five, rtol=1e-5, atol=1e-2 * LR):
        raise RuntimeError(f"the two implementations of {rule} do not take the same steps")
    milliseconds = ([], [])
    for _ in range(args.rounds + 1):
        for step, times in zip(pair, milliseconds, strict=True):
            clock = time.perf_counter()
            for _ in range(args.steps):
                step()
            times.append(1e3 * (time.perf_counter() - clock) / args.steps)
    ours, theirs = (np.percentile(times[1:], [50, 25, 75]) for times in milliseconds)  # 1: warm-up
    return {
        "rule": rule,
        "ours_ms": float(ours[0]),
        "ours_quartiles_ms": ours[1:].tolist(),
        "torch_ms": float(theirs[0]),
        "torch_quartiles_ms": theirs[1:].tolist(),
        "ratio": float(theirs[0] / ours[0]),
    }


if __name__ == "__main__":
    start(main)
