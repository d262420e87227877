"""The networks and their flat losses."""

import pytest
import torch

from gfsharp import curvature, flow, networks
from gfsharp.errors import UserError
from gfsharp.networks.convolutional import pool_by_maximum
from replication.training import architectures


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
    with pytest.raises(ValueError, match=r"outputs have shape \(5, 1\), targets \(5,\)"):
        networks.flat_loss(module, torch.randn(5, 3), torch.randn(5))


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


def test_parameter_counts_of_the_repositories():
    counts = [
        sum(p.numel() for p in make(3, 10).parameters() if p.requires_grad)
        for make in (networks.vgg11_bn, networks.resnet20)
    ]
    # Convolutions of VGG-11 with bias and batch norm, then 2 (512^2 + 512) + 5,130; of ResNet-20 without bias, and two
    # batch norms of 16 and 32 channels in the shortcuts that He et al.'s 269,722 does not have.
    assert counts == [9_756_426, 269_818]


@pytest.mark.parametrize("make", [networks.vgg11_bn, networks.resnet20])
def test_convolutions_start_with_variance_2_over_9_times_their_output_channels(make):
    # As in both repositories: fan-out, so that the first convolution of 3 channels is not wider than others.
    module = make(3, 10)
    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == {networks.vgg11_bn: 8, networks.resnet20: 19}[make]
    for part in convolutions:
        scaled = part.weight.detach().double() / (2 / (9 * part.out_channels)) ** 0.5
        # Four standard errors of the mean and of the standard deviation of n normal numbers.
        assert abs(scaled.mean()) < 4 / scaled.numel() ** 0.5
        assert abs(scaled.std() - 1) < 4 / (2 * scaled.numel()) ** 0.5
        if make is networks.vgg11_bn:
            assert (part.bias == 0).all()
        else:
            assert part.bias is None


def test_linear_layers_and_batch_norm_start_as_torch_has_them():
    vgg, resnet = networks.vgg11_bn(3, 10), networks.resnet20(3, 10)
    linear = [part for part in vgg if isinstance(part, torch.nn.Linear)]
    assert [tuple(part.weight.shape) for part in linear] == [(512, 512), (512, 512), (10, 512)]
    for part in (*linear, resnet[-1]):
        bound = part.in_features**-0.5  # uniform in +- 1/sqrt(fan-in)
        assert 0.99 * bound < part.weight.abs().max() <= bound
        assert part.bias.abs().max() <= bound
    assert not any(isinstance(part, torch.nn.modules.dropout._DropoutNd) for part in vgg.modules())
    for part in vgg.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            assert (part.weight == 1).all()
            assert (part.bias == 0).all()


@pytest.mark.parametrize("make", [networks.vgg11_bn, networks.resnet20])
@pytest.mark.parametrize("size", [8, 32])
def test_convolutional_networks_take_small_and_large_images(make, size):
    inputs, targets = torch.randn(6, 1, size, size), torch.randn(6, 4)
    module = make(1, 4, channels=2)
    assert module(inputs).shape == (6, 4)
    loss, flat = networks.flat_loss(module, inputs, targets)
    # Batch norm's statistics are those of the batch, every time: the loss is a function of the weights alone.
    assert torch.equal(loss(flat), loss(flat))
    # Away from the start, where what stands before a batch norm of weight zero has no gradient.
    point = (flat + 0.1 * torch.randn_like(flat)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(point), point)
    # Where an image is one pixel, only the middle of each filter sees it.
    assert (gradient != 0).float().mean() > (0.5 if size == 32 else 0.2)


def test_each_block_of_the_resnet_is_its_shortcut_at_the_start():
    module = networks.resnet20(1, 4, channels=4)
    blocks = [part for part in module if hasattr(part, "residual")]
    assert [index for index, block in enumerate(blocks) if block.shortcut_norm is not None] == [3, 6]
    assert len(blocks) == 9
    assert all((block.residual[-1].weight == 0).all() for block in blocks)
    x = torch.rand(3, 4, 8, 8)  # as after ReLU
    torch.testing.assert_close(blocks[0](x), x, rtol=0, atol=0)
    # One that halves the image: every second pixel, normalised by the batch, zeros behind.
    out = blocks[3](x)
    assert out.shape == (3, 8, 4, 4)
    kept = x[:, :, ::2, ::2]
    mean, variance = kept.mean((0, 2, 3), keepdim=True), kept.var((0, 2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(out[:, :4], torch.relu((kept - mean) / torch.sqrt(variance + 1e-5)))
    assert (out[:, 4:] == 0).all()


def test_a_block_of_the_resnet_adds_its_residual():
    block = networks.resnet20(1, 4, channels=2)[6]
    x = torch.rand(3, 2, 8, 8)
    torch.nn.init.ones_(block.residual[-1].weight)
    shortcut = torch.nn.functional.pad(block.shortcut_norm(x[:, :, ::2, ::2]), (0, 0, 0, 0, 0, 2))
    torch.testing.assert_close(block(x), torch.relu(shortcut + block.residual(x)))
    assert not torch.allclose(block(x), torch.relu(shortcut))


@pytest.mark.parametrize("size", [8, 7])
def test_pooling_by_maximum_is_torch_s_with_the_same_gradient_after_relu(size):
    x = torch.relu(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0)))
    x.requires_grad_(True)  # zeros, whose ties the two share out differently, are three in eight windows
    ours, theirs = (pool(torch.relu(x)) for pool in (pool_by_maximum, lambda x: torch.nn.functional.max_pool2d(x, 2)))
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad((pooled**3).sum(), x)[0] for pooled in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("count", [7, 30])
def test_the_reduced_network_has_the_same_descent_and_sharpness(count):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 1, 4, 5, generator=generator, dtype=torch.float64)
    targets = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    module = networks.fully_connected(20, 3, widths=(6, 5)).double()
    reduced, coordinates = networks.in_span_of_inputs(module, inputs)
    assert coordinates.shape == (count, min(count, 20))
    assert module[1].in_features == 20
    runs = []
    for loss, w in (networks.flat_loss(module, inputs, targets), networks.flat_loss(reduced, coordinates, targets)):
        losses, weights = [], w
        for _ in range(30):
            value, gradient = flow.loss_and_gradient(loss, weights)
            losses.append(value)
            weights = weights - 0.05 * gradient
        runs.append([*losses, curvature.sharpness(loss, weights).value])
    torch.testing.assert_close(torch.tensor(runs[0]), torch.tensor(runs[1]), rtol=1e-8, atol=0)


def own_network(inputs, targets, *, seed, width):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(inputs[0].numel(), width), torch.nn.Linear(width, targets.shape[1])
    )


def no_network(inputs, targets, *, seed):
    return 3


def test_a_network_of_a_user_s_own():
    inputs, targets = torch.randn(5, 1, 2, 2, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    parameters = {"architecture": "custom", "factory": f"{__name__}:own_network", "seed": 1, "options": {"width": 4}}
    module, seen = architectures.build(parameters, inputs, targets)
    assert module[1].weight.shape == (4, 4)
    assert module[1].weight.dtype == torch.float64
    assert seen is inputs
    with pytest.raises(UserError, match=r"returned int, not a torch.nn.Module"):
        architectures.build({**parameters, "factory": f"{__name__}:no_network", "options": {}}, inputs, targets)
