"""Scores of generated images: FID, KID, Inception score, and Fréchet distances on other features."""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy

__all__ = ["EXTRACTORS", "Extractor", "Features", "Images", "Scorer", "make_extractor", "samples_note"]

if TYPE_CHECKING:
    from hvd_qgenx.scores.choice import make_extractor
    from hvd_qgenx.scores.extractor import Extractor, Features, Images
    from hvd_qgenx.scores.registry import EXTRACTORS
    from hvd_qgenx.scores.scorer import Scorer, samples_note
else:
    __getattr__ = lazy(
        __name__,
        {
            "EXTRACTORS": "hvd_qgenx.scores.registry",
            "Extractor": "hvd_qgenx.scores.extractor",
            "Features": "hvd_qgenx.scores.extractor",
            "Images": "hvd_qgenx.scores.extractor",
            "Scorer": "hvd_qgenx.scores.scorer",
            "make_extractor": "hvd_qgenx.scores.choice",
            "samples_note": "hvd_qgenx.scores.scorer",
        },
    )
