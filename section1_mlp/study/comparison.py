"""The comparison of activations: one network each, on the same batches, with every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.speed.threads import Threads
from section1_mlp.study.saved import save_model
from section1_mlp.training import fit, flat
from shared_utils.datasets.gray_images import ImageData
from shared_utils.errors import UserError
from shared_utils.runs import RunFolder, TrainingRun
from shared_utils.runs.outcomes import Outcome
from shared_utils.seed import stream
from shared_utils.weights_about import describe_weights

# Sigmoid's derivative is at most 1/4, so its lr must be larger. On MNIST sigmoid and tanh bear more
# (RESULTS.md), but on few images and in deep networks these learn more safely.
LEARNING_RATES = {"relu": 0.1, "tanh": 0.1, "sigmoid": 0.3}


@dataclass(frozen=True)
class Settings:
    """What the networks of the comparison share, and the learning rate of each activation."""

    hidden: Sequence[int]
    epochs: int
    batch_size: int
    lrs: Mapping[str, float]
    momentum: float
    weight_decay: float


def train_all(
    seeds: Sequence[int],
    data: ImageData,
    settings: Settings,
    folder: RunFolder,
    threads: Threads,
) -> list[Outcome]:
    """Train a network for every activation and seed; save the weights of each first seed.

    A network that diverges is left out, and named. Raises UserError when all do.
    """
    outcomes = []
    for activation in settings.lrs:
        for seed in seeds:
            try:
                outcomes.append(train(activation, seed, data, settings, folder, threads))
            except FloatingPointError as error:
                print(f"{activation}, seed {seed}: {error}: it is stopped; try a smaller --lr")
                continue
            if seed == seeds[0]:
                about = describe_weights(data, outcomes[-1])
                save_model(folder.path / f"{activation}.pkl", outcomes[-1].model, about)
    if not outcomes:
        raise UserError("every network diverged: try a smaller --lr")
    return outcomes


def train(
    activation: str,
    seed: int,
    data: ImageData,
    settings: Settings,
    folder: RunFolder,
    threads: Threads,
) -> Outcome:
    """Train one network. Raises FloatingPointError when its loss is no longer finite."""
    sizes = (flat(data.x_train).shape[1], *settings.hidden, len(data.classes))
    model = MLP(sizes, activation, rng=stream(seed, "init"))
    history = fit(
        model,
        SGD(settings.lrs[activation], settings.momentum, settings.weight_decay),
        data,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=seed,
        compute_gradients=threads.compute_gradients,
        evaluate=threads.evaluate,
        run=TrainingRun(folder, f"{activation}-seed{seed}", {"arm": activation, "seed": seed}),
    )
    return Outcome(activation, seed, model, history)
