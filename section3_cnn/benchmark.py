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
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import CLASSES, IMAGE_SHAPE, Sequential, build_cnn
from section3_cnn.optimizer import SGD
from section3_cnn.speed.cost import matrix_product_peak, operations, take_turns, time_layers
from section3_cnn.speed.data_parallel import PART, DataParallel
from section3_cnn.speed.naive import usual_cnn
from section3_cnn.training import train_steps
from shared_utils.cli import add_shared_flags, open_run, parse_args, positive_int, start
from shared_utils.datasets.minibatches import minibatches
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure, show_figures
from shared_utils.seed import stream

HERE = Path(__file__).resolve().parent
QUICK = {"rounds": 3, "steps": 5, "samples": 3200}
BATCH_SIZES = (32, 64, 128, 256)
EPOCH_BATCH = 64
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
THEIRS = {"torch": "contiguous", "torch_channels_last": "channels last"}  # PyTorch's two formats


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_shared_flags(parser, HERE / "runs")
    for flag, default, words in (
        ("--rounds", 9, "turns of each contender; medians are over them"),
        ("--steps", 40, "training steps in a turn"),
        ("--samples", 55000, "training images of the timed epoch"),
        ("--threads", os.cpu_count(), "cores of every contender"),
    ):
        parser.add_argument(
            flag, type=positive_int, default=default, help=f"{words} (default: %(default)s)"
        )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Time steps, layers and an epoch, print and write the results, return the summary."""
    args = parse_args(build_parser(), argv, QUICK)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    with open_run(args, "benchmark", {"name": "random numbers"}) as run:
        summary = {"torch": torch.__version__, "results": []}
        print("milliseconds a step; ratio: the faster of PyTorch's formats / ours")
        print(f"{'dtype':<9}{'batch':>6}{'ours':>8}{'contiguous':>12}{'ch. last':>10}{'ratio':>7}")
        for dtype in ("float32", "float64"):
            with threadpool_limits(args.threads, "blas"):
                peak = matrix_product_peak(dtype)
            with threadpool_limits(1, "blas"):  # a core for each of our workers
                for batch_size in BATCH_SIZES:
                    result = race_steps(dtype, batch_size, peak, args)
                    summary["results"].append(result)
                    print(
                        f"{dtype:<9}{batch_size:>6}{result['ours_ms']:>8.2f}"
                        f"{result['torch_ms']:>12.2f}{result['torch_channels_last_ms']:>10.2f}"
                        f"{result['ratio']:>7.2f}  {result['share_of_peak']:.0%} of peak"
                    )
        with threadpool_limits(1, "blas"):
            summary["layers_us"] = time_layers(PART, args.rounds * args.steps)
            summary["naive"] = race_naive(args)
            summary["epoch"] = race_epoch(args)
        print_rest(summary)
        run.write_json("summary.json", summary)
        save_figure(draw(summary["results"]), run.path / "steps.png")
        print(f"\nsummary and figure: {run.path}")
        show_figures(args.no_show)
        return summary


def our_step(network: DataParallel) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a function that takes one training step on (x, y) and returns the loss."""
    optimizer = SGD(MOMENTUM, WEIGHT_DECAY)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss = network.learn(x, y)
        optimizer.step(network.params, network.grads, LR)
        return loss

    return step


def torch_step(model: Sequential, memory_format: str) -> Callable[[np.ndarray, np.ndarray], float]:
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


def some_batches(batch_size: int, dtype: str, args: argparse.Namespace) -> list[tuple]:
    """Return ten batches of random images and labels."""
    rng = stream(args.seed, "data")
    shape = batch_size, *IMAGE_SHAPE
    return [
        (rng.random(shape).astype(dtype), rng.integers(0, CLASSES, shape[0])) for _ in range(10)
    ]


def race_steps(dtype: str, batch_size: int, peak: float, args: argparse.Namespace) -> dict:
    """Time the three in turn; return medians, their spread (quartiles) and the ratios."""
    model = build_cnn(rng=np.random.default_rng(0), dtype=dtype)
    steps = {name: torch_step(model, name) for name in THEIRS}
    with DataParallel(model, args.threads, batch_size) as network:
        steps["ours"] = our_step(network)
        batches = some_batches(batch_size, dtype, args)
        times = take_turns(steps, batches, args.rounds, args.steps)
    result = {"dtype": dtype, "batch": batch_size}
    for name, (median, *quartiles) in times.items():
        result[f"{name}_ms"], result[f"{name}_quartiles_ms"] = float(median), quartiles
    ours = result["ours_ms"]
    result["ratio"] = min(result[f"{name}_ms"] for name in THEIRS) / ours
    result["ratio_contiguous"] = result["torch_ms"] / ours
    result["share_of_peak"] = batch_size * operations() / (ours * 1e-3) / peak
    return result


