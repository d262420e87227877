"""The Hessian as a symmetric operator, for other libraries; and symmetric operators of other libraries, for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from gfsharp.arguments import require_weights
from gfsharp.curvature import Loss, hessian_vector_product
from gfsharp.errors import LossError
from gfsharp.lanczos import Product

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Hessian:
    """The Hessian of a loss at a point, as an operator that is never formed.

    ``hessian @ v`` is the product with a vector of shape (P,) or with the columns of a matrix of shape (P, k), on the
    device of the point and in its precision.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point, shape (P,).

    Raises:
        LossError: the loss gives no real number, or none that depends on its argument.
        TypeError, ValueError: weights that are not flat.

    >>> hessian = Hessian(lambda w: w[0] ** 2 * w[1], torch.tensor([1.0, 3.0], dtype=torch.float64))
    >>> hessian.shape, (hessian @ torch.eye(2, dtype=torch.float64)).tolist()
    ((2, 2), [[6.0, 2.0], [2.0, 0.0]])
    >>> from scipy.sparse.linalg import eigsh
    >>> eigsh(hessian.linear_operator(), k=1, which="LA", return_eigenvectors=False).round(4).tolist()
    [6.6056]
    """

    def __init__(self, loss: Loss, parameters: Tensor) -> None:
        require_weights(parameters=parameters)
        self._product = hessian_vector_product(loss, parameters)
        self.dtype, self.device = parameters.dtype, parameters.device
        self.shape = (parameters.numel(), parameters.numel())

    def __matmul__(self, vector: Tensor) -> Tensor:
        if vector.ndim == 1:
            return self._product(vector)
        return torch.stack([self._product(column) for column in vector.T.contiguous()], dim=1)

    def linear_operator(self) -> LinearOperator:
        """Return it as a ``scipy.sparse.linalg.LinearOperator``, whose vectors are NumPy's and go to the device."""
        kind = torch.empty(0, dtype=self.dtype).numpy().dtype

        def product(vector: NDArray[Any]) -> NDArray[Any]:
            moved = torch.as_tensor(vector.ravel().astype(kind)).to(self.device)
            image: NDArray[Any] = self._product(moved).cpu().numpy()
            return image

        return LinearOperator(self.shape, matvec=product, rmatvec=product, dtype=kind)


def product_of(loss: Any, parameters: Tensor) -> Product:
    """Return ``v -> H v`` for vectors of shape (P,) of a loss at a point, or of a symmetric operator.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor; or a symmetric operator of P dimensions: a SciPy
            ``LinearOperator``, or whatever takes torch vectors of shape (P,) by ``operator @ v``, such as a linear
            operator of curvlinops or a dense matrix.
        parameters: the point, shape (P,), whose precision and device the vectors have.

    Raises:
        LossError: the loss gives no real number, or none that depends on its argument.
        TypeError: it is neither.
        ValueError: an operator of another shape.
    """
    if not hasattr(loss, "__matmul__"):
        if not callable(loss):
            raise TypeError(f"expected a loss of flat weights or a symmetric operator, found {type(loss).__name__}")
        return hessian_vector_product(loss, parameters)
    size = parameters.numel()
    shape = tuple(getattr(loss, "shape", (size, size)))
    if shape != (size, size):
        raise ValueError(f"an operator on {size} weights must have the shape {(size, size)}, found {shape}")
    if isinstance(loss, LinearOperator):
        return lambda vector: torch.as_tensor(_real(loss.matvec(vector.cpu().numpy()))).to(vector)
    return lambda vector: _vector(loss @ vector, size).to(vector)


def _real(vector: NDArray[Any]) -> NDArray[np.floating[Any]]:
    if vector.dtype.kind == "c":
        raise TypeError("the operator must be real and symmetric: its products are complex")
    return vector


def _vector(image: Any, size: int) -> Tensor:
    if not isinstance(image, Tensor) or image.shape != (size,):
        found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise LossError(f"the operator must take a torch vector of {size} weights to another, found {found}", "product")
    return image
