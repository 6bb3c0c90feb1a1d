"""Samples of a saved generator, as a picture or as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvd_qgenx.tasks import pictures
from hvd_qgenx.tasks.gan import samples
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.sampling import completed


def sample(run: Path, asked: Mapping[str, Any]) -> str:
    """Draws images; see ``hvd_qgenx.tasks.sampling``."""
    options = completed("gan", asked, weights="ema", classes=None, **pictures.OPTIONS)
    pictures.check(options)
    saved, weights = SavedRun.read(run), options["weights"]
    seed = saved.config.seed if options["seed"] is None else options["seed"]
    images = samples.images(saved, weights, options["count"], seed, options["classes"])
    return pictures.write(images, options, run / "samples" / pictures.name(weights, saved.updates, options))
