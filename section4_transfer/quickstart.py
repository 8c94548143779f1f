"""The lesson in one page: load small images, build a residual network, train it, test it."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # start from any directory

from shared_utils.cli import add_data_dir_flag, start


def main(argv: list[str] | None = None) -> dict:
    """Train on at most 3,000 images for five epochs and return the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_dir_flag(parser)
    data_dir = parser.parse_args(argv).data_dir

    import torch  # takes seconds: only now
    from torch.nn import functional as F

    from section4_transfer.augment import Pipeline, crop
    from section4_transfer.models import CifarNet, initialise
    from shared_utils.datasets.color_images import batches, generator, load_torch_data
    from shared_utils.seed import stream

    data = load_torch_data("auto", data_dir, limit=3000, limit_all=True)
    prepare = Pipeline(*data.statistics(), [crop])
    draws, order = generator(0, "crop"), stream(0, "shuffle")
    model = initialise(CifarNet(8, len(data.classes)), generator(0, "init"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for epoch in range(1, 6):
        for batch in batches(len(data.y_train), 32, order):
            x, y = prepare(data.x_train[batch], data.y_train[batch], draws)
            loss = F.cross_entropy(model(x), y)  # forward, and the loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss of the last batch {loss.item():.3f}")

    with torch.no_grad():
        x, y = prepare(data.x_test, data.y_test)
        accuracy = (model.eval()(x).argmax(1) == y).double().mean().item()
    print(f"accuracy on {len(y):,} test images, {data.title}: {accuracy:.2%}")
    return {"test_acc": accuracy}


if __name__ == "__main__":
    start(main)
