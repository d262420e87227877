"""The networks of Section 4.2 as losses of a flat parameter vector (Appendix B.4)."""

from gfsharp.networks.convolutional import resnet20, vgg11_bn
from gfsharp.networks.fully_connected import ACTIVATIONS, fully_connected, in_span_of_inputs
from gfsharp.networks.losses import cross_entropy, flat_loss, full_batch, logistic, mean_squared_error
from gfsharp.self_check import check_loss

__all__ = [
    "ACTIVATIONS",
    "check_loss",
    "cross_entropy",
    "flat_loss",
    "full_batch",
    "fully_connected",
    "in_span_of_inputs",
    "logistic",
    "mean_squared_error",
    "resnet20",
    "vgg11_bn",
]
