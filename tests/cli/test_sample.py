"""hvd-qgenx sample: pictures of finished and of interrupted runs."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main

QUICK = ("gan", "--filters", "4", "--latent", "8", "--batch-size", "8", "--sample-every", "4", "--generator-lr", "0.05")


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(out, *arguments: object):
    result = call(*QUICK, "--updates", 4, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return out


def draw(run, out, *arguments: object) -> bytes:
    result = call("sample", run, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return out.read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "conditional", "--conditional")


@pytest.fixture
def run(finished, tmp_path):
    """The finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def test_a_grid_goes_to_the_runs_samples(run):
    result = call("sample", run)
    assert result.exit_code == 0, result.output
    assert f"64 images in {run / 'samples' / 'ema-4.png'}" in result.output
    assert min(Image.open(run / "samples" / "ema-4.png").size) >= 480


def test_the_last_weights_make_the_pictures_of_training(run, tmp_path):
    assert draw(run, tmp_path / "new" / "grid.png", "--weights", "raw") == (run / "samples" / "000004.png").read_bytes()


def test_weights_and_seed_decide_what_is_drawn(run, tmp_path):
    ways = [("--weights", "raw"), (), ("--weights", "uniform"), ("--weights", "ergodic"), ("--seed", 1)]
    drawn = [draw(run, tmp_path / f"{number}.png", *way) for number, way in enumerate(ways)]
    assert len(set(drawn)) == len(drawn)
    assert draw(run, tmp_path / "again.png", "--seed", 1) == drawn[-1]
    assert draw(run, tmp_path / "own.png", "--seed", 0) == drawn[1]


def test_images_by_themselves_are_as_large_as_they_are(run, tmp_path):
    folder = tmp_path / "one" / "by one"
    result = call("sample", run, "--count", 300, "--separately", folder)
    assert result.exit_code == 0, result.output
    paths = sorted(folder.iterdir())
    assert [path.name for path in paths] == [f"{number:03d}.png" for number in range(300)]
    images = np.stack([np.array(Image.open(path)) for path in paths])
    assert images.shape == (300, 8, 8)
    assert len(np.unique(images, axis=0)) == 300
    assert np.ptp(images) > 10
    assert not (run / "samples" / "ema-4.png").exists()


def test_classes_are_taken_in_turn(conditional, tmp_path):
    def images(folder, *arguments: object):
        result = call("sample", conditional, "--separately", tmp_path / folder, *arguments)
        assert result.exit_code == 0, result.output
        return [path.read_bytes() for path in sorted((tmp_path / folder).iterdir())]

    mixed, threes, fives = (images(labels, "--count", 5, "--classes", labels) for labels in ("3,5", "3", "5"))
    assert threes != fives
    assert mixed == [threes[0], fives[1], threes[2], fives[3], threes[4]]
    assert images("any", "--count", 5) not in (threes, fives)


@pytest.mark.parametrize("classes", [(), ("--classes", "3,5,7")], ids=["any", "asked"])
def test_the_first_images_do_not_depend_on_how_many_there_are(conditional, tmp_path, classes):
    def images(count: int) -> list[bytes]:
        folder = tmp_path / str(count)
        result = call("sample", conditional, "--count", count, "--separately", folder, *classes)
        assert result.exit_code == 0, result.output
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    few, many = images(5), images(130)
    assert len(set(many)) == 130
    assert many[:5] == few


def test_other_classes_and_seeds_have_other_names(conditional):
    for asked, name in ((("--seed", 7), "ema-4-seed7"), (("--classes", "3,5"), "ema-4-classes-3-5")):
        assert call("sample", conditional, *asked).exit_code == 0
        assert (conditional / "samples" / f"{name}.png").exists()


def test_the_ending_of_a_picture_says_its_kind(run, tmp_path):
    for ending, kind in (("jpg", "JPEG"), ("webp", "WEBP"), ("PNG", "PNG")):
        draw(run, tmp_path / f"a.{ending}")
        assert Image.open(tmp_path / f"a.{ending}").format == kind


def test_images_are_not_mixed_with_other_files(run, tmp_path):
    folder = tmp_path / "images"
    for _ in range(2):  # the same images again
        assert call("sample", run, "--count", 12, "--separately", folder).exit_code == 0
    result = call("sample", run, "--count", 11, "--separately", folder)
    assert result.exit_code == 2
    assert f"{folder} holds other files, like 11.png, which would mix with the images" in result.stderr
    assert len(list(folder.iterdir())) == 12


def test_an_interrupted_run_is_drawn_from_its_checkpoint(run):
    (run / "summary.json").unlink()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "updates": 1000}))
    assert call("sample", run).exit_code == 0
    assert (run / "samples" / "ema-4.png").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "emma"], "unknown weights 'emma'; did you mean 'ema'?"),
        (["--classes", "3"], "the run is not conditional"),
        (["--classes", "3,"], "'3,' is not a list of classes"),
        (["--out", "a.png", "--separately", "b"], "give --out or --separately"),
        (["--out", "a.pdf"], "a.pdf would be no picture; give --out the ending .png, .jpg"),
        (["--count", "0"], "Invalid value for '--count'"),
        (["--out", "{run}/config.json/a.png"], "cannot write to"),
    ],
)
def test_bad_input(run, arguments, sentence):
    result = call("sample", run, *(argument.format(run=run) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr


def test_a_class_that_there_is_not(conditional):
    for asked, unknown in (("3,10", "10"), ("three", "three"), ("-1", "-1")):
        result = call("sample", conditional, "--classes", asked)
        assert (result.exit_code, f"there is no class {unknown}; choose from 0 to 9\n" in result.stderr) == (2, True)


def test_a_run_without_a_checkpoint(run):
    (run / "checkpoint.pt").unlink()
    result = call("sample", run)
    assert (result.exit_code, "stopped before its first one" in result.stderr) == (2, True)
