"""Data sets: normalisation, local files, downloads with their checksums."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from project import ROOT
from scipy.io import savemat

from gfsharp.errors import UserError
from replication import data, image_files
from replication.storage import files


def pixels(count, seed=0, shape=(3, 32, 32)):
    return np.random.default_rng(seed).integers(0, 256, size=(count, *shape), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x=pixels(20), y=np.arange(20) % 10)
    return path


@pytest.fixture
def server(tmp_path):
    """A folder served on loopback, in the place of the sets' home pages."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.handle_error = lambda *_: None  # a client that hangs up is no news
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_gaussian_moments_and_seed():
    X, y = data.gaussian(2000, 30, mean=1.5, deviation=0.5, label_deviation=2.0, seed=1)
    assert X.shape == (2000, 30)
    assert X.mean() == pytest.approx(1.5, abs=0.01)
    assert X.std() == pytest.approx(0.5, abs=0.01)
    assert y.std() == pytest.approx(2.0, abs=0.1)
    np.testing.assert_array_equal(X, data.gaussian(2000, 30, 1.5, 0.5, 2.0, seed=1)[0])
    assert not np.array_equal(X, data.gaussian(2000, 30, 1.5, 0.5, 2.0, seed=2)[0])


def test_digits_are_normalised_over_the_whole_set():
    inputs, targets, statistics = data.images("digits", 1797)
    assert inputs.shape == (1797, 1, 8, 8)
    assert inputs.dtype == targets.dtype == np.float32
    assert inputs.mean() == pytest.approx(0, abs=1e-5)
    assert inputs.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(targets.sum(axis=1), 1)
    np.testing.assert_array_equal(np.argmax(targets[:5], axis=1), [0, 1, 2, 3, 4])
    assert "1797" in statistics
    np.testing.assert_array_equal(data.images("digits", 50)[0], inputs[:50])


def test_cifar10_from_a_file_uses_the_statistics_of_the_full_set(npz):
    inputs, _, statistics = data.images("cifar10", 7, file=str(npz))
    expected = (pixels(20)[:7, 1] / 255 - 0.4822) / 0.2435
    np.testing.assert_allclose(inputs[:, 1], expected, rtol=1e-5)
    assert "50,000" in statistics


@pytest.mark.parametrize("source", ["svhn", "npz"])
def test_other_files_use_their_own_statistics_and_say_so(npz, source):
    inputs, _, statistics = data.images(source, 20, file=str(npz))
    np.testing.assert_allclose(inputs.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=(0, 2, 3)), 1, atol=1e-5)
    assert "20 images of images.npz" in statistics


def float64(x, mean, deviation):
    """What NumPy makes of the whole set at once."""
    return (x / 255 - mean) / np.where(deviation == 0, 1, deviation)


@pytest.mark.parametrize("source", ["cifar10", "svhn", "npz"])
def test_each_feature_by_its_own_statistics(npz, source):
    inputs, _, statistics = data.images(source, 5, skip=3, file=str(npz), normalisation="feature")
    x = pixels(20)
    expected = float64(x, (x / 255).mean(axis=0), (x / 255).std(axis=0))[3:8]
    np.testing.assert_allclose(inputs, expected, rtol=1e-6, atol=1e-6)
    assert statistics.startswith("the 20 images of images.npz")
    assert ("the training set has" in statistics) == (source != "npz")


def test_digits_by_feature_are_scikit_learn_s_standard_scaler():
    from sklearn.datasets import load_digits
    from sklearn.preprocessing import StandardScaler

    inputs, _, statistics = data.images("digits", 1797, normalisation="feature")
    expected = StandardScaler().fit_transform(load_digits().data)
    # A feature of small deviation, which one image alone has, is far out: relative to the largest, then.
    np.testing.assert_allclose(inputs.reshape(1797, 64), expected, rtol=1e-6, atol=1e-6)
    constant = load_digits().data.std(axis=0) == 0
    assert constant.sum() == 3
    assert not inputs.reshape(1797, 64)[:, constant].any()
    assert statistics == "the 1797 images of the set; 3 of the 64 features are constant there, and so 0"


