"""Real images, and the stream of batches that every rank draws its share of."""

from hvd_qgenx.gan.data.batches import Batches
from hvd_qgenx.gan.data.sets import DATASETS, ImageSet, InMemory, load

__all__ = ["DATASETS", "Batches", "ImageSet", "InMemory", "load"]
