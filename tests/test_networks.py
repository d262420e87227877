"""The networks and their flat losses."""

import pytest
import torch

from gfs import networks


def test_the_paper_s_network_has_the_parameters_of_its_layers():
    module = networks.fully_connected(3072, 10)
    expected = 3072 * 200 + 200 + 200 * 200 + 200 + 200 * 10 + 10
    assert sum(parameter.numel() for parameter in module.parameters()) == expected


@pytest.mark.parametrize("activation", ["hardtanh", "tanh", "relu"])
def test_flat_loss_is_the_module_s(activation):
    inputs, targets = torch.randn(9, 3, 2, 2), torch.randn(9, 4)
    module = networks.fully_connected(12, 4, widths=(5,), activation=activation)
    loss, flat = networks.flat_loss(module, inputs, targets)
    expected = 0.5 * ((module(inputs) - targets) ** 2).sum() / 9
    torch.testing.assert_close(loss(flat), expected)
    expected.backward()
    point = flat.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(point), point)
    torch.testing.assert_close(gradient, torch.cat([p.grad.reshape(-1) for p in module.parameters()]))


def test_seed_decides_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = networks.fully_connected(4, 2, seed=1)
    torch.testing.assert_close(torch.get_rng_state(), before)
    second, other = networks.fully_connected(4, 2, seed=1), networks.fully_connected(4, 2, seed=2)
    torch.testing.assert_close(first[1].weight, second[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="unknown activation 'swish'; choose one of hardtanh, relu, tanh"):
        networks.fully_connected(4, 2, activation="swish")
