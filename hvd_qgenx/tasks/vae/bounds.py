"""Bounds on the likelihood of test images, computed by all ranks together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data import ImageSet, evaluated_in_blocks, normalized
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.tasks.vae.divergence import divergence, estimate
from hvd_qgenx.tasks.vae.likelihood import Likelihood
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder, Posterior, pixel_values
from hvd_qgenx.transport import Transport

SCORES = ("negative_elbo", "reconstruction", "kl")
IMPORTANCE = "negative_iwae"
"""The score beside them, if there are importance samples."""
BLOCK = 250
"""Images that a rank takes through the model at once."""


@dataclass(frozen=True)
class Found:
    """Sums over a block of test images, in nats."""

    reconstruction: float
    kl: float
    importance: float


@dataclass(frozen=True)
class Bounds:
    """How images are scored.

    Attributes:
        likelihood: of pixels.
        seed: decides the codes of the images, a function of the block that an image is in.
        samples: codes of every image for the importance-weighted bound; 0: no such bound.
    """

    likelihood: Likelihood
    seed: int
    samples: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scores."""
        return (*SCORES, IMPORTANCE) if self.samples else SCORES

    def evaluate(
        self, model: Autoencoder, images: ImageSet, device: torch.device, transport: Transport, count: int | None = None
    ) -> dict[str, float]:
        """Returns the means over images of the negative evidence lower bound, its two parts, and the tighter bound.

        Every one of the first ``count`` images (None: of all) counts once, with one code. All are in nats per image,
        and the same bits for any number of ranks. Collective.
        """
        count = min(count or len(images), len(images))

        def look(number: int, places: range) -> Found:
            pixels = pixel_values(normalized(images.take(places)[0])).to(device)
            return self._look_at(model, pixels, generator(self.seed, RandomStream.CODES, number))

        return self._means(evaluated_in_blocks(count, BLOCK, transport, "test", look), count)

    def _means(self, found: Sequence[Found], count: int) -> dict[str, float]:
        reconstruction = math.fsum(each.reconstruction for each in found) / count
        kl = math.fsum(each.kl for each in found) / count
        importance = math.fsum(each.importance for each in found) / count
        values = (reconstruction + kl, reconstruction, kl, importance)
        return dict(zip(self.names, values, strict=False))

    @torch.inference_mode()  # whose tensors Horovod does not take: nothing collective in here
    def _look_at(self, model: Autoencoder, pixels: Tensor, random: torch.Generator) -> Found:
        posterior = model.encode(pixels)
        reconstruction, _ = self._code(model, pixels, posterior, random)
        weights = []
        for _ in range(self.samples):
            negative_log, codes = self._code(model, pixels, posterior, random)
            weights.append(-negative_log - estimate(codes, posterior).double())
        mean = torch.logsumexp(torch.stack(weights), 0) - math.log(self.samples) if weights else pixels.new_zeros(1)
        return Found(float(reconstruction.sum()), float(divergence(posterior).double().sum()), -float(mean.sum()))

    def _code(
        self, model: Autoencoder, pixels: Tensor, posterior: Posterior, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Returns -log p(x|z) in float64 and z for one code of every image."""
        noise = torch.randn(posterior.mean.shape, generator=random).to(pixels.device)
        codes = posterior.codes(noise)
        return self.likelihood.negative_log(model.decode(codes), pixels).double(), codes
