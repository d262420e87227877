"""Files of images, read in blocks: pixels as bytes, so that a few images of a large set need little memory.

A block is pixels, uint8 of shape (n, C, H, W), with labels, integers of shape (n,). Nothing is unpacked to disk, and no
pickle is read.
"""

from __future__ import annotations

import math
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gfsharp.errors import UserError

Array = NDArray[Any]
Block = tuple[Array, Array]

CLASSES = 10
# Of a block, about.
_BYTES = 2**22
_CIFAR10_RECORD = 1 + 3 * 32 * 32


def npz(path: Path) -> Iterator[Block]:
    """Yield the images of an ``.npz`` with ``x`` (uint8, (N, C, H, W), C 1 or 3) and ``y`` (integers 0 to 9, (N,)).

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    wanted = "x (uint8, N x C x H x W with C 1 or 3) and y (integers 0 to 9, N)"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            labels = arrays["y"]
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, "x")) as member:
            shape, in_columns, kind = _header(member)
            if kind.hasobject:
                raise ValueError("x has objects in it, not numbers")
            if problem := _problem(shape, kind, labels):
                raise UserError(f"{path} must hold {wanted}; {problem}")
            blocks = _whole(path) if in_columns else _streamed(member, shape)
            done = 0
            for pixels in blocks:
                yield pixels, labels[done : done + len(pixels)].astype(int)
                done += len(pixels)
    except (UserError, GeneratorExit):
        raise
    except Exception as error:  # a damaged archive fails in a dozen ways, as one that needs a password too
        raise UserError(f"cannot read images from {path}: {error}. It must be an .npz file with {wanted}.") from error


def cifar10(archive: Path) -> Iterator[Block]:
    """Yield the training images of the binary version of CIFAR-10, in official order.

    A record is a label byte and 3,072 pixel bytes.

    Raises:
        UserError: the archive lacks one of its files.
    """
    with tarfile.open(archive) as tar:
        for i in range(1, 6):
            name = f"cifar-10-batches-bin/data_batch_{i}.bin"
            try:
                member = tar.extractfile(name)
            except KeyError:
                member = None
            if member is None:
                raise UserError(f"{archive} has no file {name}; delete it to download it again")
            while content := member.read(_BYTES // _CIFAR10_RECORD * _CIFAR10_RECORD):
                records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _CIFAR10_RECORD)
                yield records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(int)


def svhn(path: Path) -> Iterator[Block]:
    """Yield the images of SVHN's ``.mat`` files, which as a whole are 225 MB; they write the digit zero as class 10."""
    from scipy.io import loadmat

    contents = loadmat(path, variable_names=["X", "y"])
    pixels, labels = contents["X"].transpose(3, 2, 0, 1), contents["y"].ravel().astype(int) % CLASSES
    for done in range(0, len(labels), _images(pixels.shape)):
        chosen = slice(done, done + _images(pixels.shape))
        yield pixels[chosen], labels[chosen]


def _member(archive: zipfile.ZipFile, name: str) -> str:
    return name if name in archive.namelist() else f"{name}.npy"


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the first index runs fastest, and type of the array that begins here."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(member)
    if version not in read:
        raise ValueError(f"x is of version {version} of NumPy's format")
    return read[version](member)


def _problem(shape: tuple[int, ...], kind: np.dtype[Any], labels: Array) -> str:
    """What is wrong with the arrays of a file; empty if nothing is."""
    laid_out = len(shape) == 4 and shape[1] in (1, 3) and labels.shape == shape[:1]
    if not laid_out or kind != np.uint8 or labels.dtype.kind not in "iu":
        return f"found x {kind} {shape}, y {labels.dtype} {labels.shape}"
    if len(labels) and not (labels.min() >= 0 and labels.max() < CLASSES):
        return f"labels must be 0 to {CLASSES - 1}, found {labels.min()} to {labels.max()}"
    return ""


def _streamed(member: IO[bytes], shape: tuple[int, ...]) -> Iterator[Array]:
    left, size = shape[0], math.prod(shape[1:])
    while left:
        count = min(left, _images(shape))
        content = member.read(count * size)
        if len(content) != count * size:
            raise ValueError("x ends before its last image")
        yield np.frombuffer(content, dtype=np.uint8).reshape(count, *shape[1:])
        left -= count
    # Up to its end, where the checksum is looked at.
    if member.read(1):
        raise ValueError("x goes on after its last image")


def _whole(path: Path) -> Iterator[Array]:
    """Yield the blocks of an array that was written by columns: its bytes have to be in memory as a whole."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        x = arrays["x"]
    for done in range(0, len(x), _images(x.shape)):
        yield x[done : done + _images(x.shape)]


def _images(shape: tuple[int, ...]) -> int:
    """How many images a block has."""
    return max(1, _BYTES // max(1, math.prod(shape[1:])))
