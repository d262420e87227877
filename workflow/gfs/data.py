"""Data of the experiments: Gaussian samples (Appendix B.3) and images (Appendix B.4), ready for training.

Images are the first of their set, scaled to [0, 1], each channel centred and divided by its standard deviation over
the full training set; targets are one-hot.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfs import plugins
from gfs.errors import UserError

Array = NDArray[Any]

CLASSES = 10

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
# Over the 50,000 training images, pixel values in [0, 1].
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_DEVIATION = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class RawImages:
    """Pixels in [0, 1] of shape (N, C, H, W), labels (N,), and the channel statistics with where they come from."""

    pixels: Array
    labels: Array
    mean: Array
    deviation: Array
    statistics: str


def gaussian(
    samples: int, dimension: int, mean: float, deviation: float, label_deviation: float, seed: int
) -> tuple[Array, Array]:
    """Return ``X`` (N, d) with rows from ``N(mean * 1, deviation^2 I)`` and labels ``y`` (N,) from ``N(0, ...)``.

    >>> X, y = gaussian(50, 100, mean=1.0, deviation=1.0, label_deviation=1.0, seed=0)
    >>> X.shape, y.shape
    ((50, 100), (50,))
    """
    generator = np.random.default_rng(seed)
    X = generator.normal(mean, deviation, size=(samples, dimension))
    return X, generator.normal(0.0, label_deviation, size=samples)


def gaussian_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :func:`gaussian`, but for the seed, in the settings of a data set."""
    return {key: value for key, value in settings.items() if key != "source"}


def images(
    source: str, count: int, *, skip: int = 0, file: str | None = None, root: str | Path = "data"
) -> tuple[Array, Array, str]:
    """Return ``count`` images of a set, normalised, with one-hot targets.

    Args:
        source: ``digits`` (ships with scikit-learn), ``cifar10``, ``svhn``, or ``npz`` for a set of one's own.
        count: how many images.
        skip: how many are left out before them.
        file: a local ``.npz`` with ``x`` (uint8, (N, C, H, W)) and ``y`` (integers 0 to 9, (N,)). Needed for ``npz``;
            for ``cifar10`` and ``svhn`` it stands in for the download.
        root: where downloads are kept.

    Returns:
        inputs, float32 of shape (N, C, H, W); targets, float32 of shape (N, 10); and what the channel statistics were
        computed from.

    Raises:
        UserError: an unusable file, a failed download, or fewer images than asked for.
    """
    raw = _load(source, file, Path(root))
    if skip + count > len(raw.labels):
        raise UserError(f"images {skip} to {skip + count} of {file or source} are asked for; it has {len(raw.labels)}")
    shape, chosen = (1, -1, 1, 1), slice(skip, skip + count)
    inputs = (raw.pixels[chosen] - raw.mean.reshape(shape)) / raw.deviation.reshape(shape)
    targets = np.eye(CLASSES, dtype=np.float32)[raw.labels[chosen]]
    return inputs.astype(np.float32), targets, raw.statistics


