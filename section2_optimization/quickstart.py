"""The lesson in one page: two spirals, a network of layers, Adam, and the loop of four lines."""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP
from section2_optimization.optimizers import Adam
from section2_optimization.study.toy_data import make_toy_data
from shared_utils.cli import start
from shared_utils.datasets.minibatches import minibatches


def main(argv: list[str] | None = None) -> dict:
    """Train for fifty epochs and return the test accuracy."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    data = make_toy_data("spirals", seed=0)

    rng = np.random.default_rng(0)
    model, loss = MLP((2, 24, 24, 2), "tanh", rng=rng), SoftmaxCrossEntropy()
    optimizer = Adam(lr=0.03)
    for epoch in range(1, 51):
        for batch in minibatches(len(data.x_train), 32, rng):
            value = loss.forward(model.forward(data.x_train[batch]), data.y_train[batch])
            model.backward(loss.backward())
            optimizer.step(model.params, model.grads)
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss of the last batch {value:.3f}")

    accuracy = float(np.mean(model.forward(data.x_test).argmax(axis=1) == data.y_test))
    print(f"test accuracy on {data.name} (generated): {accuracy:.2%}")
    return {"test_acc": accuracy}


if __name__ == "__main__":
    start(main)
