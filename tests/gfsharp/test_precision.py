"""Precision and determinism: every switch read before, inside and after."""

import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from project import ROOT
from read_backs import ReadBacks
from torch.utils._python_dispatch import TorchDispatchMode

from gfsharp import curvature, descent, flow, networks, precision
from gfsharp.flow.gradients import Gradients
from gfsharp.flow.rkc import RungeKuttaChebyshev
from gfsharp.networks import convolutional
from replication.training import models

BACKENDS = torch.backends
# Each is read by what torch documents, not by what gfsharp.precision sets it with.
SWITCHES = {
    "generic": lambda: BACKENDS.fp32_precision,
    "cudnn": lambda: BACKENDS.cudnn.fp32_precision,
    "cudnn.conv": lambda: BACKENDS.cudnn.conv.fp32_precision,
    "cudnn.rnn": lambda: BACKENDS.cudnn.rnn.fp32_precision,
    "cuda.matmul": lambda: BACKENDS.cuda.matmul.fp32_precision,
    "mkldnn": lambda: BACKENDS.mkldnn.fp32_precision,
    "mkldnn.conv": lambda: BACKENDS.mkldnn.conv.fp32_precision,
    "mkldnn.rnn": lambda: BACKENDS.mkldnn.rnn.fp32_precision,
    "mkldnn.matmul": lambda: BACKENDS.mkldnn.matmul.fp32_precision,
    "matmul precision": torch.get_float32_matmul_precision,
    "cuda.matmul.allow_tf32": lambda: BACKENDS.cuda.matmul.allow_tf32,
    "cudnn.allow_tf32": lambda: BACKENDS.cudnn.allow_tf32,
    "fp16 reduction": lambda: BACKENDS.cuda.matmul.allow_fp16_reduced_precision_reduction,
    "fp16 split": lambda: BACKENDS.cuda.matmul.allow_fp16_reduced_precision_reduction_split_k,
    "bf16 reduction": lambda: BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction,
    "bf16 split": lambda: BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction_split_k,
    "fp16 accumulation": lambda: BACKENDS.cuda.matmul.allow_fp16_accumulation,
    "cudnn.deterministic": lambda: BACKENDS.cudnn.deterministic,
    "cudnn.benchmark": lambda: BACKENDS.cudnn.benchmark,
    "mkldnn.deterministic": lambda: BACKENDS.mkldnn.deterministic,
    "deterministic": torch.get_deterministic_debug_mode,
    "fill": lambda: torch.utils.deterministic.fill_uninitialized_memory,
    "autocast": lambda: torch.is_autocast_enabled("cpu"),
    "cublas": lambda: os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
}
FULL = {"none", "ieee"}


def read():
    """All switches; ``undefined`` where torch refuses to say."""
    found = {}
    for name, get in SWITCHES.items():
        try:
            found[name] = get()
        except RuntimeError:
            found[name] = "undefined"
    return found


def set_cudnn_alone():
    BACKENDS.cudnn.conv.fp32_precision = "ieee"


def set_all_but_highest():
    torch.set_float32_matmul_precision("medium")
    BACKENDS.cudnn.benchmark = True
    BACKENDS.cuda.matmul.allow_fp16_accumulation = True
    BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction = (False, False)
    BACKENDS.mkldnn.conv.fp32_precision = "bf16"


ODD = {
    "as torch is": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "cuBLAS with TF32": lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),
    "cuDNN without TF32": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
    "cuDNN's convolutions alone": set_cudnn_alone,
    "TF32 everywhere": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
    "bfloat16 on a processor": lambda: setattr(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    "IEEE everywhere": lambda: setattr(BACKENDS, "fp32_precision", "ieee"),
    "much at once": set_all_but_highest,
    "deterministic or an error": lambda: torch.use_deterministic_algorithms(True),
    "deterministic or a warning": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "cuBLAS's workspace": lambda: os.environ.__setitem__("CUBLAS_WORKSPACE_CONFIG", ":16:8"),
}


