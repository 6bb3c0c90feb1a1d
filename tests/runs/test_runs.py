"""Files of a run survive interruptions."""

import pytest
import torch
from PIL import Image

from hvd_qgenx.runs import MetricsLog, checkpoint, figures
from hvd_qgenx.runs.folder import write_atomically


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, "test", {"x": torch.ones(2)})

    def fails(file):
        file.write(b"half of it")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fails)
    assert torch.equal(checkpoint.load(path, "test")["x"], torch.ones(2))


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
