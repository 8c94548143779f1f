"""Train one MLP for each activation on handwritten digits, on the same batches, and compare them.

Each network is kept from the epoch with the best validation accuracy and meets the test set once,
at the end. Writes <runs-dir>/train/: weights, metrics, summary and figures.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.checkpoint import save_model
from section1_mlp.functions import ACTIVATIONS
from section1_mlp.model import MLP
from section1_mlp.training import evaluate, steps_per_epoch, train_steps
from shared_utils.cli import add_shared_flags, non_negative_float, parse_args, positive_int, start
from shared_utils.data import CLASSES, ImageData, load_image_data
from shared_utils.errors import UserError
from shared_utils.runs import RunFolder
from shared_utils.seed import stream
from shared_utils.stats import accuracy_ci95, mcnemar_p, mean_std

HERE = Path(__file__).resolve().parent
QUICK = {"epochs": 4, "limit": 10000}
# Chosen by validation accuracy. Sigmoid's derivative is at most 1/4, so its rate must be larger.
LEARNING_RATES = {"relu": 0.1, "tanh": 0.05, "sigmoid": 0.3}
GRADIENT_SAMPLES_PER_EPOCH = 10


@dataclass
class Fit:
    """One network's training: what was measured on the way, and the network of its best epoch."""

    arm: str
    seed: int
    model: MLP
    history: list[dict] = field(default_factory=list)  # a row an epoch, as in metrics.csv
    grad_norms: list[tuple] = field(default_factory=list)  # (epoch, ||dW1||, ||dW2||, ...)
    best_epoch: int = 0
    train_seconds: float = 0.0
    probs: np.ndarray | None = None  # on the test set


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    rates = ", ".join(f"{lr} for {arm}" for arm, lr in LEARNING_RATES.items())
    add_shared_flags(
        parser,
        HERE / "runs",
        epochs=20,
        batch_size=128,
        lr=(None, rates),
        seeds=1,
        dataset="auto",
        limit=(None, "all"),
    )
    parser.add_argument(
        "--activations",
        nargs="+",
        choices=list(ACTIVATIONS),
        default=list(LEARNING_RATES),
        help="the networks to compare (default: all three)",
    )
    parser.add_argument(
        "--hidden",
        nargs="+",
        type=positive_int,
        default=[256, 128],
        help="sizes of the hidden layers (default: 256 128)",
    )
    parser.add_argument(
        "--momentum",
        type=non_negative_float,
        default=0.9,
        help="share of the last step that goes on, below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--weight-decay",
        type=non_negative_float,
        default=5e-5,
        help="pull of every weight towards zero (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Train every arm with every seed, test each once, write all outputs, return the summary."""
    parser = build_parser()
    args = parse_args(parser, argv, QUICK)
    args.activations = list(dict.fromkeys(args.activations))
    if args.momentum >= 1:
        parser.error("argument --momentum: must be below 1, or the steps never end")
    data = load_image_data(args.dataset, args.data_dir, args.limit)
    if data.notice:
        print(f"\n*** {data.notice} ***\n")
    run = RunFolder(args.runs_dir / "train", vars(args), data.describe())

    fits = []
    for arm in args.activations:
        for seed in range(args.seed, args.seed + args.seeds):
            try:
                fits.append(train_arm(arm, seed, data, args, run))
            except FloatingPointError as error:
                print(f"{arm}, seed {seed}: {error}: this arm is stopped; try a smaller --lr")
    if not fits:
        raise UserError("every arm diverged: try a smaller --lr")

    for fit in fits:  # the choices are made: the test set, once
        fit.probs = fit.model.forward(flat(data.x_test))
    summary = summarise(fits, data, args)
    run.write_json("summary.json", summary)
    print_table(summary)

    from section1_mlp import plots  # only now: Matplotlib takes a second to import

    plots.draw_all(run.path, fits, data)
    print(f"\nweights, metrics and figures: {run.path}")
    plots.show_figures(args.no_show)
    return summary


def train_arm(
    arm: str, seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder
) -> Fit:
    """Train one network, keep the weights of its best validation epoch, save those of seed one.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    from tqdm import tqdm

    x, x_val = flat(data.x_train), flat(data.x_val)
    sizes = (x.shape[1], *args.hidden, CLASSES)
    fit = Fit(arm, seed, MLP(sizes, arm, rng=stream(seed, "init")))
    model, lr = fit.model, args.lr or LEARNING_RATES[arm]
    per_epoch = steps_per_epoch(len(x), args.batch_size)
    sample_every = max(1, per_epoch // GRADIENT_SAMPLES_PER_EPOCH)
    steps = train_steps(
        model,
        x,
        data.y_train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=lr,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        rng=stream(seed, "shuffle"),  # the same for every arm: the same batches
    )
    best_params, best_acc, clock = None, -1.0, time.perf_counter()
    bar = tqdm(steps, f"{arm}, seed {seed}", args.epochs * per_epoch, disable=None, unit="step")
    step = 0
    # A network that diverges overflows before its loss does; the loss is what is watched.
    with bar, np.errstate(over="ignore", invalid="ignore"):
        try:
            for step, loss in enumerate(bar, start=1):
                if step % sample_every == 0:
                    norms = [np.linalg.norm(model.grads[f"W{n + 1}"]) for n in range(model.depth)]
                    fit.grad_norms.append((step / per_epoch, *norms))
                if step % per_epoch:
                    continue
                fit.train_seconds += time.perf_counter() - clock
                epoch = step // per_epoch
                row = {"arm": arm, "seed": seed, "epoch": epoch}
                row["train_loss"], row["train_acc"] = evaluate(model, x, data.y_train)
                row["val_loss"], row["val_acc"] = evaluate(model, x_val, data.y_val)
                fit.history.append(row)
                run.log(**row)
                if row["val_acc"] > best_acc:
                    best_acc, fit.best_epoch = row["val_acc"], epoch
                    best_params = {key: param.copy() for key, param in model.params.items()}
                bar.set_postfix(loss=f"{loss:.3f}", val_acc=f"{row['val_acc']:.4f}")
                clock = time.perf_counter()
        except FloatingPointError as error:
            raise FloatingPointError(f"epoch {step // per_epoch + 1}: {error}") from error
    for key, param in best_params.items():
        model.params[key][:] = param
    if seed == args.seed:
        about = {"dataset": data.name, "sha256": data.digest, "epoch": fit.best_epoch}
        save_model(run.path / f"{arm}.pkl", model, about | {"val_acc": best_acc})
    return fit


def summarise(fits: list[Fit], data: ImageData, args: argparse.Namespace) -> dict:
    """Return `summary.json`: every arm's results for its first seed, and over the seeds."""
    runs = {}
    for arm in dict.fromkeys(fit.arm for fit in fits):
        of_arm = [fit for fit in fits if fit.arm == arm]
        first = of_arm[0]
        correct = [int(right(fit, data).sum()) for fit in of_arm]
        total = len(data.y_test)
        runs[arm] = {
            "val_acc": first.history[first.best_epoch - 1]["val_acc"],
            "test_acc": correct[0] / total,
            "test_ci95": accuracy_ci95(correct[0], total),
            "best_epoch": first.best_epoch,
            "train_seconds": first.train_seconds,
            "images_per_second": len(data.y_train) * args.epochs / first.train_seconds,
            "over_seeds": {
                "val_acc": mean_std([f.history[f.best_epoch - 1]["val_acc"] for f in of_arm]),
                "test_acc": mean_std([count / total for count in correct]),
            },
        }
    return {"data": data.name, "runs": runs, "conclusions": conclude(fits, data)}


def conclude(fits: list[Fit], data: ImageData) -> list[str]:
    """Return sentences that compare the arm with the best validation accuracy with the others."""
    arms = list(dict.fromkeys(fit.arm for fit in fits))
    accuracy = {arm: {} for arm in arms}  # arm -> seed -> test accuracy
    val_acc = {arm: [] for arm in arms}
    for fit in fits:
        accuracy[fit.arm][fit.seed] = right(fit, data).mean()
        val_acc[fit.arm].append(fit.history[fit.best_epoch - 1]["val_acc"])
    best = max(arms, key=lambda arm: np.mean(val_acc[arm]))
    lines = [f"{best} has the best validation accuracy: {np.mean(val_acc[best]):.2%}"]
    for arm in arms:
        seeds = sorted(accuracy[arm].keys() & accuracy[best].keys())
        if arm == best or not seeds:
            continue
        points = [100 * (accuracy[best][seed] - accuracy[arm][seed]) for seed in seeds]
        line = f"test accuracy, {best} minus {arm}: {np.mean(points):+.2f} points"
        if len(seeds) > 1:
            spread = np.std(points, ddof=1)
            verdict = "beyond" if abs(np.mean(points)) > 2 * spread else "within"
            line += f", {verdict} twice the spread over {len(seeds)} seeds ({spread:.2f})"
        else:
            pair = [next(f for f in fits if (f.arm, f.seed) == (a, seeds[0])) for a in (best, arm)]
            p = mcnemar_p(*(right(fit, data) for fit in pair))
            verdict = "tells these two networks apart" if p < 0.05 else "could be chance"
            line += f", which {verdict} (McNemar p = {p:.2g}); --seeds 3 compares the activations"
        lines.append(line)
    return lines


def print_table(summary: dict) -> None:
    """Print one line an arm, and the conclusions."""
    print(f"\n{'arm':<9}{'epoch':>6}{'val acc':>9}{'test acc':>10}  {'95 % interval':<17}", end="")
    print(f"{'over seeds':<22}{'seconds':>8}{'images/s':>10}")
    for arm, result in summary["runs"].items():
        low, high = result["test_ci95"]
        over = result["over_seeds"]["test_acc"]
        spread = f"{over['mean']:.2%} +- {over['std']:.2%}" if over["n"] > 1 else "(one seed)"
        print(
            f"{arm:<9}{result['best_epoch']:>6}{result['val_acc']:>9.2%}{result['test_acc']:>10.2%}"
            f"  {f'{low:.2%} - {high:.2%}':<17}{spread:<22}"
            f"{result['train_seconds']:>8.1f}{result['images_per_second']:>10,.0f}"
        )
    print("\n" + "\n".join(summary["conclusions"]))


def right(fit: Fit, data: ImageData) -> np.ndarray:
    """Return which test images a network gets right, a boolean (N,)."""
    return fit.probs.argmax(axis=1) == data.y_test


def flat(images: np.ndarray) -> np.ndarray:
    """Return images (N, 1, 28, 28) as rows (N, 784), without copying."""
    return images.reshape(len(images), -1)


if __name__ == "__main__":
    start(main)
