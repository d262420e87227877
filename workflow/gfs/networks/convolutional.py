"""VGG-11 and ResNet-20 with batch norm, for images of any size (figures 6 and 13).

Batch norm uses the statistics of the whole data set at every evaluation and keeps none, so that the full-batch loss is
a function of the weights alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Convolutions by their width in units of the first; a pooling layer follows where there is a zero.
_VGG11 = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0)


def vgg11(inputs: int, outputs: int, *, channels: int = 64, seed: int = 0) -> nn.Sequential:
    """Return VGG-11 with batch norm, configuration A of Simonyan and Zisserman (2015) with one linear layer at the end.

    Eight 3 x 3 convolutions with bias, of 1, 2, 4, 4, 8, 8, 8, 8 times ``channels`` channels, each followed by batch
    norm and ReLU; five 2 x 2 max poolings, those left out that would leave nothing of a small image; the mean over
    what is left of the image; a linear layer. 9,231,114 parameters for 32 x 32 colour images and ten classes.

    Args:
        inputs: channels of the images.
        outputs: classes.
        channels: of the first convolution.
        seed: of torch's default initialisation; the global generator is left as it was.

    >>> sum(p.numel() for p in vgg11(3, 10).parameters())
    9231114
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        before = inputs
        for width in _VGG11:
            if width:
                layers += [nn.Conv2d(before, width * channels, 3, padding=1), _norm(width * channels), nn.ReLU()]
                before = width * channels
            else:
                layers.append(_Halve())
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))


def resnet20(inputs: int, outputs: int, *, channels: int = 16, seed: int = 0) -> nn.Sequential:
    """Return ResNet-20 with batch norm as He et al. (2016) describe it for CIFAR-10.

    A 3 x 3 convolution; three stages of three blocks of two convolutions, with 1, 2 and 4 times ``channels`` channels,
    the image halved at the start of the second and third; the mean over the image; a linear layer. Convolutions have no
    bias; shortcuts have no parameters (option A). 269,722 parameters for colour images and ten classes.

    Args:
        inputs, outputs, channels, seed: as for :func:`vgg11`.

    >>> tuple(resnet20(1, 10, channels=4)(torch.zeros(2, 1, 8, 8)).shape)
    (2, 10)
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), _norm(channels), nn.ReLU()]
        before = channels
        for stage in range(3):
            for block in range(3):
                width = channels * 2**stage
                layers.append(_Block(before, width, 2 if stage and not block else 1))
                before = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))


class _Halve(nn.Module):
    """2 x 2 max pooling of images that are at least two pixels wide and high."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 2) if min(x.shape[-2:]) >= 2 else x


class _Block(nn.Module):
    """``relu(x + F(x))``; where F halves the image the shortcut does too, and pads with channels of zeros."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = channels - before
        self.residual = nn.Sequential(
            nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False),
            _norm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.padding:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, self.padding // 2, self.padding - self.padding // 2))
        return functional.relu(shortcut + self.residual(x))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
