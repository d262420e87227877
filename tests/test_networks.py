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


def test_targets_of_another_shape_are_refused():
    module = torch.nn.Linear(3, 1)
    loss, w = networks.flat_loss(module, torch.randn(5, 3), torch.randn(5))
    with pytest.raises(ValueError, match=r"outputs have shape \(5, 1\), targets \(5,\)"):
        loss(w)


def test_batch_norm_is_left_as_it_was():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = module[1].running_mean.clone()
    loss, w = networks.flat_loss(module, torch.randn(6, 3), torch.randn(6, 4))
    assert loss(w) == loss(w)
    torch.testing.assert_close(module[1].running_mean, before)


def test_frozen_parameters_stay_out_of_the_vector():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    module[0].requires_grad_(False)
    _, w = networks.flat_loss(module, torch.randn(6, 3), torch.randn(6, 2))
    assert w.numel() == 4 * 2 + 2
    module.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameters"):
        networks.flat_loss(module, torch.randn(6, 3), torch.randn(6, 2))


def test_active_dropout_is_refused():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"dropout \(1\) makes the loss random"):
        networks.flat_loss(module, torch.randn(6, 3), torch.randn(6, 2))
    networks.flat_loss(module.eval(), torch.randn(6, 3), torch.randn(6, 2))
