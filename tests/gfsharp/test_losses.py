"""Losses of modules of a user's own: the module is left alone, the loss is its own, data have several forms."""

import copy
from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from gfsharp import curvature, flow, networks
from gfsharp.errors import LossError

X = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Shared(nn.Module):
    """A layer under three names, one of them in a list, and a weight that two layers have."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.again, self.listed = self.inner, [self.inner]
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.inner.weight

    def forward(self, x):
        h = torch.tanh(self.again(torch.tanh(self.inner(torch.tanh(self.first(x))))))
        return self.last(torch.tanh(self.tied(torch.tanh(self.listed[0](h)))))


class Checkpointed(nn.Module):
    def __init__(self, reentrant=False):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
        self.last, self.reentrant = nn.Linear(4, 2), reentrant

    def forward(self, x):
        return self.last(checkpoint(self.block, x, use_reentrant=self.reentrant))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.last = nn.Linear(1, 12), nn.Linear(4, 2)

    def forward(self, x):
        q, k, v = self.embed(x[..., None]).chunk(3, dim=-1)
        return self.last(functional.scaled_dot_product_attention(q, k, v).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.last = nn.GRU(1, 3, 2, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.last(self.layers(x[..., None])[0][:, -1])


class Counting(nn.Module):
    """State that is no buffer, changed by every call."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls, self.scale = nn.Linear(3, 2), 0, torch.ones(2, dtype=torch.float64)

    def forward(self, x):
        self.calls += 1
        self.scale.mul_(1.5)
        return self.layer(x) * self.calls * self.scale


class WritesToItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x.add_(1.0))


