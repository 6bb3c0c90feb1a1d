"""Scores generated images against real ones, computed on all ranks."""

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.data.cache import Cached
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import frechet
from hvd_qgenx.scores.extractor import Extractor, Features, Images
from hvd_qgenx.scores.frechet import Gaussian
from hvd_qgenx.scores.inception import fidelity
from hvd_qgenx.scores.sharing import extract
from hvd_qgenx.transport import Transport

VERSION = 1
"""Version of the cached statistics of real images; part of the cache's key."""
SPLITS = 10
"""Number of splits of the generated images for the Inception score, the usual one."""
SUBSET = 1000
"""Images in each of KID's 100 subsets, or all images if there are fewer."""
PER_DIMENSION = 10
"""``samples_note`` warns below this number of samples for each dimension of the features."""


class Scorer:
    """Scores any number of generators against one set of real images.

    With the extractor ``inception`` the scores are ``fid``, ``kid`` and ``inception_score``, as torch-fidelity
    defines them; with another one there is only a Fréchet distance, named after the extractor.

    Every rank generates its share of the images and extracts their features. Rank 0 receives the features in the order
    of the samples and computes in float64, so scores are the same bits for any number of ranks.
    """

    def __init__(
        self, extractor: Extractor, real: Images, transport: Transport, samples: int, flip: bool = False
    ) -> None:
        """
        Args:
            extractor: the same on all ranks.
            real: the real images; all of them are used.
            transport: the ranks.
            samples: number of generated images.
            flip: use the real images in both orientations, since the generators are trained on both.

        Raises:
            ConfigurationError: there are too few samples for any score.
        """
        if samples < SPLITS:
            raise ConfigurationError(f"{samples} samples are too few to score; use at least {SPLITS}")
        self.extractor, self.real, self.transport = extractor, real, transport
        self.samples, self.flip = samples, flip
        self._inception = extractor.name == "inception"
        self.distance = "fid" if self._inception else f"frechet_{extractor.name}"
        """The name of the Fréchet distance."""
        self.names: tuple[str, ...] = (self.distance, "kid", "inception_score") if self._inception else (self.distance,)
        self.bias: dict[str, float] = {}
        """Mean Fréchet distance of perfect images, by the distance's name; set by ``prepare``.

        Perfect images are new draws from the distribution of the real ones. The real ones are a sample themselves, so
        their number matters too; a mirrored image does not count as another one.
        """
        self._gaussian: Gaussian | None = None
        self._features: Tensor | None = None

    def prepare(self) -> None:
        """Computes the statistics of all real images, or reads them from the cache. Collective."""
        kept = self._cached().read() if self.transport.rank == 0 else None
        if not self.transport.broadcast_object(kept is not None, "real-statistics"):
            kept = self._look_at_real()
        bias = None
        if kept is not None:
            self._gaussian = Gaussian(kept["mean"], kept["covariance"])
            self._features = kept.get("features")
            bias = frechet.bias(self._gaussian.eigenvalues, self.samples, len(self.real))
        self.bias = {self.distance: self.transport.broadcast_object(bias, "bias")}

    def score(self, generate: Callable[[range], Tensor]) -> dict[str, float]:
        """Returns the scores by name, the same on all ranks. Collective, after ``prepare``.

        Args:
            generate: returns uint8 images, shape (n, channels, side, side), for a block of sample numbers. An image
                must depend on its own number and block alone.
        """
        title = f"samples ({self.extractor.name})"
        found = extract(self.extractor, generate, self.samples, self.transport, progress=title)
        return dict(self.transport.broadcast_object(self._compare(found) if found else None, "scores"))

    def _compare(self, generated: Features) -> dict[str, float]:
        assert self._gaussian is not None, "prepare() comes first"
        scores = {self.distance: frechet.distance(Gaussian.of(generated.features), self._gaussian)}
        if self._inception:
            assert self._features is not None
            assert generated.logits is not None
            subset = min(SUBSET, self.samples, len(self._features))
            kid = fidelity("metric_kid").kid_features_to_metric(
                generated.features, self._features, kid_subset_size=subset, verbose=False
            )
            isc = fidelity("metric_isc").isc_features_to_metric(generated.logits, SPLITS)
            scores |= {"kid": kid["kernel_inception_distance_mean"], "inception_score": isc["inception_score_mean"]}
        return scores

    def _look_at_real(self) -> dict[str, Tensor] | None:
        """Returns the statistics on rank 0, with the features themselves if KID needs them; None on other ranks."""
        count = len(self.real) * (2 if self.flip else 1)
        title = f"real images ({self.extractor.name})"
        found = extract(self.extractor, self._real_images, count, self.transport, progress=title)
        if not found:
            return None
        gaussian = Gaussian.of(found.features)
        kept = {"mean": gaussian.mean, "covariance": gaussian.covariance}
        if self._inception:
            kept["features"] = found.features
        self._cached().write(kept)
        return kept

    def _real_images(self, numbers: range) -> Tensor:
        """Returns the images of these numbers; with ``flip`` all mirrored images follow the originals."""
        images, _ = self.real.take([number % len(self.real) for number in numbers])
        mirrored = torch.tensor([number >= len(self.real) for number in numbers])
        return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)

    def _cached(self) -> Cached:
        key = {
            "version": VERSION,
            "images": self.real.fingerprint(),
            "flip": self.flip,
            "extractor": self.extractor.fingerprint,
            "device": self.extractor.device.type,
        }
        return Cached("statistics", f"{self.real.name}-{self.extractor.name}", key)


def samples_note(scorer: Scorer) -> str | None:
    """Returns a sentence on the bias of a prepared scorer's Fréchet distance; None if there are enough images."""
    wanted = PER_DIMENSION * scorer.extractor.dimensions
    samples, real = scorer.samples, len(scorer.real)
    if samples >= wanted and real >= samples:
        return None
    few = f"of {samples} samples and {real} real images"
    return (
        f"{scorer.distance} {few} is biased: perfect images would score {scorer.bias[scorer.distance]:.3g} on average, "
        f"not 0; compare it only at these numbers" + (f", or use {wanted} samples" if samples < wanted <= real else "")
    )
