"""The paper's three models behind one interface, so that one training loop and one GFS stage serve all.

``build`` makes a model from the parameters of a run; only networks import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfsharp import regression, scalar
from gfsharp.errors import UserError
from gfsharp.progress import Report

Array = NDArray[Any]


@dataclass(frozen=True)
class GFSPoint:
    """The gradient flow solution from one iterate.

    Attributes:
        gfs_sharpness: its sharpness; NaN unless ``status`` is ``converged``.
        gfs_loss: the loss there; for the closed forms what rounding leaves.
        residual: bound on the error of the eigenvalue; this and the two below are zero where the value is exact up to
            rounding.
        integration_error, stopping_error: what the integration of the flow and its end before the limit change, in
            units of the sharpness: see :class:`gfsharp.flow.GFSSharpness`.
        status: ``converged``, or why there is no solution to speak of.
        flow_time: length of the integrated flow, NaN for closed forms.
        gradient_evaluations, hessian_vector_products: gradients and products spent.
    """

    gfs_sharpness: float
    gfs_loss: float
    residual: float
    status: str
    integration_error: float = 0.0
    stopping_error: float = 0.0
    flow_time: float = float("nan")
    gradient_evaluations: int = 0
    hessian_vector_products: int = 0

    def row(self) -> dict[str, Any]:
        """Return the point as a row of the GFS table; ``gfs_error`` is the sum of the three errors."""
        values = asdict(self)
        error = self.residual + self.integration_error + self.stopping_error
        return {"gfs_status" if key == "status" else key: value for key, value in values.items()} | {"gfs_error": error}


class Model(Protocol):
    """What training and the GFS stage ask of a model; ``w`` is in the model's own array type.

    Attributes:
        initial: the starting weights.
        checkpoints_per_file: iterates that share a checkpoint file; one where a single GFS is long work.
    """

    initial: Any
    checkpoints_per_file: int

    def loss_and_gradient(self, w: Any) -> tuple[float, Any]:
        """Return ``L(w)`` and ``grad L(w)``."""

    def sharpness(self, w: Any) -> float:
        """Return the largest Hessian eigenvalue at ``w``, NaN where it is not finite or was not found."""

    def to_numpy(self, w: Any) -> Array:
        """Return ``w`` as a flat NumPy array."""

    def from_numpy(self, w: Array) -> Any:
        """Return the weights of which ``w`` is what :meth:`to_numpy` gives."""

    def losses(self, weights: Array) -> Array:
        """Return the losses at ``weights`` of shape (k, P), shape (k,)."""

    def constants(self) -> dict[str, Array]:
        """Return the arrays that a user's own function drew or computed for it: see :func:`build`."""

    def state(self) -> dict[str, Array]:
        """Return what later answers depend on besides their arguments, for :meth:`restore`."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on as the model did whose :meth:`state` this is."""

    def gfs(self, weights: Array, report: Report | None = None) -> list[GFSPoint]:
        """Return the gradient flow solutions from ``weights`` of shape (k, P).

        ``report`` is called on the way, where that is long: see :func:`gfsharp.flow.gradient_flow_solution`.
        """


class _NumpyModel:
    """A model whose weights are NumPy arrays and whose answers depend on nothing else."""

    def to_numpy(self, w: Array) -> Array:
        return w

    def from_numpy(self, w: Array) -> Array:
        return w

    def constants(self) -> dict[str, Array]:
        return {}

    def state(self) -> dict[str, Array]:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        pass


class ScalarNetwork(_NumpyModel):
    """Section 3: depth D, loss ``(prod w - 1)^2 / 2``, GFS in closed form."""

    checkpoints_per_file = 100_000

    def __init__(self, initial_weights: Any) -> None:
        self.initial = np.array(initial_weights, dtype=np.float64)

    def loss_and_gradient(self, w: Array) -> tuple[float, Array]:
        return float(scalar.loss(w)), scalar.gradient(w)

    def losses(self, weights: Array) -> Array:
        return np.asarray(scalar.loss(weights))

    def sharpness(self, w: Array) -> float:
        return float(scalar.sharpness(w))

    def gfs(self, weights: Array, report: Report | None = None) -> list[GFSPoint]:
        values = scalar.gfs_sharpness(weights)
        losses = scalar.loss(scalar.gradient_flow_solution(weights))
        return [
            GFSPoint(float(value), float(loss), 0.0, "converged")
            if np.isfinite(value)
            else GFSPoint(float("nan"), float(loss), float("nan"), "does not exist" if np.isnan(value) else "overflow")
            for value, loss in zip(values, losses, strict=True)
        ]