class DifferentiatesInside(nn.Module):
    """Physics-informed: the outputs are the network's and its derivative in the input."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x):
        x.requires_grad_(True)
        u = self.net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return torch.cat([u, slope[:, :1]], dim=1)


MODULES = {
    "shared": Shared,
    "checkpointed": Checkpointed,
    "attention": Attention,
    "recurrent": Recurrent,
    "counting": Counting,
    "writes to its input": WritesToItsInput,
    "differentiates inside": DifferentiatesInside,
    "parametrised": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3)), nn.Tanh(), nn.Linear(3, 2)),
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 2)),
    "plain": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
}


def made(name):
    torch.manual_seed(2)
    return MODULES[name]().double()


def state(module):
    buffers = {name: value.clone() for name, value in module.state_dict().items()}
    return buffers, {name: id(value) for name, value in module.named_parameters(remove_duplicate=False)}


@pytest.mark.parametrize("name", MODULES)
def test_the_module_and_the_data_are_left_as_they_were(name):
    module, x, y = made(name), X.clone(), Y.clone()
    values, identities = state(module)
    training, calls = [part.training for part in module.modules()], getattr(module, "calls", None)
    loss, w = networks.flat_loss(module, x, y)
    curvature.sharpness(loss, w + 0.1)
    after, same = state(module)
    assert same == identities
    assert all(type(value) is nn.Parameter and value.is_leaf for value in module.parameters())
    for key, value in values.items():
        assert torch.equal(after[key], value), key
    assert [part.training for part in module.modules()] == training
    assert getattr(module, "calls", None) == calls
    assert torch.equal(x, X)
    assert not x.requires_grad
    assert torch.equal(y, Y)
    copy.deepcopy(module)


@pytest.mark.parametrize("name", MODULES)
def test_the_hessian_is_that_of_differences(name):
    module = made(name)
    loss, w = networks.flat_loss(module, X, Y)
    # Elsewhere too, where what kept the module's own weights would show.
    torch.manual_seed(3)
    point = w + 0.1 * torch.randn_like(w)
    step = 1e-5
    columns = [
        flow.loss_and_gradient(loss, point + step * e)[1] - flow.loss_and_gradient(loss, point - step * e)[1]
        for e in torch.eye(len(w), dtype=torch.float64)
    ]
    differences = torch.stack(columns) / (2 * step)
    top = float(torch.linalg.eigvalsh((differences + differences.T) / 2)[-1])
    assert curvature.sharpness(loss, point, tolerance=1e-8).value == pytest.approx(top, rel=1e-6)
    fresh = copy.deepcopy(module)
    expected = 0.5 * (fresh(X.clone()) - Y).square().sum() / 7
    assert float(loss(w).detach()) == pytest.approx(float(expected.detach()), rel=1e-12)


def test_a_shared_weight_is_in_the_vector_once():
    _, w = networks.flat_loss(made("shared"), X, Y)
    assert len(w) == (3 * 4 + 4) + (4 * 4 + 4) + 4 + (4 * 2 + 2)


def test_what_becomes_of_the_module_later_does_not_change_the_loss():
    module = made("batch norm")
    module[0].bias.requires_grad_(False)
    x = X.clone()
    loss, w = networks.flat_loss(module, x, Y)
    before = float(loss(w))
    module.eval()
    module.requires_grad_(True)
    for tensor in (*module.parameters(), *module.buffers(), x):
        tensor.data.fill_(3.0)
    assert float(loss(w)) == before


def test_inputs_by_order_and_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(2, 2)

        def forward(self, x, z):
            return self.a(x) - self.b(z)

    module = Two().double()
    expected = 0.5 * (module(X, Y) - Y).square().sum() / 7
    for inputs in ((X, Y), [X, Y], {"z": Y, "x": X}):
        loss, w = networks.flat_loss(module, inputs, Y)
        assert float(loss(w).detach()) == pytest.approx(float(expected.detach()), rel=1e-14)


def test_outputs_of_several_tensors_need_a_criterion_that_takes_them():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return {"mean": self.layer(x), "inputs": x}

    module = Named().double()
    with pytest.raises(TypeError, match="returns a dict, and mean_squared_error takes one tensor; give as criterion"):
        networks.flat_loss(module, X, Y)
    loss, w = networks.flat_loss(
        module, X, {"y": Y}, criterion=lambda found, wanted: (found["mean"] - wanted["y"]).square().mean()
    )
    assert float(loss(w).detach()) == pytest.approx(float((module.layer(X) - Y).square().mean().detach()), rel=1e-14)
    with pytest.raises(TypeError, match=r"must return one real number in a torch tensor, found torch.float64 of shape"):
        networks.flat_loss(module, X, Y, criterion=lambda found, wanted: found["mean"] - wanted)


@pytest.mark.parametrize("criterion", ["mean_squared_error", "cross_entropy"])
@pytest.mark.parametrize("targets", [None, (Y,)])
def test_a_named_criterion_needs_targets(criterion, targets):
    with pytest.raises(TypeError, match=f"{criterion} takes one tensor of targets, found {type(targets).__name__}"):
        networks.flat_loss(nn.Linear(3, 2).double(), X, targets, criterion=criterion)
    loss, w = networks.flat_loss(nn.Linear(3, 2).double(), X, targets, criterion=lambda found, _: found.square().mean())
    assert float(loss(w).detach()) > 0


@pytest.mark.parametrize(("weights", "inputs"), [(torch.float64, torch.float32), (torch.float32, torch.float64)])
def test_two_precisions_are_named(weights, inputs):
    names = [str(dtype).removeprefix("torch.") for dtype in (inputs, weights)]
    with pytest.raises(TypeError, match=f"^inputs are {names[0]} and the weights {names[1]}: the module does not take"):
        networks.flat_loss(nn.Linear(3, 2).to(weights), X.to(inputs), Y.to(inputs))


def by_a_hook(module):
    module[0].register_forward_hook(lambda _, x, y: y + module[2](y)[:, :1])
    return "mean_squared_error"


def by_a_method_replaced(module):
    first = module[0]
    first.forward = lambda x: functional.linear(x, first.weight, first.bias).sin()
    return "mean_squared_error"


def by_the_criterion(module):
    return lambda found, wanted: (found - wanted).square().mean() + 0.01 * module[2].weight.square().sum()


class Decaying(nn.Module):
    """A criterion that holds the layer whose weights it keeps small."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, found, wanted):
        return (found - wanted).square().mean() + 0.01 * self.layer.weight.square().sum()


