#!/usr/bin/env bash
# torch 2.15.0: what does it cost to ask for deterministic algorithms, or for a Hessian-vector product?
# Guess: a switch sets a flag, in microseconds; a product differentiates.
# Seen: torch.use_deterministic_algorithms(True, warn_only=True) imports torch._inductor and torch._dynamo, some 900
# modules, one to three seconds of a process that compiles nothing; torch.set_deterministic_debug_mode("warn")
# sets the same flag without. The first torch.autograd.grad with grad_outputs imports sympy, without which it fails.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install torch==2.15.0 numpy==2.4.6
run() {
    "$folder/venv/bin/python" - "$1" <<'PYTHON'
import sys
import time

import torch

x = torch.ones(2, requires_grad=True)
y = x * x
before, began = set(sys.modules), time.perf_counter()
exec(sys.argv[1])
new = set(sys.modules) - before
print(len(new), "torch._inductor" in sys.modules, "sympy" in new, torch.are_deterministic_algorithms_enabled())
print(f"{sys.argv[1]}: {time.perf_counter() - began:.2f} s", file=sys.stderr)
PYTHON
}
switch=$(run 'torch.use_deterministic_algorithms(True, warn_only=True)')
mode=$(run 'torch.set_deterministic_debug_mode("warn")')
product=$(run 'torch.autograd.grad(y, x, torch.ones(2))')
echo "modules imported, the compiler among them, sympy among them, deterministic: $switch; $mode; $product"
read -r modules compiler _ on <<< "$switch"
[ "$modules" -gt 500 ] && [ "$compiler" = True ] && [ "$on" = True ]
[ "$mode" = "0 False False True" ]
read -r _ _ sympy _ <<< "$product"
[ "$sympy" = True ]
