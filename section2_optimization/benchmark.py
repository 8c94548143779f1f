"""Race the update rules against PyTorch's: same parameters, same gradients, in turn.

A step of an optimizer is a walk over memory: every parameter, its gradient and its memories are
read and written, and little is computed in between. Writes <runs-dir>/benchmark/. The only script
of this section that needs PyTorch.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.optimizers import make_optimizer
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.seed import stream
from shared_utils.timing import take_turns

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
    add_shared_flags(parser, HERE / "runs", rounds=9, steps=40)
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=1,
        help="cores that PyTorch may use; ours uses one (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time a step of every rule, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    with (
        threadpool_limits(1, "blas"),
        open_run(args, "benchmark", {"name": "random numbers"}) as run,
    ):
        summary = {"torch": torch.__version__, "results": []}
        print(f"a step over {np.prod(SHAPE):,} parameters, float32, in milliseconds")
        print(f"{'rule':<10}{'ours':>7}{'PyTorch':>9}{'ratio':>7}")
        for rule in RULES:
            result = race(rule, args.rounds, args.steps, stream(args.seed, rule))
            summary["results"].append(result)
            print("{rule:<10}{ours_ms:>7.2f}{torch_ms:>9.2f}{ratio:>7.2f}".format(**result))
        run.write_json("summary.json", summary)
        print(f"\nsummary: {run.path}")
        return summary


def contenders(rule: str, rng: np.random.Generator) -> dict[str, Callable[[], np.ndarray]]:
    """Return two functions that take one step each, from equal parameters, and return these."""
    import torch

    (name, options), (torch_name, torch_options) = RULES[rule]
    params, grads = ({"W": rng.standard_normal(SHAPE, np.float32)} for _ in range(2))
    theirs = torch.nn.Parameter(torch.tensor(params["W"]))
    theirs.grad = torch.tensor(grads["W"])
    optimizer = make_optimizer(name, LR, **options)
    torch_class = getattr(torch.optim, torch_name)
    torch_optimizer = torch_class([theirs], LR, foreach=True, **torch_options)

    def our_step() -> np.ndarray:
        optimizer.step(params, grads)
        return params["W"]

    def their_step() -> np.ndarray:
        torch_optimizer.step()
        return theirs.detach().numpy()

    return {f"our {rule}": our_step, f"PyTorch's {rule}": their_step}


def race(rule: str, rounds: int, steps: int, rng: np.random.Generator) -> dict:
    """Time the two in turn; return medians, their spread (quartiles) and PyTorch's time / ours.

    Raises RuntimeError when they do not arrive at the same parameters.
    """
    ours, theirs = take_turns(contenders(rule, rng), [()] * 5, rounds, steps).values()
    return {
        "rule": rule,
        "ours_ms": ours["median"],
        "ours_quartiles_ms": ours["quartiles"],
        "torch_ms": theirs["median"],
        "torch_quartiles_ms": theirs["quartiles"],
        "ratio": theirs["median"] / ours["median"],
    }


if __name__ == "__main__":
    start(main)
