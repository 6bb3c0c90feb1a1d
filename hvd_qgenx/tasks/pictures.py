"""Writes sampled images to files."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import figures

OPTIONS: Mapping[str, Any] = {"count": 64, "columns": 8, "seed": None, "out": None, "separately": None}
"""The options of ``hvd-qgenx sample`` for images, with their defaults."""
KINDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Endings of pictures that can be written."""


def check(options: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if images would go to two places, among others, or into a file of no known kind."""
    out, folder = options["out"], options["separately"]
    if out is not None and folder is not None:
        raise ConfigurationError("images go into one picture or into a folder; give --out or --separately")
    if out is not None and out.suffix.lower() not in KINDS:
        raise ConfigurationError(f"{out} would be no picture; give --out the ending {', '.join(KINDS)}")
    others = set(os.listdir(folder)) - set(_names(options["count"])) if folder is not None and folder.is_dir() else ()
    if others:
        raise ConfigurationError(
            f"{folder} holds other files, like {min(others)}, which would mix with the images; choose an empty folder"
        )


def name(weights: str, updates: float, options: Mapping[str, Any]) -> str:
    """Returns the name of the picture of these weights, which says in what it differs from that of the defaults."""
    classes, seed = options.get("classes"), options["seed"]
    parts = [weights, f"{updates}"]
    parts += ["classes", *(re.sub(r"[^\w.-]+", "_", word) for word in classes)] if classes else []
    parts += [f"seed{seed}"] if seed is not None else []
    return f"{'-'.join(parts)}.png"


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
    """Writes all images as one picture, of the kind that the path's ending says; creates its folder if necessary.

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
    for name, pixels in zip(_names(len(images)), figures.to_bytes(images).permute(0, 2, 3, 1), strict=True):
        Image.fromarray(pixels.squeeze(2).numpy()).save(folder / name)


def _names(count: int) -> list[str]:
    """Returns the names of images by themselves."""
    digits = len(str(count - 1))
    return [f"{number:0{digits}d}.png" for number in range(count)]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