def test_a_feature_that_differs_in_one_image_alone_is_not_constant(tmp_path):
    x = np.full((5000, 1, 1, 2), 255, dtype=np.uint8)
    x[4321, 0, 0, 1] = 254
    np.savez(tmp_path / "nearly.npz", x=x, y=np.zeros(5000, dtype=int))
    inputs, _, statistics = data.images("npz", 2, skip=4320, file=str(tmp_path / "nearly.npz"), normalisation="feature")
    # One image in n: (x - mean) / deviation is -sqrt(n - 1) for it and 1 / sqrt(n - 1) for each other.
    np.testing.assert_allclose(inputs[:, 0, 0, 1], [1 / np.sqrt(4999), -np.sqrt(4999)], rtol=1e-6)
    assert not inputs[:, 0, 0, 0].any()
    assert "1 of the 2 features" in statistics


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("skip", [0, 1364, 1366, 2995])
def test_images_of_several_blocks_are_those_of_the_whole(tmp_path, save, order, skip):
    """A block has 1,365 images of this size."""
    x = pixels(3000)
    y = np.arange(3000) % 10
    save(tmp_path / "many.npz", x=np.asarray(x, order=order), y=y)
    inputs, targets, _ = data.images("npz", 5, skip=skip, file=str(tmp_path / "many.npz"))
    channels = {"axis": (0, 2, 3), "keepdims": True}
    expected = float64(x, (x / 255).mean(**channels), (x / 255).std(**channels))[skip : skip + 5]
    np.testing.assert_allclose(inputs, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(np.argmax(targets, axis=1), y[skip : skip + 5])


def test_a_few_images_of_a_large_file_need_little_memory(tmp_path):
    count = 20_000  # 61 MB; as float64 eight times that
    np.savez(tmp_path / "large.npz", x=pixels(count), y=np.arange(count) % 10)
    tracemalloc.start()
    try:
        data.images("npz", 100, file=str(tmp_path / "large.npz"), normalisation="feature")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40e6


# The peak of the stage in a process of its own, before and after it, in MiB by the kernel.
STAGE = """
import sys
from replication.storage import provenance
from replication import stages

before = provenance.spent()["peak_memory_mb"]
stages.image_data({"source": "npz", "file": sys.argv[1], "images": 100, "normalisation": "feature"}, sys.argv[2])
print(before, provenance.spent()["peak_memory_mb"])
"""


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_few_of_fifty_thousand_images_take_the_memory_of_some_blocks(tmp_path, order):
    """The file has 146.5 MiB, as CIFAR-10 has. A block of 4 MiB is there as bytes, as squares of two bytes each, and in
    some buffers: ten blocks leave room. Written by columns it is in memory as a whole, which the measurement sees."""
    x = np.random.default_rng(0).integers(0, 256, size=(50_000, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", x=np.asarray(x, order=order), y=np.arange(50_000) % 10)
    command = [sys.executable, "-c", STAGE, str(tmp_path / "real.npz"), str(tmp_path / "some.safetensors")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    before, after = map(float, done.stdout.split())
    whole = 0 if order == "C" else 146
    assert whole <= after - before < whole + 40
    assert files.read_tensors(tmp_path / "some.safetensors")["inputs"].shape == (100, 3, 32, 32)
    # What a cluster is asked for goes by the record.
    assert files.read_provenance(tmp_path / "some.safetensors")["peak_memory_mb"] == pytest.approx(after, abs=5)


def test_a_file_that_goes_on_or_ends_early_is_refused(tmp_path):
    whole = io.BytesIO()
    np.save(whole, pixels(4))
    for content in (whole.getvalue()[:-1], whole.getvalue() + b"x"):
        np.savez(tmp_path / "y.npz", y=np.arange(4))
        with zipfile.ZipFile(tmp_path / "y.npz", "a") as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(UserError, match=r"cannot read images from .*y\.npz: x (ends before|goes on after)"):
            data.images("npz", 1, file=str(tmp_path / "y.npz"))


def test_another_normalisation_is_refused():
    with pytest.raises(ValueError, match="channel or feature, found 'pixel'"):
        data.images("digits", 5, normalisation="pixel")


def test_settings_say_how_images_are_normalised(npz):
    settings = {"source": "npz", "images": 4, "file": str(npz), "normalisation": "feature"}
    arrays, statistics = data.labelled(settings)
    np.testing.assert_array_equal(arrays["inputs"], data.images("npz", 4, file=str(npz), normalisation="feature")[0])
    assert statistics == "mean and deviation of each feature, over the 20 images of images.npz"
    assert data.labelled({**settings, "normalisation": "channel"})[1].startswith("mean and deviation of each channel")


def test_braces_in_the_name_of_a_file(tmp_path):
    np.savez(tmp_path / "a{b}.npz", x=pixels(20), y=np.arange(20) % 10)
    assert data.images("npz", 4, file=str(tmp_path / "a{b}.npz"))[2] == "the 20 images of a{b}.npz"


def test_more_images_than_there_are(npz):
    with pytest.raises(UserError, match=r"images 0 to 21 of .*npz are asked for; it has 20"):
        data.images("npz", 21, file=str(npz))


def test_npz_without_a_file():
    with pytest.raises(UserError, match="'npz' needs a file"):
        data.images("npz", 5)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": pixels(3)},
        {"x": pixels(3) / 255.0, "y": np.arange(3)},
        {"x": pixels(3).reshape(3, -1), "y": np.arange(3)},
        {"x": pixels(3).transpose(0, 2, 3, 1), "y": np.arange(3)},
        {"x": pixels(3), "y": np.arange(4)},
        {"x": pixels(3), "y": np.arange(3) + 8},
        {"x": pixels(3), "y": np.array([0.0, 1.0, 2.0])},
        {"x": np.array([{}], dtype=object), "y": np.arange(1)},
    ],
)
def test_files_of_another_layout_are_refused(tmp_path, arrays):
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=r"wrong\.npz"):
        data.images("npz", 1, file=str(path))


def test_gray_images_are_no_cifar10(tmp_path):
    path = tmp_path / "gray.npz"
    np.savez(path, x=pixels(3, shape=(1, 32, 32)), y=np.arange(3))
    with pytest.raises(UserError, match="3 x 32 x 32"):
        data.images("cifar10", 3, file=str(path))


def test_a_constant_channel_is_refused(tmp_path):
    x = pixels(3)
    x[:, 1] = 7
    np.savez(tmp_path / "flat.npz", x=x, y=np.arange(3))
    with pytest.raises(UserError, match="constant"):
        data.images("npz", 3, file=str(tmp_path / "flat.npz"))


def test_an_array_that_is_no_npz_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", pixels(3))
    with pytest.raises(UserError, match="cannot read images"):
        data.images("npz", 1, file=str(tmp_path / "array.npy"))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "truncated.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(UserError, match="cannot read images"):
        data.images("npz", 1, file=str(path))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_with_a_bit_altered_is_refused_or_what_it_was(tmp_path, save):
    path = tmp_path / "images.npz"
    save(path, x=pixels(3, shape=(1, 4, 4)), y=np.arange(3))
    content, whole = path.read_bytes(), data.images("npz", 3, file=str(path))
    refused = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            inputs, targets, _ = data.images("npz", 3, file=str(path))
        except UserError:
            refused += 1
        else:
            np.testing.assert_array_equal(inputs, whole[0])
            np.testing.assert_array_equal(targets, whole[1])
    assert refused > len(content) / 3


def cifar10_archive(path, labels):
    """An archive laid out as the official binary version, with ten images a batch."""
    with tarfile.open(path, "w:gz") as tar:
        for i in range(5):
            rows = np.concatenate([labels[10 * i : 10 * i + 10, None], pixels(10, seed=i).reshape(10, -1)], axis=1)
            content = rows.astype(np.uint8).tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/data_batch_{i + 1}.bin")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_cifar10_download(tmp_path, server, monkeypatch):
    folder, address = server
    labels = np.random.default_rng(9).integers(0, 10, size=50)
    archive = folder / "cifar-10-binary.tar.gz"
    cifar10_archive(archive, labels)
    monkeypatch.setattr(data, "CIFAR10_URL", f"{address}/{archive.name}")
    monkeypatch.setattr(data, "CIFAR10_MD5", md5(archive))
    inputs, targets, _ = data.images("cifar10", 50, root=tmp_path / "downloads")
    np.testing.assert_array_equal(np.argmax(targets, axis=1), labels)
    mean, deviation = np.array(data.CIFAR10_MEAN), np.array(data.CIFAR10_DEVIATION)
    expected = (pixels(10, seed=1)[3] / 255 - mean[:, None, None]) / deviation[:, None, None]
    np.testing.assert_allclose(inputs[13], expected, rtol=1e-5, atol=1e-6)
    assert (tmp_path / "downloads" / archive.name).is_file()


def test_an_archive_without_its_batches_is_refused(tmp_path):
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz"):
        pass
    with pytest.raises(UserError, match="delete it to download it again"):
        next(image_files.cifar10(tmp_path / "empty.tar.gz"))


def test_svhn_download(tmp_path, server, monkeypatch):
    from torchvision.datasets import SVHN

    folder, address = server
    images, labels = pixels(30), np.arange(30) % 10
    file = folder / "train_32x32.mat"
    # Height, width, channel, image; the digit zero is class 10.
    savemat(file, {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
    monkeypatch.setitem(SVHN.split_list, "train", [f"{address}/{file.name}", file.name, md5(file)])
    inputs, targets, statistics = data.images("svhn", 12, root=tmp_path / "downloads")
    np.testing.assert_array_equal(np.argmax(targets, axis=1), labels[:12])
    scaled = images / 255
    expected = (scaled[:12] - scaled.mean((0, 2, 3), keepdims=True)) / scaled.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(inputs, expected, rtol=1e-4, atol=1e-5)
    assert statistics == "the 30 images of SVHN's training file (the training set has 73,257)"


def test_a_download_with_the_wrong_checksum_is_refused(tmp_path, server, monkeypatch):
    folder, address = server
    cifar10_archive(folder / "cifar-10-binary.tar.gz", np.zeros(50, dtype=int))
    monkeypatch.setattr(data, "CIFAR10_URL", f"{address}/cifar-10-binary.tar.gz")
    with pytest.raises(UserError, match="cannot download") as error:
        data.images("cifar10", 5, root=tmp_path / "downloads")
    assert "'file'" in str(error.value)


def test_a_damaged_download_is_fetched_again_and_never_used(tmp_path, server, monkeypatch):
    folder, address = server
    archive = folder / "cifar-10-binary.tar.gz"
    cifar10_archive(archive, np.arange(50) % 10)
    monkeypatch.setattr(data, "CIFAR10_URL", f"{address}/{archive.name}")
    monkeypatch.setattr(data, "CIFAR10_MD5", md5(archive))
    kept = tmp_path / "downloads" / archive.name
    whole, _, _ = data.images("cifar10", 5, root=kept.parent)
    for damage in (lambda content: content[:-9], lambda content: b"", lambda content: b"x" + content[1:]):
        kept.write_bytes(damage(archive.read_bytes()))
        np.testing.assert_array_equal(data.images("cifar10", 5, root=kept.parent)[0], whole)
        assert kept.read_bytes() == archive.read_bytes()
    kept.write_bytes(kept.read_bytes()[:-9])
    monkeypatch.setattr(data, "CIFAR10_URL", f"{address}/nothing/{archive.name}")
    with pytest.raises(UserError, match="cannot download"):
        data.images("cifar10", 5, root=kept.parent)


def test_a_missing_download_is_an_error_with_the_way_out(tmp_path, server, monkeypatch):
    monkeypatch.setattr(data, "CIFAR10_URL", f"{server[1]}/cifar-10-binary.tar.gz")
    with pytest.raises(UserError, match=r"cannot download .* put the images into a local"):
        data.images("cifar10", 5, root=tmp_path / "downloads")


def test_images_that_are_skipped():
    inputs, targets, _ = data.images("digits", 7)
    later, classes, _ = data.images("digits", 4, skip=3)
    np.testing.assert_array_equal(later, inputs[3:])
    np.testing.assert_array_equal(classes, targets[3:])


def own_data(count, shape=(2,)):
    return np.zeros((count, *shape)), np.eye(3)[np.arange(count) % 3]


def test_data_of_a_user_s_own():
    inputs, targets = data.custom(f"{__name__}:own_data", {"count": 5})
    assert inputs.shape == (5, 2)
    assert targets.shape == (5, 3)
    assert inputs.dtype == targets.dtype == np.float64


def given(inputs):
    return inputs, np.ones((len(inputs), 1), np.float32)


@pytest.mark.parametrize(
    ("inputs", "kept"),
    [
        (np.float64([[1e9 + 1 / 3], [1e9 + 2 / 3]]), np.float64),  # the same in float32
        (np.array([[2**24 + 1], [2**24]]), np.float64),
        (np.float32([[0.1], [0.2]]), np.float32),
        ([[0.1], [0.2]], np.float64),
        (torch.tensor([[0.1], [0.2]]), np.float32),
    ],
)
def test_numbers_of_a_user_s_own_keep_their_precision(inputs, kept):
    found, targets = data.custom(f"{__name__}:given", {"inputs": inputs})
    assert found.dtype == kept
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(inputs))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((2, 1)) + 1j, "the numbers must be real, found complex ones"),
        (torch.ones(2, 1) + 1j, "the numbers must be real"),
        (torch.ones(2, 1, requires_grad=True), "requires grad"),
        (np.ma.array([[1.0], [2.0]], mask=[[True], [False]]), "found masked entries"),
        (np.array([["2020-01-01"], ["2020-01-02"]], dtype="datetime64[D]"), r"found datetime64\[D\]"),
    ],
)
def test_what_is_no_real_number_is_refused(inputs, message):
    with pytest.raises(UserError, match=message):
        data.custom(f"{__name__}:given", {"inputs": inputs})


def drawn():
    return np.random.normal(size=(3, 1)), torch.rand(3, 1)  # noqa: NPY002 - as users do


def test_data_are_drawn_from_the_same_start_and_the_generators_are_left_alone():
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    first, second = data.custom(f"{__name__}:drawn", {}), data.custom(f"{__name__}:drawn", {})
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.random.get_state()[1].tolist() == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:make", "cannot import 'no_such_module'"),
        (f"{__name__}:no_such", "has no function 'no_such'"),
        (f"{__name__}:own_labels", "must return two arrays"),
        (f"{__name__}:own_counts", "must return two arrays"),
    ],
)
def test_data_of_a_user_s_own_that_are_none(name, message):
    with pytest.raises(UserError, match=message):
        data.custom(name, {"count": 5})


def own_labels(count):
    return np.zeros((count, 2)), np.arange(count)


def own_counts(count):
    return np.zeros((count, 2))
