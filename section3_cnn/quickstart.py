"""The lesson in one page: load digits, build a CNN, train it, count what it gets right."""

import argparse
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import build_cnn
from section3_cnn.optimizer import SGD
from section3_cnn.training import evaluate
from shared_utils.cli import add_data_dir_flag, start
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.minibatches import minibatches


@threadpool_limits.wrap(limits=1)  # products of small matrices gain nothing from a second thread
def main(argv: list[str] | None = None) -> dict:
    """Train for three epochs and return the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_dir_flag(parser)
    data = load_image_data("auto", parser.parse_args(argv).data_dir)
    x, y = data.x_train, data.y_train

    rng = np.random.default_rng(0)
    model = build_cnn("small", rng=rng)
    loss_fn, optimizer = SoftmaxCrossEntropy(), SGD(lr=0.02, momentum=0.9)
    for epoch in range(1, 4):
        for batch in minibatches(len(x), 32, rng):
            logits = model.forward(x[batch])
            loss = loss_fn.forward(logits, y[batch])
            model.backward(loss_fn.backward(), input_grad=False)
            optimizer.step(model.params, model.grads)
        print(f"epoch {epoch}: loss of the last batch {loss:.3f}")

    _, accuracy = evaluate(model, data.x_test, data.y_test)
    print(f"test accuracy on {data.title}: {accuracy:.2%}")
    return {"test_acc": accuracy}


if __name__ == "__main__":
    start(main)
