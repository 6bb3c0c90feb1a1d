"""A variational autoencoder, as the training room sees it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from compressors.random import generator
from hvd_qgenx.data.splits import Reshuffled
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.scores import Scorer, samples_note
from hvd_qgenx.tasks.images import check_images
from hvd_qgenx.tasks.parts import Parts, PartsTask
from hvd_qgenx.tasks.scoring import EXTRACTOR
from hvd_qgenx.tasks.vae import objective, pictures
from hvd_qgenx.tasks.vae.bounds import SCORES, Bounds
from hvd_qgenx.tasks.vae.generated import images_of, scorer_of
from hvd_qgenx.tasks.vae.likelihood import Likelihood
from hvd_qgenx.tasks.vae.models import build
from hvd_qgenx.tasks.vae.models.architecture import Shape
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder, Posterior, pixel_values, prior_codes
from hvd_qgenx.tasks.vae.settings import VaeConfig
from hvd_qgenx.training.single_model.tally import Tally
from hvd_qgenx.training.single_model.task import BACKWARD, FORWARD, PLAYER
from hvd_qgenx.training.trainer import DATA
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.inprocess import InProcess


class VaeTask(PartsTask):
    """An autoencoder, and bounds on the likelihood of test images."""

    kind = "hvd-qgenx vae"
    scores = SCORES
    selected_by = SCORES[0]
    higher_is_better = False
    defining = ("model", "width", "latent", "likelihood", "noise")
    local_scores = SCORES[:1]

    def __init__(self, config: VaeConfig, parts: Parts, transport: Transport) -> None:
        model = self.make_model(config, parts)
        build.initialize(model, config.seed, RandomStream.AUTOENCODER)
        config.check(transport.size)
        split = Reshuffled(len(parts.train), config.batch_size, config.seed, transport.rank, transport.size)
        tally = Tally(*objective.TERMS, *objective.PARTS[config.objective])
        super().__init__(config, parts, transport, model, split=split, tally=tally)
        self.likelihood = likelihood_of(config)
        self.scorer_of_samples: Scorer | None = None

    @classmethod
    def check_data(cls, config: VaeConfig, data: Parts, stored: Mapping[str, Any] | None) -> None:
        check_images(config, data.train, stored)
        build.check(config.model, data.train.side)

    @classmethod
    def make_model(cls, config: VaeConfig, data: Parts) -> Autoencoder:
        return make_model(config, data.train.channels, data.train.side)

    @classmethod
    def score(
        cls,
        model: nn.Module,
        config: VaeConfig,
        data: Parts,
        device: torch.device,
        transport: Transport,
        images: int | None = None,
    ) -> dict[str, float]:
        """Returns bounds on the likelihood of test images. Collective.

        ``images`` is the number of test images, from the first; None: all.
        """
        bounds = bounds_of(config)
        return bounds.evaluate(cast("Autoencoder", model), data.test, device, transport, images)

    @classmethod
    def scorer(
        cls, config: VaeConfig, data: Parts, device: torch.device, transport: Transport, download: bool
    ) -> Callable[[nn.Module], dict[str, float]]:
        samples = scorer_of(config, data.train, device, transport, download)
        if samples:
            samples.prepare()

        def score(model: nn.Module) -> dict[str, float]:
            found = cls.score(model, config, data, device, transport)
            return found | (samples.score(images_of(model, config.seed)) if samples else {})

        return score

    @property
    def autoencoder(self) -> Autoencoder:
        return cast("Autoencoder", self.model)

    def fill_gradients(self, move: int, moving: Sequence[str] = (PLAYER,)) -> None:
        images, _ = self.batches(move)
        pixels = pixel_values(images).to(self.device, non_blocking=True)
        noise = self._noise(move).to(self.device, non_blocking=True)
        self.timer.credit(DATA)
        logits, codes, posterior = self._reconstruct(pixels, noise)
        found = objective.terms(
            self.config.objective,
            self.config.kl_weight,
            self.likelihood.negative_log(logits, pixels),
            codes,
            posterior,
            len(self.parts.train),
        )
        self.timer.credit(FORWARD)
        (self.transport.size / sum(self.batches.counts(move)) * found["loss"]).backward()
        self.timer.credit(BACKWARD)
        sums = torch.stack([term.detach() for term in found.values()]).tolist()
        self.tally.note(len(pixels), **dict(zip(found, sums, strict=True)))

    def _noise(self, move: int) -> Tensor:
        """Returns this rank's rows of the noise of the whole batch, which does not depend on the number of ranks."""
        places = self.split.places(move)
        random = generator(self.config.seed, RandomStream.POSTERIOR, move)
        return prior_codes(self.split.batch_size, self.config.latent, random)[places.start : places.stop]

    def _reconstruct(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Posterior]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            posterior = self.autoencoder.encode(pixels)
            codes = posterior.codes(noise)
            logits = self.autoencoder.decode(codes)
        return logits, codes, posterior

    @property
    def measures(self) -> tuple[str, ...]:
        parts = self._parts
        return ("reconstruction", "kl", *(f"kl/{name}" for name in parts), "lr", "epoch")

    @property
    def _parts(self) -> tuple[str, ...]:
        """The parts of the divergence that the objective has."""
        return objective.PARTS[self.config.objective]

    def measure(self, update: int) -> dict[str, float]:
        parts = {f"kl/{name}": self.tally.mean(name) for name in self._parts}
        whole = {name: self.tally.mean(name) for name in ("reconstruction", "kl")}
        return {**whole, **parts, **super().measure(update)}

    def prepare(self, download: bool, stored: Mapping[str, Any] | None) -> None:
        """Makes the scorer of samples; a resumed run keeps its extractor, whatever weights are available now."""
        kept = stored.get(EXTRACTOR) if stored else None
        images, device = self.parts.train, self.device
        self.scorer_of_samples = scorer_of(self.config, images, device, self.transport, download, features=kept)

    def warm_up(self) -> None:
        if self.scorer_of_samples:
            self.scorer_of_samples.prepare()

    @property
    def score_columns(self) -> tuple[str, ...]:
        scorer = self.scorer_of_samples
        names = (*bounds_of(self.config).names, *(scorer.names if scorer else ()))
        columns = (f"{name}/{weights}" for weights in self.config.scored_weights for name in names)
        return ("epoch", *columns, *(f"bias/{name}" for name in (scorer.bias if scorer else ())))

    def evaluate(self, update: float) -> dict[str, float]:
        found = super().evaluate(update)
        scorer = self.scorer_of_samples
        if scorer is None:
            return found
        for weights in self.config.scored_weights:
            scores = scorer.score(images_of(self.weighted(weights), self.config.seed))
            found |= {f"{name}/{weights}": value for name, value in scores.items()}
        return found | {f"bias/{name}": value for name, value in scorer.bias.items()}

    def _shown(self, score: float) -> str:
        return f"{score:.2f} nats"

    def evaluate_alone(self) -> dict[str, float]:
        count = self.config.local_images or len(self.parts.test)
        bounds = replace(bounds_of(self.config), samples=0)
        scores = bounds.evaluate(self.autoencoder, self.parts.test, self.device, InProcess(), count)
        return {name: scores[name] for name in self.local_scores}

    def draws(self, update: float) -> bool:
        return self.evaluates(update)

    def draw(self, path: Path) -> None:
        pictures.draw(self.autoencoder, self.parts.test, self.config.seed, self.device, path)

    def notes(self) -> dict[str, Any]:
        return {
            **super().notes(),
            EXTRACTOR: self.scorer_of_samples.extractor.name if self.scorer_of_samples else None,
        }

    def remarks(self) -> Iterator[str]:
        if self.scorer_of_samples and (note := samples_note(self.scorer_of_samples)):
            yield f"Warning: {note}"
        yield from super().remarks()

    def conclusions(self, summary: Mapping[str, Any]) -> Iterator[str]:
        scores = summary["scores"]
        if scores:
            bound, reconstruction, kl = (scores[self.first(name)] for name in SCORES)
            best = self.best[self.first(self.selected_by)]
            yield (
                f"test images cost {bound:.2f} nats (best {best:.2f} after epoch {self.best['epoch']:.4g}): "
                f"reconstruction {reconstruction:.2f}, divergence from the prior {kl:.2f}"
            )


def make_model(config: VaeConfig, channels: int, side: int) -> Autoencoder:
    """Returns the autoencoder of a configuration, with uninitialized weights."""
    assert config.width is not None, "completed configurations have a width"
    return build.make(config.model, Shape(channels, side, config.width, config.latent))


def likelihood_of(config: VaeConfig) -> Likelihood:
    """Returns the likelihood of pixels of a configuration."""
    return Likelihood(config.likelihood, config.noise)


def bounds_of(config: VaeConfig) -> Bounds:
    """Returns how test images are scored with a configuration."""
    return Bounds(likelihood_of(config), config.seed, config.importance_samples)
