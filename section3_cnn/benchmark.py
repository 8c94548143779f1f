"""Race the CNN's training step against PyTorch's: same weights, same batches, same cores.

Ours, PyTorch with contiguous images and PyTorch with channels last take turns, in several rounds,
so that whatever else the machine does hits all. Then the usual NumPy convolution, and an epoch of
the real training loop. Writes <runs-dir>/benchmark/. The only script of this section that needs
PyTorch.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import CLASSES, IMAGE_SHAPE, Sequential, build_cnn
from section3_cnn.optimizer import SGD
from section3_cnn.speed import Workers
from section3_cnn.speed.cost import operations, time_layers
from section3_cnn.speed.naive import usual_cnn
from section3_cnn.training import CHUNK, Settings, train_steps
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.minibatches import minibatches
from shared_utils.plotting import save_figure, show_figures
from shared_utils.seed import stream
from shared_utils.timing import compare, draw_ratios, line, matrix_product_peak, take_turns

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 3, "steps": 5, "samples": 3200}
BATCH_SIZES = (32, 64, 128, 256)
EPOCH_BATCH = 64
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
THEIRS = {"torch": "contiguous", "torch_channels_last": "channels last"}  # PyTorch's two formats

Step = Callable[[np.ndarray, np.ndarray], float]  # takes images and labels, returns the loss


@dataclass(frozen=True)
class Race:
    """How contenders are timed: rounds of turns, steps in each, cores of ours, the data's seed."""

    rounds: int
    steps: int
    threads: int
    seed: int

    def run(self, steps: dict[str, Step], batch_size: int, dtype: str) -> dict[str, dict]:
        """Return each contender's times, on ten batches of random images and labels."""
        rng, shape = stream(self.seed, "data"), (batch_size, *IMAGE_SHAPE)
        batches = [
            (rng.random(shape).astype(dtype), rng.integers(0, CLASSES, batch_size))
            for _ in range(10)
        ]
        return take_turns(steps, batches, self.rounds, self.steps)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs", rounds=9, steps=40, samples=55000)
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count(),
        help="cores of every contender (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time steps, layers and an epoch, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    race = Race(args.rounds, args.steps, args.threads, args.seed)
    with open_run(args, "benchmark", {"name": "random numbers"}) as run:
        summary = {"torch": torch.__version__, "results": []}
        print("milliseconds a step; ratio: the faster of PyTorch's formats / ours")
        print(
            f"{'dtype':<9}{'batch':>6}{'ours':>12}{'contiguous':>12}{'ch. last':>12}"
            f"  {'ratio (quartiles)':<19}{'of peak':>8}"
        )
        for dtype in ("float32", "float64"):
            with threadpool_limits(args.threads, "blas"):
                peak = matrix_product_peak(dtype)
            for batch_size in BATCH_SIZES:
                result = race_steps(race, dtype, batch_size, peak)
                summary["results"].append(result)
                print(line(result, ("ours", *THEIRS)))
        with threadpool_limits(1, "blas"):
            summary["layers_us"] = time_layers(CHUNK, args.rounds * args.steps)
        summary["naive"] = race_naive(race)
        summary["epoch"] = race_epoch(race, args.samples)
        print_rest(summary)
        run.write_json("summary.json", summary)
        title = "One training step of the small CNN"
        save_figure(draw_ratios(summary["results"], THEIRS, title), run.path / "steps.png")
        print(f"\nsummary and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def our_step(model: Sequential, workers: Workers) -> Step:
    """Return a function that takes one training step of ours."""
    optimizer = SGD(LR, MOMENTUM, WEIGHT_DECAY)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss = workers.compute_gradients(model, x, y)
        optimizer.step(model.params, model.grads)
        return loss

    return step


def torch_step(model: Sequential, memory_format: str) -> Step:
    """Return the same for PyTorch, from equal weights, with images in one of its formats."""
    import torch
    from torch import nn

    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, CLASSES)),
    ).to(getattr(torch, model.dtype.name))
    for param, (name, array) in zip(net.parameters(), model.params.items(), strict=True):
        param.data = torch.tensor((array.T if name.startswith("fc") else array).copy())
    layout = {"torch": torch.contiguous_format, "torch_channels_last": torch.channels_last}
    net = net.to(memory_format=layout[memory_format])
    optimizer = torch.optim.SGD(
        net.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True
    )

    def step(x: np.ndarray, y: np.ndarray) -> float:
        images = torch.from_numpy(x).to(memory_format=layout[memory_format])
        loss = nn.functional.cross_entropy(net(images), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def race_steps(race: Race, dtype: str, batch_size: int, peak: float) -> dict:
    """Time the three in turn; return what `compare` makes of it."""
    model = build_cnn(rng=np.random.default_rng(0), dtype=dtype)
    steps = {name: torch_step(model, name) for name in THEIRS}  # torch first: it copies weights
    with Workers(model, race.threads) as workers:
        times = race.run(steps | {"ours": our_step(model, workers)}, batch_size, dtype)
    result = compare(times, batch_size * operations(), peak)
    contiguous = result["torch_ms"] / result["ours_ms"]
    return {"dtype": dtype, "batch": batch_size, **result, "ratio_contiguous": contiguous}


def race_naive(race: Race) -> dict:
    """Time our float32 step against the usual network's, at batch 64, one core each.

    The usual one computes in float32 too, and in float64, which is NumPy's default.
    """

    def usual_step(dtype: str) -> Step:
        usual, loss = usual_cnn(rng=np.random.default_rng(0), dtype=dtype), SoftmaxCrossEntropy()
        optimizer = SGD(LR, MOMENTUM, WEIGHT_DECAY)

        def step(x: np.ndarray, y: np.ndarray) -> float:
            value = loss.forward(usual.forward(x), y)
            usual.backward(loss.backward())
            optimizer.step(usual.params, usual.grads)
            return value

        return step

    steps = {f"naive_{dtype}": usual_step(dtype) for dtype in ("float32", "float64")}
    model = build_cnn(rng=np.random.default_rng(0))
    with Workers(model, 1) as workers:
        times = race.run(steps | {"ours": our_step(model, workers)}, EPOCH_BATCH, "float32")
    medians = {f"{name}_ms": taken["median"] for name, taken in times.items()}
    for dtype in ("float32", "float64"):
        medians[f"ratio_{dtype}"] = medians[f"naive_{dtype}_ms"] / medians["ours_ms"]
    return {"batch": EPOCH_BATCH, **medians}


def race_epoch(race: Race, samples: int) -> dict:
    """Time a whole epoch, batches taken from the training set included; best of three each."""
    rng = stream(race.seed, "data")
    x, y = rng.random((samples, *IMAGE_SHAPE), np.float32), rng.integers(0, CLASSES, samples)
    model, settings = build_cnn(rng=np.random.default_rng(0)), Settings(1, EPOCH_BATCH, LR)
    optimizer = SGD(LR, MOMENTUM, WEIGHT_DECAY)
    theirs = {name: torch_step(model, name) for name in THEIRS}
    best = dict.fromkeys(("ours", *THEIRS), np.inf)
    with Workers(model, race.threads) as workers:
        for _ in range(3):
            shuffle, clock = np.random.default_rng(0), time.perf_counter()
            options = {"shuffle": shuffle, "compute_gradients": workers.compute_gradients}
            for _ in train_steps(model, optimizer, x, y, settings, **options):
                pass
            best["ours"] = min(best["ours"], time.perf_counter() - clock)
            for name, step in theirs.items():
                clock = time.perf_counter()
                for batch in minibatches(len(x), EPOCH_BATCH, np.random.default_rng(0)):
                    step(x[batch], y[batch])
                best[name] = min(best[name], time.perf_counter() - clock)
    seconds = {f"{name}_seconds": value for name, value in best.items()}
    ratio = min(best[name] for name in THEIRS) / best["ours"]
    return {"samples": samples, "batch": EPOCH_BATCH, **seconds, "ratio": ratio}


def print_rest(summary: dict) -> None:
    """Print where the time goes, and the two other races."""
    print(f"\none chunk of {CHUNK} images, float32, microseconds forward and backward:")
    for name, both in summary["layers_us"].items():
        print(f"  {name:<9}{both['forward']:>6.0f}{both['backward']:>6.0f}")
    for dtype in ("float32", "float64"):
        ms, ratio = (summary["naive"][key] for key in (f"naive_{dtype}_ms", f"ratio_{dtype}"))
        print(
            f"usual im2col, np.add.at, {dtype}: {ms:.1f} ms, {ratio:.1f} times ours (one core each)"
        )
    print(
        "an epoch of {samples:,} images: {ours_seconds:.2f} s, ratio {ratio:.2f}".format(
            **summary["epoch"]
        )
    )


if __name__ == "__main__":
    start(main)
