"""Scores of generated images: FID, KID, Inception score, and Fréchet distances on other features."""

from hvd_qgenx.scores.choice import make_extractor
from hvd_qgenx.scores.extractor import Extractor, Features, Images
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.scores.scorer import Scorer, samples_note

__all__ = ["EXTRACTORS", "Extractor", "Features", "Images", "Scorer", "make_extractor", "samples_note"]
