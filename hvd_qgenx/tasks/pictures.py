"""Writes sampled images to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import figures

OPTIONS: Mapping[str, Any] = {"count": 64, "columns": 8, "seed": None, "out": None, "separately": None}
"""The options of ``hvd-qgenx sample`` for images, with their defaults."""


def check(options: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if images would go to two places."""
    if options["out"] is not None and options["separately"] is not None:
        raise ConfigurationError("images go into one picture or into a folder; give --out or --separately")


def write(images: Tensor, options: Mapping[str, Any], default: Path) -> str:
    """Writes images in [-1, 1] where the options say, by default as one picture; returns what to print.

    Raises:
        ConfigurationError: a folder cannot be made.
    """
    if options["separately"] is not None:
        write_separately(images, options["separately"])
        return f"{len(images)} images in {options['separately']}"
    path = options["out"] or default
    write_grid(images, path, options["columns"])
    return f"{len(images)} images in {path}"


def write_grid(images: Tensor, path: Path, columns: int) -> None:
    """Writes all images as one picture; creates its folder if necessary.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    _make(path.parent)
    figures.save_grid(images, path, columns)


def write_separately(images: Tensor, folder: Path) -> None:
    """Writes every image as a PNG of its own into a folder; creates it if necessary.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    _make(folder)
    digits = len(str(len(images) - 1))
    for number, pixels in enumerate(figures.to_bytes(images).permute(0, 2, 3, 1)):
        Image.fromarray(pixels.squeeze(2).numpy()).save(folder / f"{number:0{digits}d}.png")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
