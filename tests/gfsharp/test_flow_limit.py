"""Losses whose infimum is at infinity have no gradient flow solution, and no number."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from gfsharp.curvature import sharpness
from gfsharp.flow import gfs_sharpness, gradient_flow_solution
from gfsharp.flow.limit import distance_from_infinity
from gfsharp.networks import flat_loss


def _classifier(*sizes, last=None, activation=nn.Tanh):
    torch.manual_seed(0)
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), activation())][:-1]
    return nn.Sequential(*layers, *([last()] if last else [])).double()


def _separable():
    """Return twelve samples in twenty dimensions, which any labels separate: inputs, classes of three, signs."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(12, 20, generator=generator, dtype=torch.float64)
    signs = torch.randint(0, 2, (12, 1), generator=generator) * 2.0 - 1
    return inputs, torch.randint(0, 3, (12,), generator=generator), signs.double()


_ENDLESS = {
    "cross-entropy": (lambda: _classifier(20, 3), "classes", "cross_entropy"),
    "cross-entropy of a network": (lambda: _classifier(20, 10, 3), "classes", nn.CrossEntropyLoss()),
    "... of a deep one": (lambda: _classifier(20, 20, 20, 20, 3, activation=nn.ReLU), "classes", "cross_entropy"),
    "... by hand": (lambda: _classifier(20, 10, 3), "classes", lambda f, y: (f.logsumexp(1) - f[range(12), y]).mean()),
    "logistic": (lambda: _classifier(20, 1), "signs", lambda f, y: functional.softplus(-f * y).mean()),
    "logistic by hand": (lambda: _classifier(20, 1), "signs", lambda f, y: (1 + (-f * y).exp()).log().mean()),
    "exponential": (lambda: _classifier(20, 8, 1), "signs", lambda f, y: (-f * y).exp().mean()),
    "binary, of logits": (lambda: _classifier(20, 8, 1), "zeros and ones", nn.BCEWithLogitsLoss()),
    "soft margin": (lambda: _classifier(20, 8, 1), "signs", nn.SoftMarginLoss()),
    "logaddexp": (lambda: _classifier(20, 1), "signs", lambda f, y: torch.logaddexp(0 * f, -f * y).mean()),
    "logsigmoid": (lambda: _classifier(20, 1), "signs", lambda f, y: -functional.logsigmoid(f * y).mean()),
    "one-hot by hand": (
        lambda: _classifier(20, 8, 3),
        "classes",
        lambda f, y: -(functional.one_hot(y, 3) * f.softmax(1).log()).sum() / 12,
    ),
    "binary by hand": (
        lambda: _classifier(20, 8, 1),
        "zeros and ones",
        lambda f, y: -(y * functional.logsigmoid(f) + (1 - y) * functional.logsigmoid(-f)).mean(),
    ),
    "one minus a probability": (lambda: _classifier(20, 8, 1), "signs", lambda f, y: (1 - torch.sigmoid(f * y)).mean()),
    "masked": (
        lambda: _classifier(20, 1),
        "signs",
        lambda f, y: functional.softplus(-f * y).masked_fill(y > 2, 0).mean(),
    ),
    "clamped": (lambda: _classifier(20, 1), "signs", lambda f, y: functional.softplus(-f * y).clamp(max=9).mean()),
    "the largest": (lambda: _classifier(20, 1), "signs", lambda f, y: functional.softplus(-f * y).max()),
    "a power": (lambda: _classifier(20, 1), "signs", lambda f, y: (2.0 ** (-f * y)).mean()),
    "a root": (lambda: _classifier(20, 1), "signs", lambda f, y: functional.softplus(-f * y).mean().sqrt()),
    "a softmax": (
        lambda: _classifier(20, 8, 3, last=lambda: nn.Softmax(1)),
        "classes",
        lambda f, y: (f - functional.one_hot(y, 3)).square().mean(),
    ),
    "a tanh": (lambda: _classifier(20, 8, 1, last=nn.Tanh), "signs", "mean_squared_error"),
    "a sigmoid": (lambda: _classifier(20, 8, 1, last=nn.Sigmoid), "zeros and ones", nn.MSELoss()),
    "a sigmoid's cross-entropy": (lambda: _classifier(20, 8, 1, last=nn.Sigmoid), "zeros and ones", nn.BCELoss()),
}


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
@pytest.mark.parametrize("case", _ENDLESS)
def test_a_flow_without_a_limit_has_no_value(case, tolerance):
    make, of, criterion = _ENDLESS[case]
    inputs, classes, signs = _separable()
    targets = {"classes": classes, "signs": signs, "zeros and ones": (signs + 1) / 2}[of]
    loss, start = flat_loss(make(), inputs, targets, criterion=criterion)
    found = gfs_sharpness(loss, start, loss_tolerance=tolerance)
    assert found.status == "no limit"
    assert math.isnan(found.value)


