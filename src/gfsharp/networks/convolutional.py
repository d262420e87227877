"""VGG-11 with batch norm and ResNet-20, as the repositories that Appendix B.4 names have them (figures 6 and 13).

Batch norm uses the statistics of the whole data set at every evaluation and keeps none, so that the full-batch loss is
a function of the weights alone. Pooling is written with operations whose gradients are deterministic on a GPU too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Convolutions by their width in units of the first; a pooling layer follows where there is a zero.
_VGG11 = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0)


def vgg11_bn(inputs: int, outputs: int, *, channels: int = 64, seed: int = 0) -> nn.Sequential:
    """Return VGG-11 with batch norm, ``vgg11_bn`` of chengyangfu/pytorch-vgg-cifar10 (commit 9c5da95), without dropout.

    Eight 3 x 3 convolutions with bias, of 1, 2, 4, 4, 8, 8, 8, 8 times ``channels`` channels, each followed by batch
    norm and ReLU; five 2 x 2 max poolings, those left out that would leave nothing of a small image; three linear
    layers, the first two as wide as the last convolution and followed by ReLU. Images larger than 32 x 32 are averaged
    before them. 9,756,426 parameters for 32 x 32 colour images and ten classes.

    Weights of convolutions are normal with variance 2 / (9 x output channels), their biases zero; linear layers and
    batch norm start as torch has them. The repository has dropout before the first two linear layers; gradient descent
    on the full batch needs a loss that is a function, and the copy that Cohen et al. (2021) use has none.

    Args:
        inputs: channels of the images.
        outputs: classes.
        channels: of the first convolution.
        seed: of the initialisation; the global generator is left as it was.

    >>> sum(p.numel() for p in vgg11_bn(3, 10).parameters())
    9756426
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        before = inputs
        for width in _VGG11:
            if width:
                layers += [_vgg_convolution(before, width * channels), _norm(width * channels), nn.ReLU()]
                before = width * channels
            else:
                layers.append(_Halve())
        head = [nn.Linear(before, before), nn.ReLU(), nn.Linear(before, before), nn.ReLU(), nn.Linear(before, outputs)]
        return nn.Sequential(*layers, _Average(), *head)


def resnet20(inputs: int, outputs: int, *, channels: int = 16, seed: int = 0) -> nn.Sequential:
    """Return ResNet-20 with batch norm, ``resnet20`` of hongyi-zhang/Fixup (cifar, commit f3fa449).

    A 3 x 3 convolution; three stages of three blocks of two convolutions, with 1, 2 and 4 times ``channels`` channels,
    the image halved at the start of the second and third; the mean over the image; a linear layer. Convolutions have no
    bias. Where the image is halved the shortcut takes every second pixel, then a batch norm, and is padded behind with
    as many channels of zeros as it has. 269,818 parameters for colour images and ten classes.

    Weights of convolutions are normal with variance 2 / (9 x output channels); the second batch norm of each block has
    weight zero at the start, so that the block is then its shortcut, followed by ReLU.

    Args:
        inputs, outputs, channels, seed: as for :func:`vgg11_bn`.

    >>> sum(p.numel() for p in resnet20(3, 10).parameters())
    269818
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [_resnet_convolution(inputs, channels), _norm(channels), nn.ReLU()]
        for stage in range(3):
            for block in range(3):
                layers.append(_Block(channels * 2**stage, halve=stage > 0 and block == 0))
        return nn.Sequential(*layers, _Average(), nn.Linear(4 * channels, outputs))


class _Halve(nn.Module):
    """2 x 2 max pooling of images that are at least two pixels wide and high.

    On a GPU torch's own has a gradient that is not deterministic, so it is written as a maximum there. The two differ
    in how they share the gradient of a tie; after ReLU ties are zeros, whose gradient ReLU takes away.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = (size // 2 for size in x.shape[-2:])
        if not (height and width):
            return x
        return pool_by_maximum(x) if x.is_cuda else functional.max_pool2d(x, 2)


def pool_by_maximum(x: Tensor) -> Tensor:
    """Return 2 x 2 max pooling of (..., H, W) as a maximum: the gradient of a tie is shared."""
    height, width = (size // 2 for size in x.shape[-2:])
    return x[..., : 2 * height, : 2 * width].unflatten(-1, (width, 2)).unflatten(-3, (height, 2)).amax((-3, -1))


class _Average(nn.Module):
    """The mean over each image, (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


class _Block(nn.Module):
    """``relu(shortcut(x) + F(x))``; a block that halves the image doubles the channels, up to ``channels``."""

    def __init__(self, channels: int, *, halve: bool) -> None:
        super().__init__()
        before = channels // 2 if halve else channels
        self.stride = 2 if halve else 1
        last_norm = _norm(channels)
        nn.init.zeros_(last_norm.weight)
        self.residual = nn.Sequential(
            _resnet_convolution(before, channels, self.stride),
            _norm(channels),
            nn.ReLU(),
            _resnet_convolution(channels, channels),
            last_norm,
        )
        self.shortcut_norm = _norm(before) if halve else None

    def forward(self, x: Tensor) -> Tensor:
        residual = self.residual(x)
        if self.shortcut_norm is not None:
            x = self.shortcut_norm(x[..., ::2, ::2])
            x = functional.pad(x, (0, 0, 0, 0, 0, x.shape[1]))
        return functional.relu(x + residual)


def _vgg_convolution(before: int, channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(before, channels, 3, padding=1)
    nn.init.normal_(convolution.weight, 0.0, math.sqrt(2 / (9 * channels)))
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


def _resnet_convolution(before: int, channels: int, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
