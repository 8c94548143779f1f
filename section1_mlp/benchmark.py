"""Race the MLP's training step against PyTorch's: same weights, same batches, same threads.

The two take turns, in several rounds, so that whatever else the machine does hits both. Each brings
its own library of matrix products, and its own traffic around them. Writes <runs-dir>/benchmark/.
The only script of this section that needs PyTorch.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.training import train_steps
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.minibatches import minibatches
from shared_utils.plotting import save_figure, show_figures
from shared_utils.seed import stream
from shared_utils.timing import compare, draw_ratios, line, matrix_product_peak, take_turns

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 3, "steps": 30, "samples": 6400}
SIZES = (784, 256, 128, 10)
BATCH_SIZES = (32, 64, 128, 256)
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-5


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", rounds=9, steps=100, samples=55000)
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count(),
        help="threads of both contenders (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time steps and an epoch, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    turns = {"rounds": args.rounds, "count": args.steps}
    with open_run(args, "benchmark", {"name": "random numbers"}) as run:
        summary = {"torch": torch.__version__, "results": []}
        print(
            f"{'dtype':<9}{'batch':>6}{'ours (ms)':>12}{'PyTorch':>12}"
            f"  {'ratio (quartiles)':<19}{'of peak':>8}"
        )
        with threadpool_limits(args.threads):
            for dtype in ("float32", "float64"):
                peak = matrix_product_peak(dtype)
                for batch_size in BATCH_SIZES:
                    result = race_steps(dtype, batch_size, peak, args.seed, **turns)
                    summary["results"].append(result)
                    print(line(result, ("ours", "torch")))
            summary["components_ms"] = time_components(args.rounds * args.steps, args.seed)
            summary["epoch"] = race_epoch(args.samples, args.seed)
        components = ", ".join(f"{name} {ms:.2f}" for name, ms in summary["components_ms"].items())
        print(f"\nours, batch 128, float32, in ms: {components}")
        print("an epoch of {samples:,} images: ratio {ratio:.2f}".format(**summary["epoch"]))
        run.write_json("summary.json", summary)
        title = "One training step, 784-256-128-10"
        figure = draw_ratios(summary["results"], {"torch": "PyTorch"}, title)
        save_figure(figure, run.path / "steps.png")
        print(f"\nsummary and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def our_step(model: MLP) -> Callable:
    """Return a function that takes one training step of ours on (x, y)."""
    optimizer = SGD(LR, MOMENTUM, WEIGHT_DECAY)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss = model.loss(x, y)
        model.backward()
        optimizer.step(model.params, model.grads)
        return loss

    return step


def torch_step(model: MLP) -> Callable:
    """Return the same for PyTorch, from the weights that `model` has now."""
    import torch
    from torch import nn

    layers = []
    for layer in range(1, model.depth + 1):
        W, b = model.params[f"W{layer}"], model.params[f"b{layer}"]
        linear = nn.Linear(*W.shape, dtype=getattr(torch, model.dtype.name))
        linear.weight.data, linear.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(
        net.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True
    )

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def race_steps(
    dtype: str, batch_size: int, peak: float, seed: int, *, rounds: int, count: int
) -> dict:
    """Time the two in turn; return what `compare` makes of it."""
    rng = stream(seed, "data")
    batches = [
        (rng.random((batch_size, SIZES[0])).astype(dtype), rng.integers(0, 10, batch_size))
        for _ in range(20)
    ]
    model = MLP(SIZES, "relu", rng=np.random.default_rng(0), dtype=dtype)
    pair = {"torch": torch_step(model), "ours": our_step(model)}  # torch first: it copies weights
    times = take_turns(pair, batches, rounds, count)
    # Forward and dW of every layer, dA of all but the first: 2 operations a weight and sample.
    weights = [n_in * n_out for n_in, n_out in pairwise(SIZES)]
    operations = 2 * batch_size * (3 * sum(weights) - weights[0])
    return {"dtype": dtype, "batch": batch_size} | compare(times, operations, peak)


def time_components(repeats: int, seed: int) -> dict[str, float]:
    """Return the median milliseconds of each component of our step at batch 128, float32."""
    model, optimizer = MLP(SIZES, "relu", rng=np.random.default_rng(0)), SGD(LR, MOMENTUM)
    rng = stream(seed, "data")
    x, y = rng.random((128, SIZES[0])).astype(np.float32), rng.integers(0, 10, 128)
    components = {
        "forward and loss": lambda: model.loss(x, y),
        "backward": model.backward,
        "update": lambda: optimizer.step(model.params, model.grads),
    }
    times = {name: [] for name in components}
    for _ in range(repeats):
        for name, call in components.items():
            clock = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - clock))
    return {name: float(np.median(values)) for name, values in times.items()}


def race_epoch(samples: int, seed: int) -> dict:
    """Time a whole epoch, batches taken from the training set included; best of three each."""
    rng = stream(seed, "data")
    x, y = rng.random((samples, SIZES[0]), np.float32), rng.integers(0, 10, samples)
    theirs = torch_step(MLP(SIZES, "relu", rng=np.random.default_rng(0)))
    best = {"ours": np.inf, "torch": np.inf}
    for _ in range(3):
        model = MLP(SIZES, "relu", rng=np.random.default_rng(0))
        optimizer = SGD(LR, MOMENTUM, WEIGHT_DECAY)
        rng, clock = np.random.default_rng(0), time.perf_counter()
        for _ in train_steps(model, optimizer, x, y, epochs=1, batch_size=128, rng=rng):
            pass
        best["ours"] = min(best["ours"], time.perf_counter() - clock)
        clock = time.perf_counter()
        for batch in minibatches(len(x), 128, np.random.default_rng(0)):
            theirs(x[batch], y[batch])
        best["torch"] = min(best["torch"], time.perf_counter() - clock)
    seconds = {f"{name}_seconds": value for name, value in best.items()}
    return {"samples": samples, **seconds, "ratio": best["torch"] / best["ours"]}


if __name__ == "__main__":
    start(main)
