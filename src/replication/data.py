"""Data of the experiments: Gaussian samples (Appendix B.3) and images (Appendix B.4), ready for training.

Images are the first of their set, scaled to [0, 1], each channel centred and divided by its standard deviation over
the full training set, which is the paper's text, or each feature, a pixel of a channel, as in the code of Cohen et al.
(2021), whose preprocessing the text says that it is; targets are one-hot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gfsharp.errors import UserError
from replication import factories, image_files
from replication.image_files import CLASSES, Array, Block

# What is centred and divided by its standard deviation.
Normalisation = Literal["channel", "feature"]

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
# Over the 50,000 training images, pixel values in [0, 1].
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_DEVIATION = (0.2470, 0.2435, 0.2616)


# How many images the training sets have.
SIZES = {"cifar10": 50_000, "svhn": 73_257}


@dataclass(frozen=True)
class _Set:
    """A set of images: its blocks, the pixel value that stands for 1, what it is called, known channel statistics."""

    blocks: Iterable[Block]
    largest: int
    name: str
    known: tuple[Array, Array, str] | None = None


class _Sums:
    """Sums over images, in whole numbers and so without rounding: of each feature, of its square, and how many."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Any = 0
        self.second: Any = 0

    def add(self, pixels: Array) -> None:
        self.count += len(pixels)
        self.first = self.first + pixels.sum(axis=0, dtype=np.int64)
        self.second = self.second + (pixels.astype(np.uint16) ** 2).sum(axis=0, dtype=np.int64)

    def statistics(self, normalisation: Normalisation) -> tuple[Array, Array]:
        """Return mean and deviation, of shape (C, 1, 1) or (C, H, W); the latter is 0 of what is constant alone."""
        first, second = (np.asarray(sums, dtype=object) for sums in (self.first, self.second))
        count = self.count
        if normalisation == "channel":
            count *= first[0].size
            first, second = (sums.sum(axis=(1, 2), keepdims=True) for sums in (first, second))
        variance = ((count * second - first * first) / count**2).astype(float)
        return (first / count).astype(float), np.sqrt(variance)


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
    source: str,
    count: int,
    *,
    skip: int = 0,
    file: str | None = None,
    root: str | Path = "data",
    normalisation: Normalisation = "channel",
) -> tuple[Array, Array, str]:
    """Return ``count`` images of a set, normalised, with one-hot targets.

    Each is ``(x - mean) / deviation``, in float64 and then rounded. The statistics are those of the whole set, or of
    all images of a local file, which may be a part of it; of the channels of CIFAR-10 they are known constants. A
    feature that is constant over them is 0 then: centred, and not divided.

    Args:
        source: ``digits`` (ships with scikit-learn), ``cifar10``, ``svhn``, or ``npz`` for a set of one's own.
        count: how many images.
        skip: how many are left out before them.
        file: a local ``.npz`` with ``x`` (uint8, (N, C, H, W)) and ``y`` (integers 0 to 9, (N,)). Needed for ``npz``;
            for ``cifar10`` and ``svhn`` it stands in for the download.
        root: where downloads are kept.
        normalisation: whether mean and deviation are of a channel, over images and pixels, as the paper's text says
            (Appendix B.4), or of each of the C x H x W features, over images, as in the code of Cohen et al. (2021).

    Returns:
        inputs, float32 of shape (N, C, H, W); targets, float32 of shape (N, 10); and what the statistics were computed
        from.

    Raises:
        UserError: an unusable file, a failed download, a channel that is constant, or fewer images than asked for.
    """
    if normalisation not in ("channel", "feature"):
        raise ValueError(f"normalisation must be channel or feature, found {normalisation!r}")
    found, sums = _set(source, file, Path(root)), _Sums()
    chosen: list[Block] = []
    for pixels, classes in found.blocks:
        part = slice(max(skip - sums.count, 0), max(skip + count - sums.count, 0))
        if len(classes[part]):
            chosen.append((pixels[part].copy(), classes[part]))
        sums.add(pixels)
    if skip + count > sums.count:
        raise UserError(f"images {skip} to {skip + count} of {file or source} are asked for; it has {sums.count}")
    mean, deviation, statistics = _statistics(found, sums, normalisation, SIZES.get(source))
    inputs = np.concatenate([_normalised(pixels / found.largest, mean, deviation) for pixels, _ in chosen])
    targets = np.eye(CLASSES, dtype=np.float32)[np.concatenate([classes for _, classes in chosen])]
    return inputs, targets, statistics


