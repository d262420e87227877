"""Sums over all weights against exact ones."""

import math

import pytest
import torch
from read_backs import ReadBacks

from gfsharp import sums


@pytest.fixture(params=["as it is", "blocks of a few"])
def blocks(request, monkeypatch):
    """The same sums in many blocks."""
    if request.param == "blocks of a few":
        monkeypatch.setattr(sums, "_BLOCK", 7)


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 100])
def test_against_exact_sums(blocks, dtype, size):
    basis, vector = normal(3, size, dtype=dtype), normal(size, dtype=dtype) * 1e5
    exact = [math.fsum(a * b for a, b in zip(row, vector.tolist(), strict=True)) for row in basis.tolist()]
    assert sums.projections(basis, vector).tolist() == pytest.approx(exact, rel=1e-12)
    assert float(sums.dot(basis[0], vector)) == pytest.approx(exact[0], rel=1e-12)
    assert sums.norm(vector) == pytest.approx(math.sqrt(math.fsum(a * a for a in vector.tolist())), rel=1e-12)


def test_a_sum_of_millions_keeps_its_digits():
    x = torch.full((5_000_000,), 0.1)
    exact = 5_000_000 * float(x[0]) ** 2
    assert float(sums.dot(x, x)) == pytest.approx(exact, rel=1e-12)
    assert abs(float(x @ x) / exact - 1) > 1e-7  # what it is for


def test_no_whole_basis_is_copied():
    """Of ten million weights and 50 directions a copy would take 4 GB."""
    basis, taken = normal(4, 1000), []

    class Watched(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
                taken.append(result.numel())
            return result

    block, sums._BLOCK = sums._BLOCK, 64
    try:
        with Watched():
            sums.projections(basis, basis[0])
    finally:
        sums._BLOCK = block
    assert max(taken) <= 64


@pytest.mark.parametrize("scale", [1e-323, 1e-310, 1e-200, 1e-150, 1e-30, 1.0, 1e150])
def test_the_norm_of_tiny_and_large_numbers(scale):
    x = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64) * scale
    expected = math.hypot(*x.tolist())
    assert sums.norm(x) == pytest.approx(expected, rel=1e-15)
    assert float(sums.unit(x).norm()) == pytest.approx(1.0, rel=1e-15)


def test_a_direction_of_denormal_numbers():
    assert float(sums.unit(torch.tensor([3e-42, 4e-42, 0.0])).norm()) == pytest.approx(1.0, rel=1e-7)


def test_zero_and_what_is_not_finite_have_no_direction():
    assert sums.norm(torch.zeros(3)) == 0
    assert math.isinf(sums.norm(torch.tensor([1.0, math.inf])))
    for x in ([0.0, 0.0], [1.0, math.inf], [1.0, math.nan]):
        with pytest.raises(ValueError, match="finite and not zero"):
            sums.unit(torch.tensor(x))


def test_reads_are_counted():
    """What the tests of other files count by."""
    x = torch.tensor([1.0, 2.0])
    with ReadBacks() as reads:
        float(x[0]), bool(x[0] > 0), x[1].item(), x.tolist(), x.numpy(), int(x[0])
    assert reads.count == 6
    with ReadBacks() as reads:
        x @ x
    assert reads.count == 0
