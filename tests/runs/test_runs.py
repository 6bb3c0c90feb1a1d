"""Files of a run survive interruptions."""

import errno
import subprocess
import sys

import pytest
import torch
from PIL import Image

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import Divergence, MetricsLog, RunFolder, checkpoint, figures
from hvd_qgenx.runs.folder import write_atomically


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, "test", {"x": torch.ones(2)})

    def fails(file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match=r"disk full: '.*checkpoint.pt'"):
        write_atomically(path, fails)
    assert torch.equal(checkpoint.load(path, "test")["x"], torch.ones(2))
    assert list(tmp_path.iterdir()) == [path]


FILL = """
import resource, signal, sys, threading, torch
from contextlib import suppress
from pathlib import Path
from hvd_qgenx.runs import MetricsLog, checkpoint

folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoint.save(folder / "checkpoint.pt", "test", {"x": torch.ones(2)})
log = MetricsLog(folder / "metrics.csv", folder / "events", ("loss",))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # like a full disk: writing stops in the middle
for write in (
    lambda: checkpoint.save(folder / "checkpoint.pt", "test", {"x": torch.ones(100_000)}),
    lambda: [log.write(update, {"loss": 1 / 3}) for update in range(1000)],
):
    try:
        write()
    except OSError as error:
        print(error)
with suppress(OSError):
    log.close()
for thread in threading.enumerate():  # Python aborts if TensorBoard's still tells of its error at the end
    if thread.daemon:
        thread.join()
"""


def test_where_no_more_can_be_written_the_old_checkpoint_stays_and_the_error_names_the_file(tmp_path):
    done = subprocess.run([sys.executable, "-c", FILL, tmp_path], capture_output=True, text=True, check=True)
    named = [error.partition(": ")[2].strip("'") for error in done.stdout.splitlines()]
    assert named[0] == str(tmp_path / "checkpoint.pt")
    assert named[1] in (str(tmp_path / "metrics.csv"), str(tmp_path / "events"))  # both grow beyond the limit
    assert torch.equal(checkpoint.load(tmp_path / "checkpoint.pt", "test")["x"], torch.ones(2))


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    def log(start):
        return MetricsLog(tmp_path / "metrics.csv", tmp_path / "events", ("loss",), start)

    first = log(0)
    for update in (1, 2, 3):
        first.write(update, {"loss": update / 10})
    first.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,0.")  # cut off in the middle
    second = log(2)
    second.write(3, {"loss": 7})
    second.close()
    assert (tmp_path / "metrics.csv").read_text().split() == ["update,loss", "1,0.1", "2,0.2", "3,7"]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_grid(tmp_path, channels, mode):
    images = torch.full((5, channels, 8, 8), -1.0)
    images[1] = 1.0
    figures.save_grid(images, tmp_path / "grid.png", columns=3, least_side=38)
    picture = Image.open(tmp_path / "grid.png")
    assert (picture.mode, picture.size) == (mode, (56, 38))
    black, white = ((0,) * 3, (255,) * 3) if channels == 3 else (0, 255)
    assert picture.getpixel((10, 10)) == black
    assert picture.getpixel((28, 10)) == white


def test_a_record_of_divergence_may_have_several_writers(tmp_path):
    folder = RunFolder(tmp_path)
    assert Divergence.read(folder) is None
    for rank in (0, 3):
        Divergence(1234, f"the loss of rank {rank} is nan").write(folder)
    found = Divergence.read(folder)
    assert found == Divergence(1234, "the loss of rank 3 is nan")
    assert str(found) == "diverged after update 1,234"
    assert list(tmp_path.iterdir()) == [folder.divergence]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"update": "x", "sentence": ""}'])
def test_a_damaged_record_of_divergence_is_none(tmp_path, text):
    (tmp_path / "diverged.json").write_text(text)
    assert Divergence.read(RunFolder(tmp_path)) is None


@pytest.mark.parametrize("damage", [b"\n", b"\xff,1\n", b"x,1\n", b"nan,1\n", b",1\n"])
@pytest.mark.parametrize("name", ["metrics.csv", "scores.csv", "levels.csv", "ranks.csv"])
def test_a_damaged_table_of_a_run_that_is_to_go_on_is_named_and_stays(tmp_path, name, damage):
    (tmp_path / name).write_bytes(b"update,loss\n1,0.5\n" + damage)
    folder = RunFolder(tmp_path)
    with pytest.raises(ConfigurationError, match=f"{name} cannot be read: line 3 "):
        folder.reserve(again=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).write_bytes(b"\n\n")
    with pytest.raises(ConfigurationError, match=f"{name} cannot be read: line 1 does not name the columns"):
        folder.reserve(again=True)