def _statistics(found: _Set, sums: _Sums, normalisation: Normalisation, size: int | None) -> tuple[Array, Array, str]:
    """Return mean and deviation of pixels in [0, 1], of no feature zero, and what they are of."""
    if normalisation == "channel" and found.known is not None:
        return found.known
    mean, deviation = (values / found.largest for values in sums.statistics(normalisation))
    part = f" (the training set has {size:,})" if size is not None and sums.count < size else ""
    name = f"{found.name.format(count=sums.count)}{part}"
    constant = deviation == 0
    if not constant.any():
        return mean, deviation, name
    if normalisation == "channel":
        raise UserError(f"a channel of {name} is constant, so it cannot be divided by its standard deviation")
    said = f"{name}; {constant.sum()} of the {constant.size} features are constant there, and so 0"
    return mean, np.where(constant, 1.0, deviation), said


def _normalised(pixels: Array, mean: Array, deviation: Array) -> Array:
    return ((pixels - mean) / deviation).astype(np.float32)


def custom(factory: str, options: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return the data of a user's own ``factory(**options)``: inputs (N, ...) and targets (N, K).

    Numbers keep their precision: float64 and integers become float64, float32 and shorter ones float32. A run casts
    them to its own.

    Raises:
        UserError: a factory that cannot be imported or returns something else.
    """
    returned = factories.call(factory, **options)
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
        ``inputs`` and ``targets``, and what the images were normalised by; None for data of a user's own.
    """
    if settings["source"] == "custom":
        inputs, targets = custom(settings["factory"], settings.get("options", {}))
        return {"inputs": inputs, "targets": targets}, None
    normalisation = settings.get("normalisation", "channel")
    inputs, targets, statistics = images(
        settings["source"],
        settings["images"],
        skip=settings.get("skip", 0),
        file=settings.get("file"),
        root=downloads or ".",
        normalisation=normalisation,
    )
    return {"inputs": inputs, "targets": targets}, f"mean and deviation of each {normalisation}, over {statistics}"


def _set(source: str, file: str | None, root: Path) -> _Set:
    if file is not None:
        blocks, name = image_files.npz(Path(file)), f"the {{count}} images of {_plain(Path(file).name)}"
        return _cifar10(blocks, name) if source == "cifar10" else _Set(blocks, 255, name)
    loaders: Mapping[str, Callable[[], _Set]] = {
        "digits": _digits,
        "cifar10": lambda: _cifar10(
            image_files.cifar10(download(CIFAR10_URL, CIFAR10_MD5, root)), "the {count} training images of CIFAR-10"
        ),
        "svhn": lambda: _downloaded_svhn(root),
    }
    if source not in loaders:
        raise UserError(f"data source {source!r} needs a file; without one choose from {', '.join(loaders)}")
    return loaders[source]()


def _plain(name: str) -> str:
    """Keep the braces of a name, which ``format`` would take for a place."""
    return name.replace("{", "{{").replace("}", "}}")


def _digits() -> _Set:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Whole numbers from 0 to 16.
    pixels = digits.images[:, None].astype(np.uint8)
    return _Set([(pixels, digits.target)], 16, "the {count} images of the set")


def _cifar10(blocks: Iterable[Block], name: str) -> _Set:
    mean, deviation = (np.array(values)[:, None, None] for values in (CIFAR10_MEAN, CIFAR10_DEVIATION))
    said = "the 50,000 training images of CIFAR-10 (known constants)"
    return _Set(_in_colour(blocks), 255, name, (mean, deviation, said))


def _in_colour(blocks: Iterable[Block]) -> Iterable[Block]:
    for pixels, classes in blocks:
        if pixels.shape[1:] != (3, 32, 32):
            raise UserError(f"images of CIFAR-10 have shape 3 x 32 x 32, found {pixels.shape[1:]} in the local file")
        yield pixels, classes


def _downloaded_svhn(root: Path) -> _Set:
    from torchvision.datasets import SVHN

    url, _, md5 = SVHN.split_list["train"]
    return _Set(image_files.svhn(download(url, md5, root)), 255, "the {count} images of SVHN's training file")


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