def by_a_module(module):
    return Decaying(module[2])


def by_a_method(module):
    return Decaying(module[2]).forward


@pytest.mark.parametrize(
    ("put", "names"),
    [
        (by_a_hook, "2.weight, 2.bias"),
        (by_a_method_replaced, "0.weight, 0.bias"),
        (by_the_criterion, "2.weight"),
        (by_a_module, "2.weight"),
        (by_a_method, "2.weight"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda module: module, nn.DataParallel])
def test_functions_that_name_a_layer_are_refused(put, names, wrap):
    """They see the module's own, and no copy can replace it: the loss would not depend on those of the vector."""
    module = made("plain")
    criterion = put(module)
    with pytest.raises(LossError, match=f"takes the weights {names} from the module itself"):
        networks.flat_loss(wrap(module), X, Y, criterion=criterion)


def test_functions_that_take_a_layer_from_their_arguments_are_fine():
    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x), self.layer.weight.square().sum()

    module = Penalised().double()
    module.register_forward_hook(lambda own, x, y: (y[0] + own.layer.bias, y[1]))
    # Weights of another module are constants, as those of a criterion are.
    scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    loss, w = networks.flat_loss(
        module, X, Y, criterion=lambda found, wanted: scale * (found[0] - wanted).square().mean() + 0.1 * found[1]
    )

    def expected(w):
        weight, bias = w[:6].view(2, 3), w[6:]
        return 2 * (X @ weight.T + 2 * bias - Y).square().mean() + 0.1 * weight.square().sum()

    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(expected, w))[-1]
    assert float(loss(w).detach()) == pytest.approx(float(expected(w)), rel=1e-14)
    assert curvature.sharpness(loss, w, tolerance=1e-8).value == pytest.approx(float(exact), rel=1e-7)


@pytest.mark.parametrize("criterion", ["cross_entropy", nn.CrossEntropyLoss()])
def test_class_indices_with_cross_entropy(criterion):
    module, classes = nn.Linear(3, 4).double(), torch.tensor([0, 3, 1, 1, 2, 0, 3])
    loss, w = networks.flat_loss(module, X, classes, criterion=criterion)
    logits = X @ w[:12].view(4, 3).T + w[12:]
    expected = (logits.logsumexp(1) - logits[torch.arange(7), classes]).mean()
    assert float(loss(w)) == pytest.approx(float(expected), rel=1e-14)
    with pytest.raises(ValueError, match="criterion='cross_entropy'"):
        networks.flat_loss(module, X, classes)


def test_the_logistic_loss():
    module, signs = nn.Linear(3, 1).double(), torch.tensor([1.0, -1, -1, 1, 1, -1, 1])[:, None]
    loss, w = networks.flat_loss(module, X, signs, criterion="logistic")
    margins = signs * (X @ w[:3, None] + w[3])
    assert float(loss(w)) == pytest.approx(float((-margins).exp().log1p().mean()), rel=1e-14)
    with pytest.raises(ValueError, match="must be -1 or 1"):
        networks.flat_loss(module, X, (signs + 1) / 2, criterion="logistic")
    with pytest.raises(ValueError, match="must be the same"):
        networks.flat_loss(module, X, signs[:, 0], criterion="logistic")


def test_ours_is_half_of_torch_s_mean_squared_error_times_the_outputs():
    module = nn.Linear(3, 3).double()
    ours, w = networks.flat_loss(module, X, X)
    theirs, _ = networks.flat_loss(module, X, X, criterion=nn.MSELoss())
    assert float(ours(w)) == pytest.approx(3 / 2 * float(theirs(w)), rel=1e-14)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batches_of_a_loader_make_one(shuffle):
    dataset = torch.utils.data.TensorDataset(X, Y)
    generator = torch.Generator().manual_seed(0)
    loader = torch.utils.data.DataLoader(dataset, batch_size=3, shuffle=shuffle, generator=generator)
    inputs, targets = networks.full_batch(loader)
    module = nn.Linear(3, 2).double()
    (joined, w), (whole, _) = networks.flat_loss(module, inputs, targets), networks.flat_loss(module, X, Y)
    assert float(joined(w)) == pytest.approx(float(whole(w)), rel=1e-14)
    with pytest.raises(TypeError, match="full_batch of a DataLoader"):
        networks.flat_loss(module, loader, Y)