@pytest.fixture(params=ODD)
def odd(request):
    """A user's settings, put back to torch's own after the test."""
    ODD[request.param]()
    yield request.param
    for name in ("conv", "rnn", "matmul"):
        getattr(BACKENDS.mkldnn, name).fp32_precision = "none"
    BACKENDS.fp32_precision = "none"
    BACKENDS.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    BACKENDS.cudnn.benchmark = False
    BACKENDS.cuda.matmul.allow_fp16_accumulation = False
    BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction = (True, True)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def assert_exact(found, odd):
    for name in ("generic", "cudnn", "cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn"):
        assert found[name] in FULL, name
    for name in ("mkldnn.conv", "mkldnn.rnn", "mkldnn.matmul"):
        assert found[name] in FULL, name
    for name in ("cuda.matmul.allow_tf32", "fp16 reduction", "bf16 reduction", "fp16 accumulation", "fill"):
        assert found[name] is False, name
    if odd not in ("cuDNN's convolutions alone", "IEEE everywhere", "TF32 everywhere"):  # the user's own mix
        assert found["cudnn.allow_tf32"] is False
    assert found["matmul precision"] == "highest"
    assert (found["cudnn.deterministic"], found["cudnn.benchmark"], found["mkldnn.deterministic"]) == (
        True,
        False,
        True,
    )
    assert found["deterministic"] == (2 if odd == "deterministic or an error" else 1)
    assert found["cublas"] == (":16:8" if odd == "cuBLAS's workspace" else ":4096:8")
    assert found["autocast"] is False


def test_every_switch_is_set_and_put_back(odd):
    before = read()
    with precision.exact():
        inside = read()
        with precision.exact():
            assert read() == inside
        assert read() == inside
    assert_exact(inside, odd)
    assert read() == before


def test_after_an_error_too(odd):
    before = read()
    with pytest.raises(ZeroDivisionError), precision.exact():
        raise ZeroDivisionError
    assert read() == before
    with precision.exact():
        assert_exact(read(), odd)
    assert read() == before


def test_what_follows_a_setting_of_all_backends_still_does():
    for name in ("conv", "rnn", "matmul"):
        getattr(BACKENDS.mkldnn, name).fp32_precision = "none"  # torch's own: that of all backends holds
    with precision.exact():
        pass
    BACKENDS.fp32_precision = "bf16"
    try:
        assert BACKENDS.mkldnn.matmul.fp32_precision == BACKENDS.mkldnn.conv.fp32_precision == "bf16"
    finally:
        BACKENDS.fp32_precision = "none"


def product(w):
    return (w.prod() - 1) ** 2 / 2


def seen_by(function):
    """The switches within a loss that a public function calls."""
    found = []

    def loss(w):
        found.append(read())
        return product(w)

    function(loss, torch.tensor([2.0, 1.0], dtype=torch.float64))
    return found


@pytest.mark.parametrize(
    "function",
    [flow.gfs_sharpness, flow.gradient_flow_solution, flow.loss_and_gradient, curvature.sharpness],
    ids=lambda function: function.__name__,
)
def test_the_public_functions_compute_within_it(function, odd):
    before = read()
    for found in seen_by(function):
        assert_exact(found, odd)
    assert read() == before
    with pytest.raises(RuntimeError, match="of no use"):
        function(no_loss, torch.ones(2))
    assert read() == before


def no_loss(w):
    raise RuntimeError("of no use")


def test_a_product_computes_within_it():
    def loss(w):
        return (w**3).sum() + Watched.apply(w).sum()

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, w):
            return w * 0

        @staticmethod
        def backward(ctx, gradient):
            seen.append(torch.get_deterministic_debug_mode())
            return gradient * 0

    seen = []
    product = curvature.hessian_vector_product(loss, torch.ones(2))
    product(torch.ones(2))
    assert set(seen) == {1}
    assert torch.get_deterministic_debug_mode() == 0


def test_autocast_does_not_reach_in():
    w = torch.full((300,), 0.1)
    matrix = torch.linspace(0, 1, 90_000).reshape(300, 300)

    def loss(w):
        return (matrix @ w).square().sum()

    expected = flow.loss_and_gradient(loss, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (matrix @ w).dtype == torch.bfloat16  # what it would be
        found = flow.loss_and_gradient(loss, w)
        assert torch.is_autocast_enabled("cpu")
    assert found[0] == expected[0]
    assert torch.equal(found[1], expected[1])


def test_threads_share_the_switches_and_the_last_puts_them_back():
    before, entered, leave, seen = read(), threading.Event(), threading.Event(), []

    def other():
        with precision.exact():
            entered.set()
            leave.wait(10)
            seen.append(torch.get_deterministic_debug_mode())

    thread = threading.Thread(target=other)
    with precision.exact():
        thread.start()
        entered.wait(10)
    assert torch.get_deterministic_debug_mode() == 1
    leave.set()
    thread.join()
    assert seen == [1]
    assert read() == before


def test_within_another_it_costs_next_to_nothing():
    """A gradient of a small network takes 100 microseconds."""
    import timeit

    with precision.exact():
        taken = min(timeit.repeat(enter_and_leave, number=1000, repeat=5)) / 1000
    assert taken < 2e-5


def enter_and_leave():
    with precision.exact():
        pass


def test_operations_without_a_deterministic_version_are_named():
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with precision.exact(), precision.operations_without_deterministic() as found:
            warnings.warn("histc_cuda does not have a deterministic implementation, but you set ...", stacklevel=1)
            warnings.warn("another matter", stacklevel=1)
    assert found == {"histc_cuda"}
    assert "another matter" in [str(each.message) for each in others]


def test_torch_itself_warns_as_is_expected():
    """Of the operations that have no deterministic version on a processor, one that warns there."""
    with precision.exact(), precision.operations_without_deterministic() as found:
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))
    assert found == {"put_"}


