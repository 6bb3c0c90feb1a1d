"""Data sets and their parts, as they come."""

import gzip
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
import torch

from hvd_qgenx import data
from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.agreement import DisagreementError
from tests.data.pictures import ALONE, folder, save

PARTS = ("all", "train", "test")


def test_digits_need_no_folder():
    images = data.load("digits", Path("/nowhere"), False, ALONE)
    pixels, labels = images.take(range(1797))
    assert (len(images), pixels.shape, pixels.dtype) == (1797, (1797, 1, 8, 8), torch.uint8)
    assert pixels.max() == 255
    assert labels.unique().tolist() == list(range(images.classes)) == list(range(10))


def test_every_fifth_digit_of_each_class_is_for_testing():
    everything, train, test = (data.load("digits", Path("/nowhere"), False, ALONE, part=part) for part in PARTS)
    pixels, labels = everything.take(range(1797))
    place_in_class = torch.empty(1797, dtype=torch.int64)
    for label in range(10):
        members = (labels == label).nonzero().flatten()
        place_in_class[members] = torch.arange(len(members))
    tested = place_in_class % 5 == 4
    for part, chosen in ((train, ~tested), (test, tested)):
        assert all(map(torch.equal, part.take(range(len(part))), (pixels[chosen], labels[chosen])))
        assert part.classes == 10
    assert test.labels.bincount().tolist() == (labels.bincount() // 5).tolist()


def test_images_in_memory_are_scaled_once():
    images = data.load("digits", Path("/nowhere"), False, ALONE, side=16)
    pixels, labels = images.take(range(1797))
    assert (images.side, pixels.shape) == (16, (1797, 1, 16, 16))
    small, same_labels = data.load("digits", Path("/nowhere"), False, ALONE).take(range(1797))
    assert torch.equal(labels, same_labels)
    means = torch.nn.functional.avg_pool2d(pixels.float(), 2)
    assert torch.corrcoef(torch.stack([means.flatten(), small.flatten().float()]))[0, 1] > 0.95


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_missing_data_says_what_to_do(name, part, tmp_path):
    with pytest.raises(ConfigurationError, match=f"no {name} in .*add --download.*--data-dir.*--dataset digits"):
        data.load(name, tmp_path, False, ALONE, part=part)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("cifar10", "cifar-10-batches-py"), ("mnist", "MNIST"), ("mnist", "MNIST/raw"), ("cifar100", "cifar-100-python")],
)
def test_a_folder_one_level_too_deep_is_named(name, folder, tmp_path):
    with pytest.raises(ConfigurationError, match=f"is the data set's own folder.*--data-dir {tmp_path}$"):
        data.load(name, tmp_path / folder, False, ALONE)


def test_a_missing_and_a_damaged_file_of_cifar_are_named(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match=f"{folder / 'data_batch_1'} is missing"):
        data.load("cifar10", tmp_path, False, ALONE)
    (folder / "data_batch_1").write_text("half")
    with pytest.raises(ConfigurationError, match=f"{folder / 'data_batch_1'} is damaged"):
        data.load("cifar10", tmp_path, False, ALONE)


def test_who_has_asked_for_a_download_is_not_told_to(tmp_path, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision().datasets, "MNIST", fails)
    for download in (False, True):
        with pytest.raises(ConfigurationError) as error:
            data.load("mnist", tmp_path, download, ALONE)
        assert ("add --download" in str(error.value)) is not download


def test_an_unknown_data_set_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown dataset 'cifar'; did you mean 'cifar10'"):
        data.load("cifar", tmp_path, True, ALONE)


def test_one_rank_of_a_host_downloads_before_any_loads(tmp_path, monkeypatch):
    calls = []

    class Fake:
        def __init__(self, root, train, download):
            calls.append(download)
            self.data, self.targets = np.zeros((4, 32, 32, 3), np.uint8), [0, 1, 2, 3]
            self.classes = ["airplane", "automobile", "bird", "cat"]

    monkeypatch.setattr(torchvision().datasets, "CIFAR10", Fake)
    images = inprocess.run(3, lambda transport: data.load("cifar10", tmp_path, True, transport))
    assert [len(part) for part in images] == [4, 4, 4]
    assert images[0].class_names == ("airplane", "automobile", "bird", "cat")
    assert calls == [True, False, False, False]


def test_a_failed_download_ends_all_ranks_alike(tmp_path, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision().datasets, "CIFAR10", fails)

    def load(transport):
        with pytest.raises(ConfigurationError, match=r"rank 0: no cifar10 in .*no route to host"):
            data.load("cifar10", tmp_path, True, transport)

    inprocess.run(3, load)