class SquaredRegressionRun(_NumpyModel):
    """Section 4.1: weights ``(u_+, u_-)`` side by side, GFS as a convex problem."""

    checkpoints_per_file = 2_000

    def __init__(self, data: Mapping[str, Array], initial_scale: float) -> None:
        self.model = regression.SquaredRegression(data["X"], data["y"])
        self.initial = np.full(2 * self.model.dimension, initial_scale)

    def loss_and_gradient(self, w: Array) -> tuple[float, Array]:
        plus, minus = self._split(w)
        return float(self.model.loss(plus, minus)), np.concatenate(self.model.gradient(plus, minus))

    def losses(self, weights: Array) -> Array:
        return np.asarray(self.model.loss(*self._split(weights)))

    def sharpness(self, w: Array) -> float:
        return float(self.model.sharpness(*self._split(w)))

    def gfs(self, weights: Array, report: Report | None = None) -> list[GFSPoint]:
        solution = self.model.gradient_flow_solution(*self._split(weights), trajectory=True)
        values = self.model.sharpness_at_interpolator(solution.u_plus, solution.u_minus)
        losses = self.model.loss(solution.u_plus, solution.u_minus)
        return [
            GFSPoint(float(value), float(loss), 0.0, "converged")
            if certified
            else GFSPoint(float("nan"), float(loss), float("nan"), "certificate failed")
            for value, loss, certified in zip(values, losses, solution.certified, strict=True)
        ]

    def _split(self, w: Array) -> tuple[Array, Array]:
        dimension = self.model.dimension
        return w[..., :dimension], w[..., dimension:]


class Network:
    """Section 4.2: a torch network on images, GFS by integrating the flow."""

    checkpoints_per_file = 1

    def __init__(
        self,
        data: Mapping[str, Array],
        parameters: Mapping[str, Any],
        device: str = "cpu",
        constants: Mapping[str, Array] | None = None,
    ) -> None:
        import torch

        from gfsharp import networks
        from replication.training import architectures

        precision = {"float32": torch.float32, "float64": torch.float64}[parameters["precision"]]
        inputs = torch.from_numpy(data["inputs"]).to(device, precision)
        targets = torch.from_numpy(data["targets"]).to(device, precision)
        if not bool(torch.isfinite(inputs).all() and torch.isfinite(targets).all()):
            raise UserError(
                f"the data have numbers too large for {parameters['precision']}; use float64, or scale them"
            )
        module, seen = architectures.build(parameters, inputs, targets)
        custom = parameters["architecture"] == "custom"
        self._constants = _constants(module) if custom else {}
        if constants is not None and custom:
            _put(constants, self._constants, parameters["factory"])
        fitted: tuple[Any, Any] = (
            _fitting_loss(parameters["factory"], module, seen, targets)
            if custom
            else networks.flat_loss(module, seen, targets, check=False)
        )
        self.loss, self.initial = fitted
        if len(inputs) == 1:
            _require_enough_for_batch_norm(self.loss, self.initial, inputs.shape, parameters["architecture"])
        self.seed: int = parameters["seed"]
        self.flow: Mapping[str, Any] = parameters.get("flow", {})
        self._top_vector: Any = None

    def loss_and_gradient(self, w: Any) -> tuple[float, Any]:
        from gfsharp.derivatives import loss_and_gradient

        return loss_and_gradient(self.loss, w)

    def sharpness(self, w: Any) -> float:
        from gfsharp import curvature

        try:
            estimate = curvature.sharpness(self.loss, w, start=self._top_vector, seed=self.seed)
        except FloatingPointError:
            return float("nan")
        self._top_vector = estimate.vector
        return estimate.value if estimate.converged else float("nan")

    def losses(self, weights: Array) -> Array:
        return np.array([self.loss_and_gradient(self.from_numpy(row))[0] for row in weights])

    def constants(self) -> dict[str, Array]:
        return {name: self.to_numpy(tensor).copy() for name, tensor in self._constants.items()}

    def to_numpy(self, w: Any) -> Array:
        return w.detach().cpu().numpy()

    def from_numpy(self, w: Array) -> Any:
        import torch

        return torch.from_numpy(w).to(self.initial)

    def state(self) -> dict[str, Array]:
        return {} if self._top_vector is None else {"top_vector": self.to_numpy(self._top_vector)}

    def restore(self, state: Mapping[str, Array]) -> None:
        self._top_vector = self.from_numpy(state["top_vector"]) if "top_vector" in state else None

    def gfs(self, weights: Array, report: Report | None = None) -> list[GFSPoint]:
        return [self._gfs_point(row, report) for row in weights]

    def _gfs_point(self, weights: Array, report: Report | None) -> GFSPoint:
        from gfsharp import flow

        found = flow.gfs_sharpness(self.loss, self.from_numpy(weights), seed=self.seed, report=report, **self.flow)
        return GFSPoint(
            found.value,
            found.solution.loss,
            found.eigenvalue_error,
            found.status,
            found.integration_error,
            found.stopping_error,
            found.solution.time,
            found.solution.gradient_evaluations,
            found.solution.hessian_vector_products,
        )


