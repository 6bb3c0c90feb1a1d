"""A folder of pictures, from the first command to samples: what is printed, stored and refused."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main

QUICK = ("gan", "--filters", 4, "--latent", 8, "--batch-size", 4, "--image-size", 16, "--checkpoint-every", 1)


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def save(path, seed: int = 0, size: int = 20):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of pictures, and a run that was trained on them."""
    path = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("cat", "cat", "cat", "dog", "dog", "one")):
        save(path / "pictures" / name / f"{number}.png", number)
    (path / "pictures" / "dog" / "notes.txt").write_text("no picture")
    (path / "pictures" / "dog" / ".DS_Store").touch()
    result = call(
        *(*QUICK, "--dataset", "folder", "--data-dir", path / "pictures", "--conditional"),
        *("--updates", 1, "--out", path / "run"),
    )
    assert result.exit_code == 0, result.output
    assert "6 images in 3 classes: cat, dog, one; 1 file skipped (.txt)\n" in result.stderr
    return path


@pytest.fixture
def run(made, tmp_path):
    """The same to be changed: the run's folder, whose pictures are elsewhere than when it began."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)  # with other times
    return tmp_path / "run"


def resume(run, *arguments: object):
    updates = json.loads((run / "config.json").read_text())["updates"] + 1
    return call("gan", "--resume", run, "--data-dir", run.parent / "pictures", "--updates", updates, *arguments)


def test_the_configuration_says_what_was_found(made):
    stored = json.loads((made / "run" / "config.json").read_text())["images"]
    assert stored == {"count": 6, "classes": {"cat": 3, "dog": 2, "one": 1}, "skipped": {".txt": 1}, "damaged": []}


def test_a_copy_of_the_pictures_is_the_same_to_a_run(run):
    result = resume(run)
    assert result.exit_code == 0, result.output
    assert "Changed" not in result.stderr


def test_a_run_goes_on_with_changed_pictures_only_if_told_and_says_what_changed(run):
    pictures = run.parent / "pictures"
    (pictures / "cat" / "0.png").unlink()
    save(pictures / "dog" / "3.png", seed=33)
    save(pictures / "dog" / "9.png")
    changes = "1 file removed: cat/0.png; 1 file added: dog/9.png; 1 file replaced: dog/3.png"
    result = resume(run)
    assert result.exit_code == 2
    assert f"was trained on other images than folder in {pictures} has now ({changes})" in result.stderr
    assert "add --changed-data" in result.stderr
    result = resume(run, "--changed-data")
    assert result.exit_code == 0, result.output
    assert f"Changed since the last checkpoint: {changes}\n" in result.stderr
    result = resume(run)
    assert result.exit_code == 0, result.output
    assert "Changed" not in result.stderr
    save(pictures / "cat" / "10.png")
    assert resume(run).exit_code == 2  # to be told again


def test_a_picture_that_is_damaged_meanwhile_can_be_left_out(run):
    (run.parent / "pictures" / "cat" / "1.png").write_text("no picture")
    result = resume(run)
    assert result.exit_code == 2
    assert "cat/1.png (not a picture of a known format); repair or remove it, or add --skip-damaged" in result.stderr
    result = resume(run, "--skip-damaged", "--changed-data")
    assert result.exit_code == 0, result.output
    assert "5 images in 3 classes: cat, dog, one; 1 file skipped (.txt); 1 damaged image left out\n" in result.stderr
    assert "1 file removed: cat/1.png\n" in result.stderr
    assert json.loads((run / "config.json").read_text())["images"]["damaged"] == ["cat/1.png"]
    assert resume(run).exit_code == 0  # a run that leaves out damaged pictures goes on so


def test_other_classes_are_refused(run):
    save(run.parent / "pictures" / "zebra" / "1.png")
    result = resume(run, "--changed-data")
    assert result.exit_code == 2
    assert "its class names are ['cat', 'dog', 'one', 'zebra'], not ['cat', 'dog', 'one']" in result.stderr


def test_nothing_is_written_if_a_picture_is_damaged(made, tmp_path):
    shutil.copytree(made / "pictures", tmp_path / "pictures")
    (tmp_path / "pictures" / "one" / "5.png").write_text("no picture")
    result = call(*QUICK, "--dataset", "folder", "--data-dir", tmp_path / "pictures", "--out", tmp_path / "run")
    assert (result.exit_code, (tmp_path / "run").exists()) == (2, False)


def test_classes_are_called_by_name_or_number(run):
    for asked, name in (("dog,cat", "dog-cat"), ("1,0", "1-0")):
        result = call("sample", run, "--classes", asked, "--count", 4)
        assert result.exit_code == 0, result.output
        assert (run / "samples" / f"ema-1-classes-{name}.png").exists()
    assert len({path.read_bytes() for path in run.glob("samples/ema-1-classes-*.png")}) == 1
    result = call("sample", run, "--classes", "dgo")
    assert result.exit_code == 2
    assert "there is no class dgo; choose from 0 to 2, or by name: cat, dog, one" in result.stderr


def test_a_name_that_is_a_number_is_a_name_first(tmp_path):
    for number in (0, 1, 10, 2):  # as they are sorted
        save(tmp_path / "pictures" / str(number) / "1.png", number)
    folder = ("--dataset", "folder", "--data-dir", tmp_path / "pictures")
    assert call(*QUICK, *folder, "--conditional", "--updates", 1, "--out", tmp_path / "run").exit_code == 0
    for asked, out in (("2", "two"), ("10", "ten"), ("3", "three")):
        assert call("sample", tmp_path / "run", "--classes", asked, "--out", tmp_path / f"{out}.png").exit_code == 0
    two, ten, three = ((tmp_path / f"{name}.png").read_bytes() for name in ("two", "ten", "three"))
    assert two == three != ten  # the label of the class called 2 is 3


@pytest.mark.parametrize("task", ["classify", "vae"])
def test_both_parts_are_described(task, made, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(made / "pictures", tmp_path / "pictures" / part)
    (tmp_path / "pictures" / "test" / "dog" / "4.png").unlink()
    model = {"classify": ("--model", "mlp"), "vae": ("--model", "mlp", "--width", 8)}[task]
    result = call(
        *(task, *model, "--dataset", "folder", "--data-dir", tmp_path / "pictures", "--image-size", 8),
        *("--batch-size", 4, "--epochs", 1, "--out", tmp_path / "run"),
    )
    assert result.exit_code == 0, result.output
    assert "training: 6 images in 3 classes: cat, dog, one; 1 file skipped (.txt)\n" in result.stderr
    assert "test: 5 images in 3 classes: cat, dog, one; 1 file skipped (.txt)\n" in result.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["images"]
    assert [stored[part]["count"] for part in ("train", "test")] == [6, 5]
    (tmp_path / "pictures" / "train" / "cat" / "0.png").unlink()
    refused, scored = (call("evaluate", tmp_path / "run", *more) for more in ((), ("--changed-data",)))
    assert (refused.exit_code, scored.exit_code) == (2, 0), scored.output
    assert "1 file removed: cat/0.png" in refused.stderr
