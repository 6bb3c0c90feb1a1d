"""Pictures of a run."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from hvd_qgenx.runs.folder import naming


def save_grid(images: Tensor, path: Path, columns: int, least_side: int = 480) -> None:
    """Writes images (N, channels, side, side) in [-1, 1] as one PNG, enlarged by whole pixels."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.ones(channels, rows * (height + 1) + 1, columns * (width + 1) + 1)
    for index, image in enumerate(images.clamp(-1, 1)):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = image
    pixels = ((canvas + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).squeeze(2).numpy()
    picture = Image.fromarray(pixels)
    zoom = -(-least_side // min(picture.size))
    with naming(path):
        picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)
