"""Image grids of a run."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from hvd_qgenx.runs.folder import write_atomically


def to_bytes(images: Tensor) -> Tensor:
    """Converts images from [-1, 1] to uint8."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def save_grid(images: Tensor, path: Path, columns: int, least_side: int = 480) -> None:
    """Writes images (N, channels, side, side) in [-1, 1] as one PNG, enlarged by an integer factor."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), 255, dtype=torch.uint8)
    for index, image in enumerate(to_bytes(images)):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = image
    picture = Image.fromarray(canvas.permute(1, 2, 0).squeeze(2).numpy())
    zoom = -(-least_side // min(picture.size))
    enlarged = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    write_atomically(path, lambda file: enlarged.save(file, format="png"))