def test_ranks_that_find_other_images_do_not_start(tmp_path):
    for host in range(2):
        for image in range(host + 1):
            save(tmp_path / str(host) / "a" / f"{image}.png")

    def load(transport):
        with pytest.raises(DisagreementError, match="what folder holds") as caught:
            data.load("folder", tmp_path / str(transport.rank), False, transport)
        assert [line.split("images")[0].split()[-1] for line in caught.value.table.splitlines()[1:3]] == ["1", "2"]

    inprocess.run(2, load)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("name", "dataset"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_idx_files_are_read_packed_or_not(name, dataset, packed, tmp_path):
    raw = tmp_path / dataset / "raw"
    raw.mkdir(parents=True)
    stored = {}
    for prefix, count in (("train", 5), ("t10k", 3)):
        pixels = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8)[::-1]
        stored[prefix] = torch.from_numpy(pixels).unsqueeze(1), labels.tolist()
        for kind, head, body in (
            ("images-idx3", struct.pack(">4I", 0x803, count, 28, 28), pixels),
            ("labels-idx1", struct.pack(">2I", 0x801, count), labels),
        ):
            content = head + body.tobytes()
            path = raw / f"{prefix}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    before = sorted(raw.iterdir())
    for part, prefix in zip(PARTS, ("train", "train", "t10k"), strict=True):
        images = data.load(name, tmp_path, False, ALONE, part=part)
        expected, labels = stored[prefix]
        assert torch.equal(images.take(range(len(images)))[0], expected)
        assert images.labels.tolist() == labels
    assert sorted(raw.iterdir()) == before


def test_cifar100_has_fine_labels(tmp_path, monkeypatch):
    cifar100 = torchvision().datasets.CIFAR100
    folder = tmp_path / cifar100.base_folder
    folder.mkdir()
    stored = {}
    for file, count in (("train", 4), ("test", 2)):
        rows = np.random.default_rng(count).integers(256, size=(count, 3 * 32 * 32), dtype=np.uint8)
        labels = list(range(100 - count, 100))
        stored[file] = torch.from_numpy(rows).view(count, 3, 32, 32), labels
        entry = {"data": rows, "fine_labels": labels, "coarse_labels": [0] * count}
        (folder / file).write_bytes(pickle.dumps(entry))
        monkeypatch.setattr(cifar100, f"{file}_list", [[file, None]])  # None: of any content
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(label) for label in range(100)]}))
    monkeypatch.setattr(cifar100, "meta", {**cifar100.meta, "md5": None})
    for part, file in zip(PARTS, ("train", "train", "test"), strict=True):
        images = data.load("cifar100", tmp_path, False, ALONE, part=part)
        expected, labels = stored[file]
        assert (images.classes, images.channels, images.side) == (100, 3, 32)
        assert torch.equal(images.take(range(len(images)))[0], expected)
        assert images.labels.tolist() == labels


def test_svhn_is_read_from_its_matrices(tmp_path, monkeypatch):
    svhn = torchvision().datasets.SVHN
    stored = {}
    for split, count in (("train", 12), ("test", 10)):
        pixels = np.random.default_rng(count).integers(256, size=(32, 32, 3, count), dtype=np.uint8)
        labels = np.arange(count) % 10 + 1  # 10 stands for the digit 0
        stored[split] = torch.from_numpy(pixels).permute(3, 2, 0, 1), (labels % 10).tolist()
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels, "y": labels[:, None]})
    listed = {split: ["", f"{split}_32x32.mat", None] for split in stored}
    monkeypatch.setattr(svhn, "split_list", listed)
    for part, split in zip(PARTS, ("train", "train", "test"), strict=True):
        images = data.load("svhn", tmp_path, False, ALONE, part=part)
        expected, labels = stored[split]
        assert (images.classes, images.channels, images.side) == (10, 3, 32)
        assert torch.equal(images.take(range(len(images)))[0], expected)
        assert images.labels.tolist() == labels


def celeba(folder: Path) -> None:
    """Five pictures in CelebA's layout: three for training, one for validation, one for testing."""
    lines = []
    for number in range(5):
        name = f"{number + 1:06d}.jpg"
        save(folder / "celeba" / "img_align_celeba" / name, size=(178, 218), colour=(60 * number, 0, 0))
        lines.append(f"{name} {max(0, number - 2)}")
    (folder / "celeba" / "list_eval_partition.txt").write_text("\n".join(lines))


