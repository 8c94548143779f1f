"""Train ResNet-20 on CIFAR-10 with PyTorch and torchvision alone: what our loop is held against.

    python tests/bare_loop.py data/cifar10

Network, images, augmentation, schedule and loop are written once more, in the shortest way and
without a line of this repository's, to the recipe of `section4_transfer/resnet_vs_plain.py`. What
it reaches is what the recipe is worth: were ours worse, the fault would be in our code. It takes as
long as a study, so it is not part of the test suite. The folder holds train/ and test/, a subfolder
a class; the last tenth of the shuffled training images is left out, as our validation images are.
"""

import argparse
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


class Block(nn.Module):
    """Two convolutions and a shortcut that skips pixels and pads channels: He's option A."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.stride, self.grow = n_out // n_in, (n_out - n_in) // 2
        self.conv1 = nn.Conv2d(n_in, n_out, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + x)."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        skip = x[:, :, :: self.stride, :: self.stride]
        return F.relu(out + F.pad(skip, (0, 0, 0, 0, self.grow, self.grow)))


def resnet20() -> nn.Module:
    """Return He et al.'s network for CIFAR-10."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Block(n_in, n_out) for n_in, n_out in pairwise(widths)]
    net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return net.to(memory_format=torch.channels_last)


def load(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a folder's images (N, 3, 32, 32), uint8, and labels."""
    pairs = [(v2.functional.pil_to_tensor(image), label) for image, label in ImageFolder(folder)]
    images, labels = zip(*pairs, strict=True)
    return torch.stack(images), torch.tensor(labels)


def main() -> None:
    """Train, and print each epoch's accuracy on the test images; none is chosen by it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    (x, y), (x_test, y_test) = load(f"{args.folder}/train"), load(f"{args.folder}/test")
    kept = torch.randperm(len(x))[: len(x) * 9 // 10]
    x, y = x[kept], y[kept]
    mean, std = (x / 255).mean((0, 2, 3)).tolist(), (x / 255).std((0, 2, 3)).tolist()
    prepare = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    augment = v2.Compose([v2.RandomCrop(32, padding=2), v2.RandomHorizontalFlip()])

    net = resnet20()
    groups = [[p for p in net.parameters() if (p.ndim > 1) == kind] for kind in (True, False)]
    optimizer = torch.optim.SGD(
        [{"params": groups[0], "weight_decay": 5e-4}, {"params": groups[1]}],
        *(args.lr, 0.9),
        nesterov=True,
    )
    steps = args.epochs * -(-len(x) // 32)
    parts = LinearLR(optimizer, 0.1, 1, steps // 4), CosineAnnealingLR(optimizer, steps * 3 // 4)
    scheduler = SequentialLR(optimizer, parts, [steps // 4])
    for epoch in range(1, args.epochs + 1):
        net.train()
        for batch in torch.randperm(len(x)).split(32):
            images = prepare(torch.stack([augment(image) for image in x[batch]]))
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(images.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        net.eval()
        with torch.no_grad():
            right = sum(
                (net(prepare(a)).argmax(1) == b).sum().item()
                for a, b in zip(x_test.split(500), y_test.split(500), strict=True)
            )
        print(f"epoch {epoch}: {right / len(y_test):.2%} of the test images", flush=True)


if __name__ == "__main__":
    main()
