#!/usr/bin/env bash
# torch 2.15.0: the second derivative of weight_norm, on a processor.
# Guess: what torch can differentiate twice, it differentiates rightly, or it raises an error.
# Seen: the Hessian of a loss through torch.nn.utils.parametrizations.weight_norm, with respect to the direction v, is
# off by its own size. No error and no warning. The same formula, g v / |v|, written
# out has the right Hessian.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.func import functional_call

torch.manual_seed(0)
inputs = torch.randn(5, 3, dtype=torch.float64)
v, g = torch.randn(2, 3, dtype=torch.float64), torch.rand(2, 1, dtype=torch.float64) + 0.5
layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2, bias=False).double())
names = [f"parametrizations.weight.original{i}" for i in (0, 1)]


def by_torch(flat):
    weights = dict(zip(names, (g, flat.view(2, 3))))
    return functional_call(layer, weights, (inputs,)).pow(2).sum()


def written_out(flat):
    v = flat.view(2, 3)
    return (inputs @ (g * v / v.norm(dim=1, keepdim=True)).T).pow(2).sum()


def gradient(loss, flat):
    flat = flat.clone().requires_grad_(True)
    return torch.autograd.grad(loss(flat), flat)[0]


def error(loss, flat):
    """The Hessian against central differences of the gradient, relative."""
    hessian = torch.autograd.functional.hessian(loss, flat)
    steps = 1e-6 * torch.eye(6, dtype=torch.float64)
    differences = torch.stack([(gradient(loss, flat + s) - gradient(loss, flat - s)) / 2e-6 for s in steps])
    return float((hessian - differences).norm() / differences.norm())


flat = v.reshape(-1)
assert torch.allclose(by_torch(flat), written_out(flat)) and torch.allclose(gradient(by_torch, flat), gradient(written_out, flat))
found = error(by_torch, flat), error(written_out, flat)
print(f"torch {torch.__version__}: same loss, same gradient; Hessian off by {found[0]:.2g} (weight_norm), {found[1]:.1g} (written out)")
assert found[0] > 0.05 and found[1] < 1e-6
PYTHON