def race_naive(args: argparse.Namespace) -> dict:
    """Time our float32 step against the usual network's, at batch 64.

    In float32 too, and in float64, which is what NumPy computes in unless it is told otherwise.
    """

    def usual_step(dtype: str) -> Callable[[np.ndarray, np.ndarray], float]:
        usual, loss = usual_cnn(rng=np.random.default_rng(0), dtype=dtype), SoftmaxCrossEntropy()
        optimizer = SGD(MOMENTUM, WEIGHT_DECAY)

        def step(x: np.ndarray, y: np.ndarray) -> float:
            value = loss.forward(usual.forward(x), y)
            usual.backward(loss.backward())
            optimizer.step(usual.params, usual.grads, LR)
            return value

        return step

    steps = {f"naive_{dtype}": usual_step(dtype) for dtype in ("float32", "float64")}
    model = build_cnn(rng=np.random.default_rng(0))
    with DataParallel(model, args.threads, EPOCH_BATCH) as network:
        steps["ours"] = our_step(network)
        batches = some_batches(EPOCH_BATCH, "float32", args)
        times = take_turns(steps, batches, args.rounds, args.steps)
    medians = {f"{name}_ms": float(median) for name, (median, *_) in times.items()}
    for dtype in ("float32", "float64"):
        medians[f"ratio_{dtype}"] = medians[f"naive_{dtype}_ms"] / medians["ours_ms"]
    return {"batch": EPOCH_BATCH, **medians}


def race_epoch(args: argparse.Namespace) -> dict:
    """Time a whole epoch, batches taken from the training set included; best of three each."""
    rng = stream(args.seed, "data")
    x = rng.random((args.samples, *IMAGE_SHAPE), np.float32)
    y = rng.integers(0, CLASSES, args.samples)
    model = build_cnn(rng=np.random.default_rng(0))
    options = {"epochs": 1, "batch_size": EPOCH_BATCH, "lr": LR, "weight_decay": WEIGHT_DECAY}
    theirs = {name: torch_step(model, name) for name in THEIRS}
    best = dict.fromkeys(("ours", *THEIRS), np.inf)
    with DataParallel(model, args.threads, EPOCH_BATCH) as network:
        for _ in range(3):
            clock = time.perf_counter()
            for _ in train_steps(network, x, y, rng=np.random.default_rng(0), **options):
                pass
            best["ours"] = min(best["ours"], time.perf_counter() - clock)
            for name, step in theirs.items():
                clock = time.perf_counter()
                for batch in minibatches(len(x), EPOCH_BATCH, np.random.default_rng(0)):
                    step(x[batch], y[batch])
                best[name] = min(best[name], time.perf_counter() - clock)
    seconds = {f"{name}_seconds": value for name, value in best.items()}
    ratio = min(best[name] for name in THEIRS) / best["ours"]
    return {"samples": args.samples, "batch": EPOCH_BATCH, **seconds, "ratio": ratio}


def print_rest(summary: dict) -> None:
    """Print where the time goes, and the two other races."""
    print(f"\none part of {PART} images, float32, microseconds forward and backward:")
    for name, both in summary["layers_us"].items():
        print(f"  {name:<9}{both['forward']:>6.0f}{both['backward']:>6.0f}")
    for dtype in ("float32", "float64"):
        ms, ratio = (summary["naive"][key] for key in (f"naive_{dtype}_ms", f"ratio_{dtype}"))
        print(f"the usual im2col with np.add.at in {dtype}: {ms:.1f} ms, {ratio:.1f} times ours")
    print(
        "an epoch of {samples:,} images: {ours_seconds:.2f} s, ratio {ratio:.2f}".format(
            **summary["epoch"]
        )
    )


def draw(results: list[dict]):
    """Draw how many times as fast as each of PyTorch's formats our step is, by batch size."""
    fig, ax = new_figure()
    lines = [(dtype, name) for dtype in ("float32", "float64") for name in THEIRS]
    for (dtype, name), color, marker in zip(lines, COLORS, MARKERS, strict=False):
        points = [
            (r["batch"], r[f"{name}_ms"] / r["ours_ms"]) for r in results if r["dtype"] == dtype
        ]
        label = f"{dtype}, {THEIRS[name]}"
        ax.plot(*zip(*points, strict=True), color=color, marker=marker, label=label)
    ax.axhline(1, color="black", lw=1, ls="--", label="as fast as PyTorch")
    ax.set(
        xscale="log", xlabel="batch size (images)", ylabel="PyTorch's time / ours", ylim=(0, None)
    )
    ax.set_xticks(BATCH_SIZES, BATCH_SIZES)
    ax.xaxis.minorticks_off()
    ax.set_title("One training step of the small CNN, random images")
    ax.legend()
    return fig


if __name__ == "__main__":
    start(main)