def test_batches_of_several_inputs_and_what_is_no_batch():
    pairs = [({"a": X[:2], "b": (X[:2], X[:2])}, Y[:2]), ({"a": X[2:], "b": (X[2:], X[2:])}, Y[2:])]
    inputs, targets = networks.full_batch(pairs)
    assert torch.equal(inputs["a"], X)
    assert torch.equal(inputs["b"][1], X)
    assert torch.equal(targets, Y)
    Named = namedtuple("Named", "a b")
    named, _ = networks.full_batch([(Named(X[:2], X[:2]), Y[:2]), (Named(X[2:], X[2:]), Y[2:])])
    assert torch.equal(named.b, X)
    for wrong, message in [
        ([], "no batches"),
        ([X], "a pair of inputs and targets"),
        ([(X, 3)], "made of tensors"),
        (torch.utils.data.TensorDataset(X, Y), "give a DataLoader"),
        (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y[:, :1]), batch_size=None), "a batch_size"),
        ([({"a": X}, Y), ({"b": X}, Y)], "the same names"),
        ([((X, X), Y), ((X,), Y)], "as many entries"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            networks.full_batch(wrong)


@pytest.mark.parametrize(
    ("module", "inputs", "targets", "message"),
    [
        (nn.Linear(3, 2, dtype=torch.complex64), X, Y, r"the weights weight are complex \(torch.complex64\)"),
        (nn.Linear(3, 2), X + 1j, Y, "inputs must be real, found torch.complex128"),
        (nn.Linear(3, 2), X, {"y": Y + 1j}, "targets must be real, found torch.complex128"),
        (nn.Linear(3, 2), X.numpy(), Y, "inputs must be tensors, found ndarray"),
        (nn.Linear(3, 2), X, Y.tolist(), "targets must be tensors, found float"),
        (nn.Linear(3, 2).half(), X, Y, "the weights must all be float32, or all float64, on one device"),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).double()),
            X,
            Y,
            "found torch.float32 on cpu and torch.float64",
        ),
        (nn.LazyLinear(2), X, Y, "the weights weight have no shape yet; call the module once"),
        (nn.Linear, X, Y, "module must be a torch.nn.Module, found Linear"),
    ],
)
def test_what_has_no_loss_here_is_refused(module, inputs, targets, message):
    with pytest.raises((TypeError, ValueError), match=message):
        networks.flat_loss(module, inputs, targets)


@pytest.mark.parametrize("method", ["rkc", "rk4"])
def test_the_flow_of_a_loss_that_differentiates_inside(method):
    """u' = -u, u(0) = 1 by a network: the derivative in the input is taken inside, which no_grad would forbid."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    sizes = [p.numel() for p in module.parameters()]
    names = [(name, p.shape) for name, p in module.named_parameters()]
    times = torch.linspace(0, 1, 4, dtype=torch.float64)[:, None]

    def loss(w):
        x = times.clone().requires_grad_(True)
        weights = {name: part.view(shape) for (name, shape), part in zip(names, w.split(sizes), strict=True)}
        u = torch.func.functional_call(module, weights, (x,))
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return 0.5 * (slope + u).square().mean() + 0.5 * (u[0] - 1).square().sum()

    w = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    networks.check_loss(loss, w)
    found = flow.gfs_sharpness(loss, w, loss_tolerance=1e-2, method=method)
    assert found.status == "converged"
    dense = torch.autograd.functional.hessian(loss, found.solution.parameters)
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)
