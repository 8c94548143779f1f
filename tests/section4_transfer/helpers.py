"""What the tests of section 4 share: a tiny problem that a tiny network learns in seconds."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from section4_transfer.engine.runtime import Runtime
from section4_transfer.training import Training, make_optimizer, train_steps
from shared_utils.datasets.color_images import generator

CPU = Runtime(torch.device("cpu"), "fp32")


class TinyNet(nn.Module):
    """Without batch norm, so that a batch's gradient is the mean of its parts' gradients."""

    min_size = 4

    def __init__(self, classes: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def half_a_resnet18(num_classes: int) -> ResNet:
    """ResNet-18 with one block a stage in place of two, in the place of torchvision's."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes)


def tiny_split(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 3, 8, 8), uint8, in which the brightest channel is the label."""
    draws = generator(seed, "tiny images")
    y = torch.arange(n) % 3
    x = torch.randint(0, 120, (n, 3, 8, 8), generator=draws, dtype=torch.uint8)
    x[torch.arange(n), y] += 100
    return x, y


def as_float(x, y, generator):
    return x.float() / 255, y


def steps(model, recipe, train, prepare=as_float, runtime=CPU, *, optimizer=None, **options):
    """Take training steps; yield of each the loss, and what the training noted of it."""
    optimizer = optimizer or make_optimizer(model, recipe)
    training = Training(model, optimizer, recipe, len(train[0]))
    for loss in train_steps(training, train, prepare, recipe, runtime, **options):
        yield loss.item(), training.sums.tolist(), training.norms.tolist()
        training.sums.zero_()
        training.norms.zero_()
