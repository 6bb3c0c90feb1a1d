"""Folders of pictures: what counts as one, and how it becomes an image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvd_qgenx.data.images import ImageFiles
from hvd_qgenx.errors import ConfigurationError, LocalError
from tests.data.pictures import folder, save


def test_a_folder_has_a_class_for_every_folder_in_it(tmp_path):
    for place, colour in (("b/1.png", 10), ("a/2.jpg", 20), ("a/deep/1.png", 30), ("c/3.webp", 40)):
        save(tmp_path / place, "L", colour=colour)
    (tmp_path / "a" / "readme.txt").write_text("no picture")
    images = folder(tmp_path, side=8)
    pixels, labels = images.take(range(4))
    assert (len(images), images.classes, images.channels) == (4, 3, 3)
    assert labels.tolist() == [0, 0, 1, 2]
    torch.testing.assert_close(
        pixels[:, 1, 4, 4].int(), torch.tensor([20, 30, 10, 40], dtype=torch.int), atol=2, rtol=0
    )


def test_one_class_will_do(tmp_path):
    save(tmp_path / "all" / "1.png")
    assert (folder(tmp_path).classes, folder(tmp_path).side) == (1, 64)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 7, (7, 7, 7)),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3)),
        ("LA", (7, 0), (7, 7, 7)),
        ("P", 0, (0, 0, 0)),
        ("1", 1, (255,) * 3),
    ],
)
def test_any_kind_of_picture_becomes_colour(mode, colour, expected, tmp_path):
    save(tmp_path / "a" / "1.png", mode, colour=colour)
    assert folder(tmp_path).take([0])[0][0, :, 5, 5].tolist() == list(expected)


@pytest.mark.parametrize("size", [(40, 20), (20, 40)])
def test_the_middle_square_is_taken(size, tmp_path):
    save(tmp_path / "a" / "1.png", size=size, colour=(255, 0, 0))
    with Image.open(tmp_path / "a" / "1.png") as picture:
        left, top = (size[0] - 20) // 2, (size[1] - 20) // 2
        picture.paste((0, 255, 0), (left, top, left + 20, top + 20))
        picture.save(tmp_path / "a" / "1.png")
    pixels, _ = folder(tmp_path, side=20).take([0])
    assert torch.equal(pixels, torch.tensor([0, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand_as(pixels))


def test_pictures_of_their_side_are_left_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    save(tmp_path / "a" / "1.png")
    Image.fromarray(pixels).save(tmp_path / "a" / "1.png")
    assert np.array_equal(folder(tmp_path, side=8).take([0])[0][0].permute(1, 2, 0), pixels)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda path: path.mkdir(),
            r"images holds no class folders; name with --data-dir a folder that holds a folder of",
        ),
        (lambda path: save(path / "1.png"), r"holds 1 picture but no class folders: move them .*such as .*images/all$"),
        (lambda path: (path / "a").mkdir(parents=True), r"holds no pictures of a: put some into"),
        (
            lambda path: (save(path / "a" / "1.txt", format="PNG"), save(path / "b" / "1.png")),
            r"holds no pictures of a:",
        ),
        (lambda path: None, r"no folder in .*\(.*No such file.*--data-dir"),
        (lambda path: (save(path / "a" / "1.png"), (path / "a" / "2.png").touch()), r"2\.png \(it is empty\)"),
    ],
)
def test_what_is_no_folder_of_images_is_found_before_training(make: Callable[[Path], None], sentence, tmp_path):
    make(tmp_path / "images")
    with pytest.raises(ConfigurationError, match=sentence):
        folder(tmp_path / "images")


def test_a_picture_that_is_damaged_later_is_named(tmp_path):
    save(tmp_path / "a" / "1.png")
    images = folder(tmp_path)
    (tmp_path / "a" / "1.png").write_text("no picture")
    with pytest.raises(LocalError, match=r"cannot read the image .*1\.png \(not a picture of a known format\)"):
        images.take([0])


def test_files_are_known_by_name_contents_and_side(tmp_path):
    for place in ("here", "there"):
        save(tmp_path / place / "a" / "1.ppm")
    here, there = (folder(tmp_path / place) for place in ("here", "there"))
    assert here.fingerprint() == there.fingerprint() == here.scaled(32).scaled(64).fingerprint()
    save(tmp_path / "there" / "a" / "1.ppm", colour=101)  # of the same size
    others = [folder(tmp_path / "there").fingerprint(), here.scaled(32).fingerprint()]
    (tmp_path / "here" / "a" / "1.ppm").rename(tmp_path / "here" / "a" / "2.ppm")
    others.append(folder(tmp_path / "here").fingerprint())
    assert len({here.fingerprint(), *others}) == 4


@pytest.mark.parametrize(
    "place",
    [
        *("a/.hidden.png", "a/._1.png", "a/.ipynb_checkpoints/1.png", ".git/1.png", "a/Thumbs.db", "a/desktop.ini"),
        *("__MACOSX/a/1.png", "a/__MACOSX/1.png", ".DS_Store", "a/.DS_Store", "cifar10-resnet/weights.th"),
    ],
)
def test_hidden_files_and_what_systems_leave_are_ignored(place, tmp_path):
    save(tmp_path / "a" / "1.png")
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("no picture")
    images = folder(tmp_path)
    assert (len(images), images.class_names, dict(images.skipped)) == (1, ("a",), {})


def test_hidden_classes_make_no_difference_between_parts(tmp_path):
    for place in ("train/a/1.png", "test/a/1.png", "train/.ipynb_checkpoints/1.png", "test/__MACOSX/1.png"):
        save(tmp_path / place)
    assert folder(tmp_path, part="train").class_names == folder(tmp_path, part="test").class_names == ("a",)


def test_other_files_are_counted_by_kind(tmp_path):
    for place in ("cat/1.png", "dog/1.JPG", "one/1.gif"):
        save(tmp_path / place)
    assert folder(tmp_path).describe() == "3 images in 3 classes: cat, dog, one"
    for place in ("cat/readme", "dog/a.txt", "dog/b.TXT", "c.heic"):
        (tmp_path / place).write_text("no picture")
    save(tmp_path / "loose.png")
    images = folder(tmp_path)
    assert images.skipped == {"no ending": 1, ".txt": 2, ".heic": 1, "outside of class folders": 1}
    assert images.describe() == (
        "3 images in 3 classes: cat, dog, one; 5 files skipped (.heic, outside of class folders, no ending, 2 .txt)"
    )


def test_of_many_classes_the_first_are_named(tmp_path):
    for name in "abcdefghij":
        save(tmp_path / name / "1.png")
    assert folder(tmp_path).describe() == "10 images in 10 classes: a, b, c, d, e, f, g, h and 2 more"


def test_links_are_followed_but_not_upwards(tmp_path):
    save(tmp_path / "elsewhere" / "1.png")
    save(tmp_path / "data" / "a" / "2.png")
    (tmp_path / "data" / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")
    images = folder(tmp_path / "data")
    assert isinstance(images, ImageFiles)
    assert images.files == ["a/2.png", "a/linked/1.png"]


def test_an_animated_picture_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    (tmp_path / "a").mkdir()
    for name in ("1.gif", "2.webp", "3.png", "4.tiff"):
        frames[0].save(tmp_path / "a" / name, save_all=True, append_images=frames[1:])
    pixels, _ = folder(tmp_path, side=8).take(range(4))
    assert (pixels[:, 0].min() > 190, pixels[:, 1:].max() < 10) == (True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(orientation, tmp_path):
    corners = np.zeros((8, 8, 3), np.uint8)
    corners[:4, :4], corners[:4, 4:], corners[4:, :4] = 60, 120, 180  # upper left, upper right, lower left
    undo = {  # how a camera that is held otherwise stores it
        **{1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud},
        **{5: lambda x: x.transpose(1, 0, 2), 6: lambda x: np.rot90(x, 1)},
        **{7: lambda x: np.rot90(x, 2).transpose(1, 0, 2), 8: lambda x: np.rot90(x, -1)},
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    Image.fromarray(np.ascontiguousarray(undo[orientation](corners))).save(tmp_path / "a" / "1.png", exif=exif)
    assert torch.equal(folder(tmp_path, side=8).take([0])[0][0].permute(1, 2, 0), torch.from_numpy(corners))


def test_damaged_exif_data_do_no_harm(tmp_path):
    save(tmp_path / "a" / "1.jpg", exif=b"Exif\0\0MM\0*\0\0\0\xff" + b"\xff" * 9)
    assert folder(tmp_path, side=8).take([0])[0].shape == (1, 3, 8, 8)
