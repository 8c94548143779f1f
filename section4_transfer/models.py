"""The networks: CIFAR ResNets with their plain twins, and ResNet-18.

A plain block computes y = relu(F(x)), a residual one y = relu(F(x) + x). The shortcut makes the
identity the easy answer (F = 0), so a deeper network need not be worse than a shallower one, and
where the ReLU is open it gives the gradient a way around F: dy/dx = dF/dx + 1. The twins here
differ in that `+ x` and in nothing else: the shortcuts have no parameters, so both start from equal
weights.

Source: He, Zhang, Ren and Sun (2015), "Deep residual learning for image recognition",
arXiv:1512.03385, section 4.2 and table 6.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared_utils.errors import UserError

DEPTHS = (20, 32, 44, 56, 110)  # those of the paper
WIDTHS = (16, 32, 64)  # channels of the three stages


class BasicBlock(nn.Module):
    """F = conv3x3, batch norm, relu, conv3x3, batch norm; then the shortcut, if any, and relu.

    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)
    """

    def __init__(self, in_channels: int, channels: int, stride: int, residual: bool):
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.residual = stride, residual
        self.new_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x), or relu(F(x)) in a plain network."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.residual:
            out = out + self.shortcut(x)
        return F.relu(out)

    def shortcut(self, x: Tensor) -> Tensor:
        """Return x; where the shape changes, every second pixel, and zeros as the new channels.

        This is option A of the paper's section 3.3, the one that adds no parameters.
        """
        if self.new_channels == 0:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class CifarNet(nn.Module):
    """A network of 6n + 2 layers for small images: a convolution, three stages of n blocks, a head.

    (N, 3, H, W) -> logits (N, classes); 32 x 32 images are seen at 32, 16 and 8 pixels a side.
    `residual=False` leaves out the shortcuts and changes nothing else. Raises ValueError when
    `depth` is not 6n + 2.
    """

    min_size = 4  # of an image's side: two halvings

    def __init__(self, depth: int = 20, classes: int = 10, residual: bool = True):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(
                f"depth must be 6n + 2 ({', '.join(map(str, DEPTHS))} in the paper), not {depth}"
            )
        self.conv = _conv3x3(3, WIDTHS[0], 1)
        self.bn = nn.BatchNorm2d(WIDTHS[0])
        blocks, in_channels = [], WIDTHS[0]
        for stage, channels in enumerate(WIDTHS):
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(in_channels, channels, stride, residual))
                in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(in_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = F.relu(self.bn(self.conv(x)))
        x = self.blocks(x)
        return self.fc(x.mean(dim=(2, 3)))


def resnet18(classes: int) -> nn.Module:
    """Return torchvision's ResNet-18 with a head of `classes` outputs. (N, 3, H, W) -> logits."""
    from torchvision.models import resnet18 as torchvision_resnet18

    model = torchvision_resnet18(num_classes=classes)
    model.min_size = 32  # five halvings
    return model


def initialise(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Give the network fresh weights, drawn from `generator` alone; return it.

    Convolutions: N(0, 2 / (out_channels k^2)), which keeps the gradient's size from layer to layer
    where there is no batch norm (He et al. 2015, "Delving deep into rectifiers", equation 14).
    Linear layers: N(0, 1 / in), which keeps the signal's size; the gradient of all layers below is
    in proportion to the head's weights. Biases: 0. Batch norm: the identity.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def check_size(model: nn.Module, size: int, flag: str = "--resize") -> None:
    """Raise UserError when images of `size` pixels a side are too small; `flag` sets the size."""
    if size < model.min_size:
        raise UserError(
            f"images of {size} pixels are too small for this network: {flag} must be at least"
            f" {model.min_size}"
        )


def _conv3x3(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
