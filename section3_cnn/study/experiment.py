"""The networks of an experiment: each trained in its place in the run folder."""

from collections.abc import Iterable

from section3_cnn.model import Sequential
from section3_cnn.speed import Workers
from section3_cnn.training import Settings, fit
from shared_utils.datasets.gray_images import ImageData
from shared_utils.errors import UserError
from shared_utils.runs import RunFolder, TrainingRun
from shared_utils.runs.outcomes import Outcome


def sizes_of(data: ImageData) -> dict:
    """Return what a network must know of the data when it is built."""
    return {"image_size": data.x_train.shape[2:], "classes": len(data.classes)}


def train_all(
    networks: Iterable[tuple[str, int, Sequential]],
    data: ImageData,
    settings: Settings,
    folder: RunFolder,
    workers: Workers,
) -> list[Outcome]:
    """Train every (name, seed, network) and print each epoch's validation results.

    A network that diverges is left out, and named. Raises UserError when all do.
    """
    faster = {"compute_gradients": workers.compute_gradients, "predict": workers.predict}
    outcomes = []
    for name, seed, model in networks:
        columns = {"arm": name, "seed": seed}
        run = TrainingRun(folder, f"{name}-seed{seed}", columns, show=_print_epoch)
        try:
            history = fit(model, data, settings, seed=seed, run=run, **faster)
        except FloatingPointError as error:
            print(f"{name}, seed {seed}: {error}: it is stopped; try a smaller --lr")
            continue
        outcomes.append(Outcome(name, seed, model, history))
    if not outcomes:
        raise UserError("every network diverged: try a smaller --lr")
    return outcomes


def _print_epoch(row: dict) -> None:
    from tqdm import tqdm

    tqdm.write(
        f"{row['arm']}, seed {row['seed']}, epoch {row['epoch']}: "
        f"validation loss {row['val_loss']:.4f}, accuracy {row['val_acc']:.2%}"
    )