def test_a_start_that_is_far_out_already_has_no_limit_either():
    inputs, classes, _ = _separable()
    loss, start = flat_loss(_classifier(20, 10, 3), inputs, classes, criterion="cross_entropy")
    far = gradient_flow_solution(loss, start, loss_tolerance=1e-4)
    assert far.converged
    assert gfs_sharpness(loss, far.parameters, loss_tolerance=1e-2).status == "no limit"


def test_soft_labels_have_a_solution():
    """Kullback-Leibler divergence, whose graph is that of cross-entropy, is zero at finite weights."""
    inputs, _, _ = _separable()
    labels = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)

    def divergence(outputs, targets):
        return functional.kl_div(outputs.log_softmax(1), targets, reduction="batchmean")

    loss, start = flat_loss(_classifier(20, 10, 3), inputs, labels, criterion=divergence)
    found = gfs_sharpness(loss, start)
    assert found.status == "converged"
    end = gradient_flow_solution(loss, start, loss_tolerance=1e-14, tolerance=1e-5, estimate_error=False)
    assert abs(found.value - sharpness(loss, end.parameters).value) < found.error < 0.1 * found.value


def test_classes_that_cannot_be_told_apart_have_no_loss_of_zero():
    inputs, classes, _ = _separable()
    loss, start = flat_loss(_classifier(1, 3), inputs[:, :1], classes, criterion="cross_entropy")
    assert gfs_sharpness(loss, start).status == "stationary"


@pytest.mark.parametrize("power", [4, 8, 12, 16])
def test_a_degenerate_minimum_is_a_limit(power):
    def loss(w):
        return (1 + 10 * w[1]) * w[0] ** 2 / 2 + w[1] ** power

    found = gfs_sharpness(loss, torch.ones(2, dtype=torch.float64))
    assert found.status == "converged"
    assert abs(found.value - 1) < found.error


def test_labels_inside_the_bounds_of_a_sigmoid_are_reached():
    inputs, _, signs = _separable()
    loss, start = flat_loss(_classifier(20, 8, 1, last=nn.Sigmoid), inputs, 0.5 + 0.45 * signs)
    found = gfs_sharpness(loss, start)
    assert found.status == "converged"
    end = gradient_flow_solution(loss, start, loss_tolerance=1e-14, tolerance=1e-5, estimate_error=False)
    assert abs(found.value - sharpness(loss, end.parameters).value) < found.error < 0.1 * found.value


@pytest.mark.parametrize("decay", [1.0, 2.0])
def test_a_minimum_with_slow_directions_without_end_is_a_limit(decay):
    """Eigenvalues that fall like a power of their number: the loss falls like a power of the time."""
    scales = torch.arange(1, 2001, dtype=torch.float64) ** -decay

    def loss(w):
        return (scales * w.square()).sum() / 2

    start = scales ** (0.5 / decay)
    found = gfs_sharpness(loss, start)
    assert found.status == "converged"
    assert abs(found.value - 1) <= found.error


def test_functions_inside_of_a_network_have_no_say():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 30), nn.Sigmoid(), nn.Linear(30, 20), nn.Softplus(), nn.Linear(20, 1)).double()
    inputs = torch.randn(12, 4, dtype=torch.float64)
    loss, start = flat_loss(module, inputs, inputs.square().mean(1, keepdim=True))
    assert distance_from_infinity(loss, start)[0] is None


@pytest.mark.parametrize("above", [1.001, 1.05, 1.5, 4.0])
@pytest.mark.parametrize("decay", [1e-1, 1e-3])
def test_a_tolerance_just_above_a_positive_minimum_is_no_lack_of_a_limit(decay, above):
    def loss(w):
        return functional.softplus(-w.sum()) + decay / 2 * w.square().sum()

    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    end = start.clone()
    for _ in range(200):  # Newton's method, for the minimum
        gradient = torch.autograd.functional.jacobian(loss, end)
        end = end - torch.linalg.solve(torch.autograd.functional.hessian(loss, end), gradient)
    assert gradient.norm() < 1e-12
    found = gfs_sharpness(loss, start, loss_tolerance=above * float(loss(end)))
    assert found.status == "converged"
    assert abs(found.value - sharpness(loss, end).value) <= found.error


@pytest.mark.parametrize("smoothing", [0.1, 0.01, 0.001])
def test_smoothed_labels_have_a_minimum(smoothing):
    inputs, classes, _ = _separable()
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    loss, start = flat_loss(_classifier(20, 3), inputs, classes, criterion=criterion)
    entropy = nn.functional.cross_entropy(
        torch.log(one_hot := (1 - smoothing) * functional.one_hot(classes, 3).double() + smoothing / 3), one_hot
    )
    for above in (1.01, 1.3):
        assert gfs_sharpness(loss, start, loss_tolerance=above * float(entropy)).status == "converged"
    assert gfs_sharpness(loss, start).status == "stationary"