def test_celeba_is_read_from_its_files(tmp_path):
    celeba(tmp_path)
    images = data.load("celeba", tmp_path, False, ALONE)
    pixels, labels = images.take([2, 0])
    assert (len(images), images.classes, images.channels, images.side) == (3, 0, 3, 64)
    assert pixels[:, 0, 32, 32].tolist() == pytest.approx([120, 0], abs=2)
    assert labels.tolist() == [0, 0]
    assert data.load("celeba", tmp_path, False, ALONE, side=32).take([1])[0].shape == (1, 3, 32, 32)
    train, test = (data.load("celeba", tmp_path, False, ALONE, part=part) for part in ("train", "test"))
    assert train.fingerprint() == images.fingerprint()
    assert (len(test), test.classes) == (1, 0)
    assert test.take([0])[0][0, 0, 32, 32].item() == pytest.approx(240, abs=2)


def test_celeba_is_fetched_by_torchvision(tmp_path, monkeypatch):
    class Fake(torchvision().datasets.CelebA):
        def __init__(self, root, download):
            assert download
            celeba(Path(root))

    monkeypatch.setattr(torchvision().datasets, "CelebA", Fake)
    assert len(data.load("celeba", tmp_path, True, ALONE)) == 3


def test_a_missing_picture_of_celeba_is_found_before_training(tmp_path):
    celeba(tmp_path)
    (tmp_path / "celeba" / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"cannot read the image .*000002\.jpg \(it is missing"):
        data.load("celeba", tmp_path, False, ALONE)
    assert len(data.load("celeba", tmp_path, False, ALONE, skip_damaged=True)) == 2


@pytest.mark.parametrize("download", [False, True])
def test_missing_celeba_says_what_to_do(download, tmp_path, monkeypatch):
    class RefusedError(Exception):
        """gdown's own is no OSError."""

    def refuses(**_: object) -> None:
        raise RefusedError("Too many users\nhave viewed this file")

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=refuses))
    reason = r"\(Too many users\)" if download else r"\(.*list_eval_partition"
    with pytest.raises(ConfigurationError, match=f"no celeba in .*{reason}.*gdown.*unpack img_align_celeba.zip"):
        data.load("celeba", tmp_path, download, ALONE)


@pytest.mark.parametrize("name", ["test", "val", "valid"])
def test_a_folder_may_have_a_part_for_testing(name, tmp_path):
    for place, colour in (("train/a/1.png", 10), ("train/b/1.png", 20), ("train/b/2.png", 30), (f"{name}/b/1.png", 40)):
        save(tmp_path / place, "L", colour=colour)
    save(tmp_path / name / "a" / "3.png", "L", colour=50)
    train, test = (data.load("folder", tmp_path, False, ALONE, part=part, side=8) for part in ("train", "test"))
    for images, colours, labels in ((train, [10, 20, 30], [0, 1, 1]), (test, [50, 40], [0, 1])):
        assert images.take(range(len(images)))[0][:, 0, 4, 4].tolist() == colours
        assert (images.labels.tolist(), images.classes) == (labels, 2)
    assert folder(tmp_path).classes == 2  # as it always was: the folders in it are the classes


def test_the_part_called_test_is_taken_before_others(tmp_path):
    for place in ("train", "val", "test", "valid"):
        for image in range(1 + (place == "test")):
            save(tmp_path / place / "a" / f"{image}.png")
    assert len(data.load("folder", tmp_path, False, ALONE, part="test")) == 2


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (("a/1.png", "b/1.png"), r"does not separate .*; put them into train/CLASS/\* and test/CLASS/\* there"),
        (("train/a/1.png",), r"does not separate training images from test images; put them into train/CLASS"),
        (("test/a/1.png",), r"does not separate training images from test images; put them into train/CLASS"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"), r"different classes \(not in both: b, c\)"),
    ],
)
def test_a_folder_without_parts_says_how_to_lay_it_out(places, sentence, part, tmp_path):
    for place in places:
        save(tmp_path / place)
    with pytest.raises(ConfigurationError, match=sentence):
        data.load("folder", tmp_path, False, ALONE, part=part)


@pytest.mark.parametrize(("name", "channels", "side"), [("mnist", 1, 28), ("cifar10", 3, 32)])
@pytest.mark.parametrize("part", ["train", "test"])
def test_real_data(name, channels, side, part, data_dir):
    images = data.load(name, data_dir, False, ALONE, part=part)
    count = 10000 if part == "test" else {"mnist": 60000, "cifar10": 50000}[name]
    assert (len(images), images.channels, images.side, images.classes) == (count, channels, side, 10)
    pixels, labels = images.take(range(0, count, 10))
    assert 30 < pixels.float().mean() < 140
    assert labels.bincount(minlength=10).min() > count / 150


def test_real_parts_differ_and_all_is_the_training_part(data_dir):
    everything, train, test = (data.load("cifar10", data_dir, False, ALONE, part=part) for part in PARTS)
    assert everything.fingerprint() == train.fingerprint() != test.fingerprint()
