"""Image grids of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hvd_qgenx.runs.folder import write_atomically

TITLE = 21
"""Height of a panel's title, in pixels."""


def to_bytes(images: Tensor) -> Tensor:
    """Converts images from [-1, 1] to uint8."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def save_grid(images: Tensor, path: Path, columns: int, least_side: int = 480) -> None:
    """Writes images (N, channels, side, side) in [-1, 1] as one picture, enlarged by an integer factor.

    It is a PNG, unless the path ends like a picture of another kind.
    """
    picture = _grid(images, columns)
    enlarged = _enlarged(picture, -(-least_side // min(picture.size)))
    kind = Image.registered_extensions().get(path.suffix.lower(), "PNG")
    write_atomically(path, lambda file: enlarged.save(file, format=kind))


class Panel(NamedTuple):
    """A grid of images under a title."""

    title: str
    images: Tensor
    """Shape (N, channels, side, side), in [-1, 1]."""
    columns: int


def save_panels(panels: Sequence[Panel], path: Path, least_width: int = 640) -> None:
    """Writes panels below each other as one PNG, all enlarged by the same integer factor."""
    grids = [_grid(panel.images, panel.columns) for panel in panels]
    zoom = -(-least_width // max(grid.width for grid in grids))
    grids = [_enlarged(grid, zoom) for grid in grids]
    size = max(grid.width for grid in grids), sum(TITLE + grid.height for grid in grids)
    picture = Image.new("RGB", size, "white")
    pen, font, top = ImageDraw.Draw(picture), ImageFont.load_default(TITLE * 2 // 3), 0
    for panel, grid in zip(panels, grids, strict=True):
        pen.text((2, top + TITLE // 2), panel.title, fill="black", font=font, anchor="lm")
        picture.paste(grid, (0, top + TITLE))
        top += TITLE + grid.height
    write_atomically(path, lambda file: picture.save(file, format="png"))


def _grid(images: Tensor, columns: int) -> Image.Image:
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), 255, dtype=torch.uint8)
    for index, image in enumerate(to_bytes(images)):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = image
    return Image.fromarray(canvas.permute(1, 2, 0).squeeze(2).numpy())


def _enlarged(picture: Image.Image, factor: int) -> Image.Image:
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
