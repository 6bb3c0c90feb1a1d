"""Samples of a saved generator, as a picture or as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan import samples
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.sampling import completed


def sample(run: Path, asked: Mapping[str, Any]) -> str:
    """Draws images; see ``hvd_qgenx.tasks.sampling``."""
    options = completed(
        "gan", asked, weights="ema", count=64, columns=8, seed=None, classes=None, out=None, separately=None
    )
    if options["out"] is not None and options["separately"] is not None:
        raise ConfigurationError("images go into one picture or into a folder; give --out or --separately")
    saved, weights, count = SavedRun.read(run), options["weights"], options["count"]
    seed = saved.config.seed if options["seed"] is None else options["seed"]
    images = samples.images(saved, weights, count, seed, options["classes"])
    if options["separately"] is not None:
        samples.write_separately(images, options["separately"])
        return f"{count} images in {options['separately']}"
    path = options["out"] or run / "samples" / f"{weights}-{saved.updates}.png"
    samples.write_grid(images, path, options["columns"])
    return f"{count} images in {path}"
