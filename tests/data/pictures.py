"""Folders of small pictures."""

from pathlib import Path
from typing import Any

from PIL import Image

from hvd_qgenx import data
from hvd_qgenx.transport import inprocess

ALONE = inprocess.InProcess()


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (8, 8), colour: Any = 100, **settings: Any) -> None:
    """Writes a picture of one colour; makes its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **settings)


def folder(path: Path, **settings: Any) -> data.ImageSet:
    """Loads a folder of pictures."""
    return data.load("folder", path, False, ALONE, **settings)
