"""Decodes pictures in files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from compressors.naming import shortened
from hvd_qgenx.arrays import UnreadableError

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that are read, where its build can."""


@cache
def endings() -> frozenset[str]:
    """Returns the endings, in lower case, of files that can be read."""
    Image.init()
    return frozenset(ending for ending, name in Image.EXTENSION.items() if name in FORMATS and name in Image.OPEN)


def decoded(file: Path | IO[bytes]) -> Image.Image:
    """Returns a picture in colour, upright by its EXIF orientation; of an animated one the first frame.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":  # Pillow would clip these at 255
                raise UnreadableError("more than 8 bits a channel")
            _turn_upright(image)
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise UnreadableError("not a picture of a known format") from error
    except UnreadableError:
        raise
    except Exception as error:  # damaged files raise many kinds
        raise UnreadableError(shortened(str(error)) or type(error).__name__) from error


def _turn_upright(image: Image.Image) -> None:
    """Turns or mirrors a picture as its EXIF orientation says; leaves it as it is if its EXIF data are damaged."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # of many kinds; a damaged picture itself is found when it is converted
        return


def square(image: Image.Image, side: int) -> Tensor:
    """Returns the largest square in the middle, scaled with antialiasing, uint8 (channels, side, side)."""
    pixels = torch.from_numpy(np.array(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)))
    return pixels.view(side, side, -1).permute(2, 0, 1)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignores Pillow's warnings, which would break a progress bar into pieces."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
