"""The lesson in one page: load digits, build a network, train it, count what it gets right."""

import argparse
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.training import flat
from shared_utils.cli import add_data_dir_flag, start
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.minibatches import minibatches


@threadpool_limits.wrap(limits=1)  # threads that wait for a busy core are slower than one
def main(argv: list[str] | None = None) -> dict:
    """Train for three epochs and return the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_dir_flag(parser)
    data = load_image_data("auto", parser.parse_args(argv).data_dir)
    x, x_test = flat(data.x_train), flat(data.x_test)

    rng = np.random.default_rng(0)
    model = MLP((784, 128, 10), "relu", rng=rng)
    optimizer = SGD(lr=0.1, momentum=0.9)
    for epoch in range(1, 4):
        for batch in minibatches(len(x), 128, rng):
            loss = model.loss(x[batch], data.y_train[batch])  # forward, and the loss
            model.backward()
            optimizer.step(model.params, model.grads)
        print(f"epoch {epoch}: loss of the last batch {loss:.3f}")

    accuracy = float(np.mean(model.forward(x_test).argmax(axis=1) == data.y_test))
    print(f"test accuracy on {data.title}: {accuracy:.2%}")
    return {"test_acc": accuracy}


if __name__ == "__main__":
    start(main)
