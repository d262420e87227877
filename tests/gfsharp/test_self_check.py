"""The check of a loss: what is wrong is refused with its cause, what is right is not."""

import numpy as np
import pytest
import torch
from test_losses import Checkpointed
from torch import nn
from torch.autograd import Function
from torch.nn import functional
from torch.nn.utils import parametrizations

from gfsharp import flow, networks
from gfsharp.curvature import hessian_vector_product, sharpness
from gfsharp.errors import LossError
from gfsharp.self_check import check_loss

SEEDS = range(5)


class OnContext(Function):
    """atan, whose derivative is kept where no graph leads."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = 1 / (1 + x**2)
        return torch.atan(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.slope


class ByNumpy(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach().numpy()
        return torch.from_numpy(np.tanh(ctx.x))

    @staticmethod
    def backward(ctx, gradient):
        return gradient.detach() * torch.from_numpy(1 / np.cosh(ctx.x) ** 2)


class OnceOnly(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.cos(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return -gradient * torch.sin(ctx.saved_tensors[0])


class Rounded(Function):
    """A straight-through estimator: not the gradient of its values."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(4 * x) / 4

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Right(Function):
    """ReLU with a right second derivative (zero), written by hand."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Dropping(nn.Module):
    def forward(self, x):
        return functional.dropout(x, 0.02, self.training)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.last = nn.LSTM(1, 4, 2, dropout=0.2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.layers(x[..., None])[0][:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attention = nn.Linear(1, 4), nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        h = self.embed(x[..., None])
        return self.last(self.attention(h, h, h)[0].mean(1))


def between(*middle):
    return nn.Sequential(nn.Linear(5, 12), *middle, nn.Linear(12, 2))


WRONG = {
    "kept on the context": (lambda: between(Of(OnContext.apply)), r"second derivative .* OnContext"),
    "kept, beside ReLU": (lambda: between(Of(OnContext.apply), nn.Linear(12, 12), nn.ReLU()), r"second .* OnContext"),
    "by NumPy": (lambda: between(Of(ByNumpy.apply)), r"second derivative .* ByNumpy"),
    "once differentiable": (lambda: between(Of(OnceOnly.apply)), r"second derivative .* OnceOnly"),
    "straight through": (lambda: between(Of(Rounded.apply)), r"Rounded"),
    "detached": (
        lambda: between(Of(lambda x: x * torch.sigmoid(x).detach())),
        r"gradient of the loss is not that .*detach",
    ),
    "functional dropout": (lambda: between(Dropping()), r"random: .* Dropping.forward draws"),
    "dropout in an LSTM": (Recurrent, r"random: .* LSTM \(layers\) has dropout=0.2: call eval\(\)"),
    "dropout in attention": (Attending, r"random: .* MultiheadAttention \(attention\) has dropout=0.2"),
    "RReLU": (lambda: between(nn.RReLU()), r"random: .* RReLU \(1\) draws its slopes"),
    "spectral norm": (
        lambda: between(parametrizations.spectral_norm(nn.Linear(12, 12))),
        r"spectral_norm \(1\) in training mode .* call eval\(\)",
    ),
    "weight norm": (
        lambda: between(nn.Tanh(), parametrizations.weight_norm(nn.Linear(12, 12)), nn.Tanh()),
        r"second derivative of torch's weight_norm \(2\) is wrong: write its weight as",
    ),
    "re-entrant": (lambda: nn.Sequential(Checkpointed(reentrant=True)), r"needs use_reentrant=False"),
}
RIGHT = {
    "ReLU": lambda: between(nn.ReLU(), nn.Linear(12, 12), nn.ReLU()),
    "own ReLU": lambda: between(Of(Right.apply), nn.Linear(12, 12), Of(Right.apply)),
    "hardtanh": lambda: between(nn.Hardtanh(), nn.BatchNorm1d(12)),
    "leaky": lambda: between(nn.LeakyReLU(), nn.LayerNorm(12), nn.LeakyReLU()),
    "GELU": lambda: between(nn.GELU(), nn.Linear(12, 12), nn.Hardswish()),
    "maximum": lambda: between(nn.Unflatten(1, (1, 12)), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 12)),
    "linear": lambda: nn.Linear(5, 2),
    "spectral norm, eval": lambda: between(parametrizations.spectral_norm(nn.Linear(12, 12))).eval(),
    "dropout, eval": lambda: between(Dropping(), nn.Tanh()).eval(),
}


def case(make, seed, dtype, inputs=5):
    torch.manual_seed(seed)
    return make().to(dtype), torch.randn(9, inputs, dtype=dtype), torch.randn(9, 2, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WRONG)
def test_a_loss_that_is_not_fit_is_refused_with_its_cause(name, dtype):
    make, message = WRONG[name]
    for seed in SEEDS:
        with pytest.raises(ValueError, match=message):
            networks.flat_loss(*case(make, seed, dtype, 3 if name == "re-entrant" else 5))


def test_without_the_check_it_is_not():
    networks.flat_loss(*case(WRONG["by NumPy"][0], 0, torch.float32), check=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RIGHT)
def test_a_loss_that_is_fit_is_taken(name, dtype):
    for seed in SEEDS:
        networks.flat_loss(*case(RIGHT[name], seed, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-3, 1e3, 1e6])
def test_whatever_the_size_of_the_weights_or_of_the_loss(scale, dtype):
    for seed in SEEDS:
        module, x, y = case(RIGHT["ReLU"] if seed % 2 else RIGHT["GELU"], seed, dtype)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(scale)
        networks.flat_loss(module, x, y * (1.0, 1e-6, 1e6)[seed % 3])


def test_convolutions_in_float32():
    for seed in range(2):
        torch.manual_seed(seed)
        for module in (networks.resnet20(1, 2, channels=4), networks.vgg11_bn(1, 2, channels=4)):
            networks.flat_loss(module, torch.randn(10, 1, 8, 8), torch.randn(10, 2))


def test_losses_of_a_user_s_own():
    w = torch.tensor([0.5, -1.0, 2.0])
    for loss in (
        lambda w: w.sum(),  # linear: no Hessian
        lambda w: w[0] ** 2 * w[1],
        lambda w: (w - torch.tensor([0.5, -1.0, 2.0])).square().sum(),  # at its minimum
        lambda w: w.abs().sum(),
        lambda w: 1e-30 * w.exp().sum(),
        lambda w: 1e30 * w.square().sum(),
        lambda w: (w[2] - 1.999).log(),  # a little further it is not a number
        lambda w: w.sum() * float("nan"),  # nothing to be checked
    ):
        networks.check_loss(loss, w)
        networks.check_loss(loss, w.double())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda w: w.square().sum() + torch.rand(()), "the loss is random: "),
        (lambda w: torch.tensor(1.0), "the loss does not depend on the weights"),
        (lambda w: w.detach().square().sum() + 0 * w.sum(), "the gradient of the loss is not that of its values"),
        (lambda w: w.square(), r"must be one real number in a torch tensor, found torch.float32 of shape \(2,\)"),
        (lambda w: 1.0, "must be one real number in a torch tensor, found float"),
        (lambda w: w.detach().mul_(2).sum() + w.square().sum(), "writes to the weights"),
    ],
)
def test_losses_of_a_user_s_own_that_are_not_fit(loss, message):
    with pytest.raises(LossError, match=message):
        networks.check_loss(loss, torch.tensor([1.0, 2.0]))


def test_the_global_generators_are_left_alone_and_it_costs_a_handful_of_gradients():
    module, x, y = case(RIGHT["GELU"], 0, torch.float32)
    loss, w = networks.flat_loss(module, x, y, check=False)
    calls = []
    before = torch.get_rng_state()
    networks.check_loss(lambda v: (calls.append(1), loss(v))[1], w)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(calls) <= 8


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda w: torch.ones(()), "does not depend on the weights"),
        (lambda w: (OTHER**2).sum(), "does not depend on the weights"),
        (lambda w: w.detach().square().sum(), "does not depend on the weights"),
        (lambda w: w**2, r"found torch.float64 of shape \(3,\)"),
        (lambda w: float(w.sum()), "found float"),
        (lambda w: w.sum().long(), "found torch.int64"),
        (lambda w: w.sum() + 0j, "found torch.complex128"),
        (lambda w: (w.sum(), 1), "found tuple"),
        (lambda w: None, "found NoneType"),
    ],
)
@pytest.mark.parametrize("use", [check_loss, sharpness, hessian_vector_product, flow.gfs_sharpness])
def test_what_is_no_loss_of_the_weights_is_said(use, loss, said):
    with pytest.raises(LossError, match=said):
        use(loss, torch.ones(3, dtype=torch.float64))


OTHER = torch.ones(3, dtype=torch.float64, requires_grad=True)