def network(size=6):
    data = {"inputs": np.ones((5, 4), dtype=np.float32), "targets": np.eye(5, 3, dtype=np.float32)}
    parameters = {
        "architecture": "fully_connected",
        "widths": [size],
        "activation": "tanh",
        "initialisation": "uniform",
        "init_scale": 1.0,
        "precision": "float32",
        "seed": 0,
    }
    return models.Network(data, parameters)


def test_a_step_of_gradient_descent_reads_back_the_loss_alone():
    model = network()
    steps = descent.gradient_descent(
        model.loss_and_gradient, model.initial, 0.1, loss_tolerance=0.0, max_iterations=100
    )
    next(steps)
    with ReadBacks() as reads:
        for _ in range(7):
            next(steps)
    assert reads.count == 7  # the loss decides whether the run goes on


def test_the_stages_of_a_flow_s_step_read_nothing_back():
    model = network()
    gradients = Gradients(model.loss, 10_000)
    start = gradients.point(model.initial)
    integrator = RungeKuttaChebyshev(gradients, start, 1e-3)
    with ReadBacks() as few:
        integrator._displacement(start, 1e-2, 5)
    with ReadBacks() as many:
        integrator._displacement(start, 1e-2, 50)
    assert few.count == many.count == 0


# The operations of our networks and of what is done with them, each looked up in torch's list of those without a
# deterministic version on CUDA (that of torch.use_deterministic_algorithms). docs/gpu.md says what came of it.
LOOKED_UP = {
    "_local_scalar_dense",
    "_to_copy",
    "_unsafe_view",
    "add",
    "add_",
    "addcmul",
    "addmm",
    "addmv_",
    "alias",
    "amax",
    "cat",
    "clone",
    "constant_pad_nd",
    "convolution",
    "convolution_backward",
    "copy_",
    "detach",
    "div",
    "div_",
    "dot",
    "empty",
    "eq",
    "expand",
    "gt",
    "hardtanh",
    "hardtanh_backward",
    "lift_fresh",
    "mean",
    "mm",
    "mul",
    "mul_",
    "mv",
    "native_batch_norm",
    "native_batch_norm_backward",
    "ones",
    "ones_like",
    "permute",
    "pow",
    "randn",
    "relu",
    "select",
    "slice",
    "slice_backward",
    "split_with_sizes",
    "squeeze",
    "stack",
    "sub",
    "sub_",
    "sum",
    "t",
    "tanh",
    "tanh_backward",
    "threshold_backward",
    "transpose",
    "unsqueeze",
    "view",
    "zeros",
    "zeros_like",
}


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.seen.add(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (lambda: networks.vgg11_bn(3, 10, channels=2), 32),
        (lambda: networks.resnet20(3, 10, channels=2), 8),
        *[(lambda a=a: networks.fully_connected(192, 10, widths=(4,), activation=a), 8) for a in networks.ACTIVATIONS],
    ],
)
def test_the_operations_of_our_networks_have_deterministic_versions(module, size, monkeypatch):
    monkeypatch.setattr(convolutional._Halve, "forward", lambda _, x: on_a_gpu(x))
    generator = torch.Generator().manual_seed(0)
    images, targets = torch.randn(3, 3, size, size, generator=generator), torch.eye(10)[:3]
    loss, w = networks.flat_loss(module(), images, targets)
    with Operations() as operations:
        flow.loss_and_gradient(loss, w)
        curvature.sharpness(loss, w, max_products=3)
    assert operations.seen - LOOKED_UP == set()


def on_a_gpu(x):
    return convolutional.pool_by_maximum(x) if min(x.shape[-2:]) > 1 else x


@pytest.mark.slow
def test_the_switches_need_no_compiler():
    code = (
        "import sys; from gfsharp import precision\nwith precision.exact(): pass\nprint('torch._dynamo' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True).stdout
    assert printed == "False\n"  # importing it takes some four seconds
