"""The GAN task: both players, in the interface of the training room."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compressors.random import generator as random_numbers
from hvd_qgenx.data import Augmentation, Batches, ImageSet
from hvd_qgenx.data.splits import Reshuffled
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import figures
from hvd_qgenx.scores import Scorer, samples_note
from hvd_qgenx.tasks.gan import losses
from hvd_qgenx.tasks.gan.generation import Inputs, with_statistics
from hvd_qgenx.tasks.gan.models import build
from hvd_qgenx.tasks.gan.models.players import Players
from hvd_qgenx.tasks.gan.registry import LOSSES
from hvd_qgenx.tasks.gan.scoring import sampled, score
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.images import (
    changed_files,
    check_images,
    class_totals,
    describe_images,
    image_remarks,
    load_images,
    note_images,
)
from hvd_qgenx.tasks.scoring import EXTRACTOR, make_scorer
from hvd_qgenx.training.averages import Averages
from hvd_qgenx.training.task import Task
from hvd_qgenx.training.trainer import DATA
from hvd_qgenx.transport import Transport

PICTURE = 64
"""Images in a sample picture."""


class GanTask(Task):
    """Generator and discriminator, the averages of the generator, and the scorer of its images."""

    kind = "hvd-qgenx gan"
    phases = losses.PHASES
    loss_names = losses.Losses._fields

    def __init__(self, config: GanConfig, images: ImageSet, transport: Transport) -> None:
        super().__init__(config, images, transport)
        self._config, self.images = config, images
        self.updates = config.updates
        self.batches = Batches(
            images,
            Reshuffled(len(images), config.batch_size, config.seed, transport.rank, transport.size),
            Augmentation(config.augmentation, config.seed),
            workers=config.workers,
            pinned=self.device.type == "cuda",
        )
        self.inputs = Inputs(config.latent, class_totals(images) if config.conditional else ())
        self.pair = make_players(config, images.channels, images.side, self.inputs.classes)
        build.initialize(self.pair.generator, config.seed, RandomStream.GENERATOR)
        build.initialize(self.pair.discriminator, config.seed, RandomStream.DISCRIMINATOR)
        for player in self.pair:
            player.to(self.device)
        self.players = self.pair._asdict()
        self.averages = Averages(self.generator, config.ema)
        self.scorer: Scorer | None = None
        self.last_losses = losses.Losses(*torch.zeros(3))
        self.changes = ""
        """What has happened to image files since the checkpoint that the run goes on from."""

    @classmethod
    def load(cls, config: GanConfig, transport: Transport, download: bool) -> ImageSet:
        return load_images(config, transport, download)

    @classmethod
    def check_data(cls, config: GanConfig, data: ImageSet, stored: Mapping[str, Any] | None) -> None:
        check_images(config, data, stored)
        build.check(config.model, data.side)
        if config.conditional and not data.classes:
            raise ConfigurationError(f"{config.dataset} has no labels; leave out --conditional")

    @classmethod
    def make_players(cls, config: GanConfig, data: ImageSet) -> dict[str, nn.Module]:
        classes = data.classes if config.conditional else 0
        return make_players(config, data.channels, data.side, classes)._asdict()

    @property
    def config(self) -> GanConfig:
        return self._config

    @property
    def generator(self) -> nn.Module:
        return self.pair.generator

    @property
    def discriminator(self) -> nn.Module:
        return self.pair.discriminator

    @property
    def loss(self) -> losses.Loss:
        return LOSSES[self.config.loss]

    @property
    def turns(self) -> Sequence[Sequence[str]]:
        """The players of each turn: both at once or, with critic steps, the discriminator, then the generator."""
        return (("discriminator",), ("generator",)) if self.config.critic_steps else (losses.PLAYERS,)

    def turn(self, move: int) -> int:
        return int(bool(self.config.critic_steps) and move == self.config.critic_steps)

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        rates = {"generator": self.config.generator_lr, "discriminator": self.config.discriminator_lr}
        return [{"params": list(self.players[player].parameters()), "lr": rates[player], "player": player}]

    def fill_gradients(self, move: int, moving: Sequence[str] = losses.PLAYERS) -> None:
        batch = self._draw_batch(move)
        self.timer.credit(DATA)
        new = losses.fill_gradients(
            self.pair,
            self.loss,
            batch,
            penalty_weight=self.config.penalty,
            share=self._share,
            moving=moving,
            credit=self.timer.credit,
            mixed=self.config.precision == "bf16",
        )
        self.last_losses = new if "discriminator" in moving else new._replace(penalty=self.last_losses.penalty)

    @property
    def _share(self) -> float:
        """The weight of this rank's mean in the mean over ranks."""
        return len(self.batches) * self.transport.size / self.config.batch_size

    def _draw_batch(self, move: int) -> losses.Batch:
        count, rank, seed = len(self.batches), self.transport.rank, self.config.seed
        real, labels = self.batches(move)
        latents = torch.randn(
            count, self.config.latent, generator=random_numbers(seed, RandomStream.LATENTS, rank, move)
        )
        mixing = torch.rand(count, 1, 1, 1, generator=random_numbers(seed, RandomStream.INTERPOLATION, rank, move))
        return losses.Batch(
            real.to(self.device, non_blocking=True),
            labels.to(self.device, non_blocking=True) if self.inputs.classes else None,
            latents.to(self.device),
            mixing.to(self.device),
        )

    def before_step(self, moving: Sequence[str]) -> None:
        if "generator" in moving:
            self.averages.before_update(self.generator)

    def after_step(self, moving: Sequence[str]) -> None:
        if "generator" in moving:
            self.averages.after_update(self.generator)

    @torch.no_grad()
    def after_move(self) -> None:
        """Clips the discriminator's weights, if the loss requires it."""
        if self.loss.clipped:
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.config.clip, self.config.clip)

    def mean_losses(self) -> dict[str, float]:
        """Returns the losses of the last move, averaged over all ranks."""
        mine = torch.stack(list(self.last_losses)).cpu() * self._share
        mean = self.transport.all_reduce_mean(mine, "losses").wait()
        return dict(zip(losses.Losses._fields, mean.tolist(), strict=True))

    def progress(self, losses: Mapping[str, float]) -> str:
        return f"G {losses['generator']:+.3f}, D {losses['discriminator']:+.3f}"

    def draws(self, update: float) -> bool:
        return update % self.config.sample_every == 0 or update == self.updates

    def draw(self, path: Path) -> None:
        figures.save_grid(self.sample(PICTURE), path, columns=8)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Returns images (count, channels, side, side) from latents that are the same at every call."""
        drawn = self.inputs.draw(count, self.config.seed, RandomStream.SAMPLES, device=self.device)
        images: Tensor = self.weighted_generator("raw")(*drawn).float().cpu()
        return images

    def weighted_generator(self, weights: str) -> nn.Module:
        """Returns a copy of the generator with these weights, one of ``WEIGHTS``, in evaluation mode."""
        generator = self.generator if weights == "raw" else self.averages.module(weights)
        return with_statistics(generator, self.inputs, self.config.seed)

    def prepare(self, download: bool, stored: Mapping[str, Any] | None) -> None:
        """Makes the scorer; a resumed run keeps its extractor, whatever weights are available now."""
        if self.config.score_every:
            kept = stored.get(EXTRACTOR) if stored else None
            self.scorer = make_scorer(
                self.config, self.images, self.transport, self.device, download, **sampled(self.config), features=kept
            )

    def warm_up(self) -> None:
        if self.scorer:
            self.scorer.prepare()

    def evaluates(self, update: float) -> bool:
        return self.scorer is not None and (update % self.config.score_every == 0 or update == self.updates)

    @property
    def score_columns(self) -> tuple[str, ...]:
        if self.scorer is None:
            return ()
        names = (f"{name}/{weights}" for weights in self.config.scored_weights for name in self.scorer.names)
        return (*names, *(f"bias/{name}" for name in self.scorer.bias))

    def evaluate(self, update: float) -> dict[str, float]:
        assert self.scorer is not None
        generators = {weights: self.weighted_generator(weights) for weights in self.config.scored_weights}
        return score(self.scorer, generators, self.inputs, self.config.seed)

    def notes(self) -> dict[str, Any]:
        return {EXTRACTOR: self.scorer.extractor.name if self.scorer else None, "images": note_images(self.images)}

    def announce(self) -> str:
        sizes = (sum(p.numel() for p in player.parameters()) for player in self.pair)
        return "{}: generator {:,}, discriminator {:,} parameters".format(self.config.dataset, *sizes)

    def remarks(self) -> Iterator[str]:
        yield from image_remarks(self.images, self.changes)
        if self.scorer and (note := samples_note(self.scorer)):
            yield f"Warning: {note}"

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of both players, the averages, and a description of the images.

        Batch norm's running statistics are this rank's own.
        """
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "averages": self.averages.state_dict(),
            "images": describe_images(self.images),
        }

    def local_state(self) -> dict[str, Any]:
        return {"losses": [float(loss) for loss in self.last_losses]}

    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.averages.load_state_dict(state["averages"])
        self.changes = changed_files(state["images"], self.images)
        self.last_losses = losses.Losses(*torch.tensor(local.get("losses", (0.0, 0.0, 0.0))))

    def close(self) -> None:
        self.batches.close()


def make_players(config: GanConfig, channels: int, side: int, classes: int) -> Players:
    """Returns both players of a configuration, with uninitialized weights."""
    return build.make(
        config.model,
        channels=channels,
        side=side,
        filters=config.filters,
        latent=config.latent,
        generator_norm=config.generator_norm,
        discriminator_norm=config.discriminator_norm,
        spectral_norm=config.spectral_norm,
        classes=classes,
    )