def _constants(module: Any) -> dict[str, Any]:
    """Return the tensors of a module that training leaves as they are: buffers and frozen weights."""
    frozen = {name: tensor for name, tensor in module.named_parameters() if not tensor.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


def _put(constants: Mapping[str, Array], own: Mapping[str, Any], factory: str) -> None:
    """Put the arrays of another job's module into this one's."""
    import torch

    def kind(tensor: torch.Tensor) -> tuple[Any, str]:
        # Real numbers may be of another precision: that of a run is compared with another.
        return tuple(tensor.shape), "real" if tensor.is_floating_point() else str(tensor.dtype)

    given = {name: torch.from_numpy(array) for name, array in constants.items()}
    shapes = {name: kind(tensor) for name, tensor in own.items()}
    wanted = {name: kind(tensor) for name, tensor in given.items()}
    if shapes != wanted:
        raise UserError(
            f"{factory} built another module than in training: its buffers and frozen weights are {_listed(shapes)}, "
            f"and were {_listed(wanted)}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def _listed(shapes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, (shape, _) in sorted(shapes.items())) or "none"


def _fitting_loss(factory: str, *of: Any) -> tuple[Any, Any]:
    """Return the loss and the weights of a user's own model, which has to have a loss, a gradient and a Hessian."""
    from gfsharp import networks

    try:
        loss, initial = networks.flat_loss(*of, check=False)
        loss(initial)
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"the model that {factory} returned does not fit its data: {error}") from error
    try:
        networks.flat_loss(*of)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the model that {factory} returned cannot be followed: {error}") from error
    return loss, initial


def _require_enough_for_batch_norm(loss: Any, initial: Any, shape: Any, architecture: str) -> None:
    """Batch norm has no variance of one value, which is what a single image is once pooling has made a pixel of it."""
    try:
        loss(initial)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        size = " x ".join(map(str, shape[1:]))
        raise UserError(
            f"{architecture} cannot be trained on one image of {size}: its batch norm needs two values per channel or "
            "more; give the data set more images"
        ) from error


def build(
    parameters: Mapping[str, Any],
    data: Mapping[str, Array],
    *,
    device: str = "cpu",
    constants: Mapping[str, Array] | None = None,
) -> Model:
    """Return the model of a run.

    Args:
        parameters: of the run (see :mod:`replication.configuration`); ``model`` says which.
        data: the arrays of the run's data set; empty for scalar networks.
        device: a torch device, ``auto`` for a GPU where there is one; networks only.
        constants: the buffers and frozen weights (:meth:`Model.constants`) of the module that was trained, which take
            the place of those that a user's own factory makes now. None in training.
    """
    kind = parameters["model"]
    if kind == "scalar":
        # A start that another stage chose comes as data.
        return ScalarNetwork(data.get("initial_weights", parameters["initial_weights"]))
    if kind == "regression":
        return SquaredRegressionRun(data, parameters["initial_scale"])
    if kind == "network":
        return Network(data, parameters, _torch_device(device), constants)
    raise ValueError(f"unknown model {kind!r}")


def learning_rate(parameters: Mapping[str, Any], data: Mapping[str, Array]) -> float:
    """Return the step size eta of a run; for squared regression it is given as a fraction of ``2 / S_flat``."""
    rate: float = parameters["learning_rate"]
    if parameters["model"] == "regression":
        return rate * 2 / float(data["flattest_sharpness"])
    return rate


def _torch_device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("execution.device is cuda, but torch sees no GPU here; set it to auto or cpu")
    return device