def custom(factory: str, options: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return the data of a user's own ``factory(**options)``: inputs (N, ...) and targets (N, K).

    Numbers keep their precision: float64 and integers become float64, float32 and shorter ones float32. A run casts
    them to its own.

    Raises:
        UserError: a factory that cannot be imported or returns something else.
    """
    returned = plugins.call(factory, **options)
    wanted = "two arrays of numbers, inputs (N, ...) and targets (N, K), one-hot for classes"
    try:
        inputs, targets = (_real(values) for values in returned)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{factory} must return {wanted}: {error}") from error
    if targets.ndim != 2 or inputs.ndim < 2 or len(inputs) != len(targets) or not len(inputs):
        raise UserError(f"{factory} must return {wanted}; found shapes {inputs.shape} and {targets.shape}")
    for name, values in (("inputs", inputs), ("targets", targets)):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise UserError(f"{factory} must return finite numbers; {name}{wrong[0].tolist()} is {values[*wrong[0]]}")
    return inputs, targets


def _real(values: Any) -> Array:
    found = np.asarray(values)
    if found.dtype.kind in "USMm" or (isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values)):
        raise ValueError(f"found {'masked entries' if found.dtype.kind not in 'USMm' else found.dtype}")
    if found.dtype.kind == "c":
        raise ValueError("the numbers must be real, found complex ones; give real and imaginary part as two")
    # Whole numbers above 2^24, as dates and labels have them, are not among those of float32.
    return found.astype(np.float32 if found.dtype.kind in "fb" and found.dtype.itemsize <= 4 else np.float64)


def labelled(settings: Mapping[str, Any], downloads: str | None = None) -> tuple[dict[str, Array], str | None]:
    """Return what a data set's settings ask for: images as of :func:`images`, or data as of :func:`custom`.

    Args:
        settings: of a checked configuration.
        downloads: where archives are kept, if the images are downloaded.

    Returns:
        ``inputs`` and ``targets``, and what the images' channels were normalised by; None for data of a user's own.
    """
    if settings["source"] == "custom":
        inputs, targets = custom(settings["factory"], settings.get("options", {}))
        return {"inputs": inputs, "targets": targets}, None
    inputs, targets, statistics = images(
        settings["source"],
        settings["images"],
        skip=settings.get("skip", 0),
        file=settings.get("file"),
        root=downloads or ".",
    )
    return {"inputs": inputs, "targets": targets}, statistics


def _load(source: str, file: str | None, root: Path) -> RawImages:
    if file is not None:
        pixels, labels = _read_npz(Path(file))
        if source == "cifar10":
            return _cifar10(pixels, labels)
        return _with_own_statistics(pixels, labels, f"the {len(labels)} images of {Path(file).name}")
    loaders: Mapping[str, Callable[[], RawImages]] = {
        "digits": _digits,
        "cifar10": lambda: _cifar10(*read_cifar10(download(CIFAR10_URL, CIFAR10_MD5, root))),
        "svhn": lambda: _downloaded_svhn(root),
    }
    if source not in loaders:
        raise UserError(f"data source {source!r} needs a file; without one choose from {', '.join(loaders)}")
    return loaders[source]()


def _digits() -> RawImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _with_own_statistics(digits.images[:, None] / 16.0, digits.target, "the 1797 images of the set")


def _cifar10(pixels: Array, labels: Array) -> RawImages:
    if pixels.shape[1:] != (3, 32, 32):
        raise UserError(f"images of CIFAR-10 have shape 3 x 32 x 32, found {pixels.shape[1:]} in the local file")
    mean, deviation = np.array(CIFAR10_MEAN), np.array(CIFAR10_DEVIATION)
    return RawImages(pixels, labels, mean, deviation, "the 50,000 training images of CIFAR-10 (known constants)")


def _downloaded_svhn(root: Path) -> RawImages:
    from scipy.io import loadmat
    from torchvision.datasets import SVHN

    url, _, md5 = SVHN.split_list["train"]
    contents = loadmat(download(url, md5, root), variable_names=["X", "y"])
    pixels = contents["X"].transpose(3, 2, 0, 1) / 255.0
    # The file writes the digit zero as class 10.
    return _with_own_statistics(pixels, contents["y"].ravel().astype(int) % 10, "the full training set")


def _with_own_statistics(pixels: Array, labels: Array, statistics: str) -> RawImages:
    axes = (0, 2, 3)
    mean, deviation = pixels.mean(axis=axes), pixels.std(axis=axes)
    if not (deviation > 1e-6).all():
        raise UserError(f"a channel of {statistics} is constant, so it cannot be divided by its standard deviation")
    return RawImages(pixels, labels, mean, deviation, statistics)


def download(url: str, md5: str, root: Path) -> Path:
    """Return the file at ``url`` below ``root``, downloaded by torchvision unless it is there, its checksum verified.

    Raises:
        UserError: it could not be downloaded, or what came does not have the checksum.
    """
    from torchvision.datasets.utils import download_url

    try:
        download_url(url, root, md5=md5)
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"cannot download {url} to {root}: {error}. Without a network, put the images into a local .npz and name "
            f"it as the data set's 'file' in the configuration."
        ) from error
    return root / Path(url).name


def read_cifar10(archive: Path) -> tuple[Array, Array]:
    """Return pixels in [0, 1], (50000, 3, 32, 32), and labels of the binary version of CIFAR-10, in official order.

    A record is a label byte and 3,072 pixel bytes; no pickle is read, and nothing is unpacked to disk.
    """
    batches = []
    with tarfile.open(archive) as tar:
        for i in range(1, 6):
            name = f"cifar-10-batches-bin/data_batch_{i}.bin"
            try:
                member = tar.extractfile(name)
            except KeyError:
                member = None
            if member is None:
                raise UserError(f"{archive} has no file {name}; delete it to download it again")
            batches.append(np.frombuffer(member.read(), dtype=np.uint8).reshape(-1, 3073))
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, 3, 32, 32) / 255.0, records[:, 0].astype(int)


def _read_npz(path: Path) -> tuple[Array, Array]:
    wanted = "x (uint8, N x C x H x W with C 1 or 3) and y (integers 0 to 9, N)"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels, labels = arrays["x"], arrays["y"]
    except Exception as error:  # a damaged archive fails in a dozen ways, as one that needs a password too
        raise UserError(f"cannot read images from {path}: {error}. It must be an .npz file with {wanted}.") from error
    laid_out = pixels.ndim == 4 and pixels.shape[1] in (1, 3) and labels.shape == pixels.shape[:1]
    if not laid_out or pixels.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise UserError(
            f"{path} must hold {wanted}; found x {pixels.dtype} {pixels.shape}, y {labels.dtype} {labels.shape}"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < CLASSES):
        raise UserError(f"{path}: labels must be 0 to {CLASSES - 1}, found {labels.min()} to {labels.max()}")
    return pixels / 255.0, labels.astype(int)
