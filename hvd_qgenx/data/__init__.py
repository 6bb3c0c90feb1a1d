"""Real images, and the stream of batches that every rank draws its share of."""

from hvd_qgenx.data.batches import Batches
from hvd_qgenx.data.images import ImageFiles, ImageSet, InMemory
from hvd_qgenx.data.sets import DATASETS, load

__all__ = ["DATASETS", "Batches", "ImageFiles", "ImageSet", "InMemory", "load"]
