"""The check of all pictures before training, and what is remembered of it."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvd_qgenx import data
from hvd_qgenx.data import checking
from hvd_qgenx.data.images import ImageFiles
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess
from tests.data.pictures import folder, save

GARBAGE = b"no picture"


def spoil(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GARBAGE)


@pytest.fixture
def judged(monkeypatch):
    """The files that were decoded, in the order of their results."""
    found = []
    judge = checking._judge

    def noted(folder, file):
        found.append(file)
        return judge(folder, file)

    monkeypatch.setattr(checking, "_judge", noted)
    return found


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (spoil, "not a picture of a known format"),
        (lambda path: path.touch(), "it is empty"),
        (lambda path: path.symlink_to("nothing"), "it is missing, or no file"),
        (lambda path: os.mkfifo(path), "it is missing, or no file"),
        (lambda path: save(path, "I;16", colour=40000), "more than 8 bits a channel"),
        (lambda path: (noise(path), path.write_bytes(path.read_bytes()[:900])), "truncated"),
    ],
    ids=["text", "empty", "dangling", "pipe", "16-bit", "cut"],
)
def test_a_damaged_picture_is_named_before_training_or_left_out(make, fault, tmp_path):
    save(tmp_path / "a" / "1.png")
    make(tmp_path / "a" / "2.png")
    advice = "repair or remove it, or add --skip-damaged$"
    with pytest.raises(ConfigurationError, match=rf"^cannot read the image .*a/2\.png \(.*{fault}.*\); {advice}"):
        folder(tmp_path)
    images = folder(tmp_path, skip_damaged=True)
    assert (len(images), images.damaged) == (1, ("a/2.png",))
    assert images.describe() == "1 image in 1 class: a; 1 damaged image left out"
    (tmp_path / "a" / "2.png").unlink()
    assert folder(tmp_path).fingerprint() == images.fingerprint()


def noise(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)).save(path)


def test_of_many_damaged_pictures_three_are_named_and_all_are_listed(tmp_path, caplog):
    save(tmp_path / "a" / "0.png")
    for number in range(1, 6):
        spoil(tmp_path / "a" / f"{number}.png")
    with pytest.raises(
        ConfigurationError, match=r"cannot read 5 of 6 images: .*1\.png .*2\.png .*3\.png .* and 2 more;"
    ):
        folder(tmp_path)
    assert all(f"a/{number}.png (not a picture" in caplog.text for number in range(1, 6))


def test_a_class_whose_pictures_are_all_damaged_is_named(tmp_path):
    save(tmp_path / "a" / "1.png")
    spoil(tmp_path / "b" / "1.png")
    with pytest.raises(ConfigurationError, match=r"no image of b in .* can be read"):
        folder(tmp_path, skip_damaged=True)


def test_a_file_is_decoded_once_until_it_changes(tmp_path, judged):
    for number in range(4):
        save(tmp_path / "a" / f"{number}.png")
    spoil(tmp_path / "a" / "1.png")
    first = folder(tmp_path, skip_damaged=True)
    assert judged == [f"a/{number}.png" for number in range(4)]
    again = folder(tmp_path, skip_damaged=True)
    assert (len(judged), again.damaged, again.fingerprint()) == (4, first.damaged, first.fingerprint())
    save(tmp_path / "a" / "1.png")
    os.utime(tmp_path / "a" / "2.png", ns=(0, 0))
    save(tmp_path / "a" / "4.png")
    assert len(folder(tmp_path)) == 5
    assert judged[4:] == ["a/1.png", "a/2.png", "a/4.png"]


def test_an_interrupted_check_goes_on_where_it_was(tmp_path, judged, monkeypatch):
    for number in range(80):
        save(tmp_path / "a" / f"{number:02d}.png")
    bar = checking.progress_bar

    def interrupted(*arguments):
        found = bar(*arguments)
        ticks = iter(range(7))

        def update():
            if next(ticks, None) is None:
                raise KeyboardInterrupt

        found.update = update
        return found

    with monkeypatch.context() as patch:
        patch.setattr(checking, "progress_bar", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder(tmp_path)
    judged.clear()
    assert len(folder(tmp_path)) == 80
    assert judged == [f"a/{number:02d}.png" for number in range(8, 80)]


def test_a_damaged_memory_is_made_anew(tmp_path, judged):
    save(tmp_path / "a" / "1.png")
    folder(tmp_path)
    (kept,) = (Path(os.environ["XDG_CACHE_HOME"]) / "hvd-qgenx" / "pictures").iterdir()
    for contents in (b"", GARBAGE, kept.read_bytes()[:-40]):
        kept.write_bytes(contents)
        assert len(folder(tmp_path)) == 1
    assert judged == ["a/1.png"] * 4


def test_rank_0_alone_decodes_and_all_ranks_have_its_list(tmp_path, judged):
    for number in range(4):
        save(tmp_path / "a" / f"{number}.png")
    spoil(tmp_path / "a" / "2.png")
    ranks = inprocess.run(3, lambda transport: data.load("folder", tmp_path, False, transport, skip_damaged=True))
    assert len(judged) == 4
    assert len({images.fingerprint() for images in ranks}) == 1
    assert [images.files for images in ranks if isinstance(images, ImageFiles)] == [
        ["a/0.png", "a/1.png", "a/3.png"]
    ] * 3

    def refused(transport):
        with pytest.raises(ConfigurationError, match=r"cannot read the image .*2\.png"):
            data.load("folder", tmp_path, False, transport)

    inprocess.run(3, refused)


def test_what_pillow_warns_of_is_not_printed(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\0\0\xff\xff\xff\xff"
    save(tmp_path / "a" / "1.jpg", exif=exif)
    with (
        pytest.warns(UserWarning, match=r"larger than file|EXIF|Truncated"),
        Image.open(tmp_path / "a" / "1.jpg") as image,
    ):
        image.getexif()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder(tmp_path).take([0])
    assert not caught


def test_results_come_in_order_and_few_wait():
    taken = []

    def items():
        for number in range(200):
            taken.append(number)
            yield number

    results = checking.side_by_side(lambda number: -number, items())
    assert next(results) == 0
    assert len(taken) == checking.AHEAD
    assert list(results) == [-number for number in range(1, 200)]
