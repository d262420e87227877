"""What a gradient, a Hessian-vector product and a flow take on a device, and how much memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from replication.training.models import Model

# A gradient and a product are repeated for so many seconds, and so often at most.
_SECONDS, _REPEATS = 0.5, 5
# What a first flow is expected to take, in gradients, while none has been measured: few, for where it turns out to take
# more, the time would not have served another.
_FIRST_FLOW = 200


@dataclass
class Costs:
    """Seconds, measured on one run's model.

    Attributes:
        gradient: of one gradient; 0 for closed forms and the convex problem.
        product: of one Hessian-vector product, its graph being there.
        flows: of each flow that was followed here, by the name of its checkpoint file, with all that the point takes:
            both flows and four eigenvalues.
        given_up: of each flow that ran out of time.
        work: of each point that is known, in seconds as its gradients and products would take here.
        peak_memory: bytes; of the GPU, or of the process where there is none.
    """

    gradient: float = 0.0
    product: float = 0.0
    flows: dict[str, float] = field(default_factory=dict)
    given_up: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0

    def expected(self, name: str) -> float:
        """Return the seconds that the flow from a checkpoint is expected to take.

        As the more expensive of the two known points beside it, and no less than it has been given in vain. Flows of
        points that were found by another process are known by their gradients and products alone; what one takes here
        beyond those, the median says.
        """
        known = sorted(self.work)
        if not known:
            return max(_FIRST_FLOW * self.gradient, 1.25 * self.given_up.get(name, 0.0))
        beside = [*[other for other in known if other < name][-1:], *[other for other in known if other > name][:1]]
        ratios = [self.flows[other] / self.work[other] for other in self.flows if self.work.get(other)]
        ratio = statistics.median(ratios) if ratios else 1.0
        return max([*(self.work[other] * ratio for other in beside), 1.25 * self.given_up.get(name, 0.0)])

    def note(self, name: str, row: Mapping[str, Any]) -> None:
        """Take note of a point that is known."""
        self.work[name] = row["gradient_evaluations"] * self.gradient + row["hessian_vector_products"] * self.product

    def record(self) -> dict[str, Any]:
        """Return what is kept: the two costs, the flows of this process, the memory."""
        kept = asdict(self)
        flows = list(self.flows.values())
        return {
            "gradient_s": kept["gradient"],
            "hessian_vector_product_s": kept["product"],
            "flow_s": {"count": len(flows), "median": statistics.median(flows), "largest": max(flows)}
            if flows
            else None,
            "flows_given_up_s": list(self.given_up.values()),
            "peak_memory_bytes": kept["peak_memory"],
        }


def measure(model: Model) -> Costs:
    """Return the costs of a gradient and a product at the model's initial weights; zeros where it has no torch loss."""
    loss = getattr(model, "loss", None)
    if loss is None:
        return Costs()
    from gfsharp.curvature import hessian_vector_product
    from gfsharp.derivatives import loss_and_gradient

    # Read back, or a GPU would still be at work on it.
    gradient = _seconds(lambda: float(loss_and_gradient(loss, model.initial)[1].norm()))
    product = hessian_vector_product(loss, model.initial)
    return Costs(gradient, _seconds(lambda: float(product(model.initial).norm())))


def _seconds(function: Callable[[], object]) -> float:
    """The median of some calls, after one that prepares: kernels are chosen, modules imported."""
    function()
    found: list[float] = []
    while not found or (len(found) < _REPEATS and sum(found) < _SECONDS):
        before = time.perf_counter()
        function()
        found.append(time.perf_counter() - before)
    return statistics.median(found)


def reset_peak_memory() -> None:
    """Begin to measure anew, where that is possible: on a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory(model: Model) -> int:
    """Return the most bytes that were in use: on the model's GPU, else in this process since it began."""
    device = getattr(model.initial, "device", None)
    if getattr(device, "type", "cpu") == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
