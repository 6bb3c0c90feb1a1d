"""The training loop."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compressors import LevelUpdate
from compressors.random import generator
from hvd_qgenx.data import Augmentation, Batches, ImageSet
from hvd_qgenx.data.splits import Reshuffled
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import TrainingError
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim import DistributedOptimizer
from hvd_qgenx.runs.folder import write_atomically
from hvd_qgenx.tasks.gan import losses, models
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training.averages import Averages, draw, with_statistics
from hvd_qgenx.training.phases import Laps
from hvd_qgenx.transport import Transport

DATA, WAITING, OPTIMIZER = "data", "waiting", "optimizer"
PHASES = (DATA, *losses.PHASES, WAITING, OPTIMIZER)
"""What an update's time goes to."""


class Trainer:
    """Both players, their optimizer, and the position in the run.

    A move is one exchange, on a batch of its own: with extra-gradient the even moves extrapolate and
    the odd ones update, both players at once; with critic steps the players move in turn. All
    randomness is a function of the seed, the rank and the number of the move, so the state is
    complete between any two moves.
    """

    def __init__(self, config: GanConfig, images: ImageSet, transport: Transport) -> None:
        self.config, self.transport, self.images = config, transport, images
        self.device = choose_device(config.device, transport)
        self.batches = Batches(
            images,
            Reshuffled(len(images), config.batch_size, config.seed, transport.rank, transport.size),
            Augmentation(config.augmentation, config.seed),
            workers=config.workers,
            pinned=self.device.type == "cuda",
        )
        self.classes = images.classes if config.conditional else 0
        self.players = make_players(config, images.channels, images.side, self.classes)
        models.initialize(self.players.generator, config.seed, RandomStream.GENERATOR)
        models.initialize(self.players.discriminator, config.seed, RandomStream.DISCRIMINATOR)
        for player in self.players:
            player.to(self.device)
        self.averages = Averages(self.players.generator, config.ema)
        self.optimizers = self._make_optimizers()
        self._level_schedule = config.level_schedule
        self.level_update: LevelUpdate | None = None
        """What a compressor learned last."""
        self.move = 0
        self.laps = Laps(self.device)
        self.last_losses = losses.Losses(*torch.zeros(3))

    @property
    def generator(self) -> nn.Module:
        return self.players.generator

    @property
    def discriminator(self) -> nn.Module:
        return self.players.discriminator

    @property
    def updates(self) -> float:
        """Updates done so far; half of one after an extrapolation."""
        return self.move / self.config.moves_per_update

    @property
    def report(self) -> Report:
        """Bytes and seconds of all exchanges of this rank so far."""
        total = Report()
        for optimizer in self.optimizers:
            total.add(optimizer.report)
        return total

    def advance(self, measure_error: bool = False, save_gradients: Path | None = None) -> None:
        """One move.

        Args:
            measure_error: find the error of this rank's compression.
            save_gradients: where this rank saves its own gradients, by name.

        Raises:
            NonFiniteGradientError: on all ranks, if a gradient of any holds Inf or NaN.
        """
        self.laps.start()
        optimizer = self._moving()
        for each in self.optimizers:
            each.zero_grad()
        optimizer.measure_error = measure_error
        optimizer.update_levels_next = learns = self._updates_levels(optimizer)
        optimizer.overlap = not save_gradients
        self.laps.lap(OPTIMIZER)
        self._fill_gradients([group["player"] for group in optimizer.param_groups])
        if save_gradients:
            write_atomically(save_gradients, lambda file: torch.save(self._gradients(), file))
        optimizer.synchronize()
        self.laps.lap(WAITING)
        if learns:
            self.level_update = optimizer.level_update
        with optimizer.skip_synchronize():
            self._move(optimizer)
        self.move += 1
        self.laps.lap(OPTIMIZER)

    def _move(self, optimizer: Any) -> None:
        if self.config.method.moves == 2 and self.move % 2 == 0:
            optimizer.extrapolation()
        else:
            moves_generator = any(group["player"] == "generator" for group in optimizer.param_groups)
            if moves_generator:
                self.averages.before_update(self.generator)
            optimizer.step()
            if moves_generator:
                self.averages.after_update(self.generator)
        if self.loss.clipped:
            self._clip_weights()

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Images (count, channels, side, side) from latents that are the same at every call."""
        drawn = draw(
            count, self.config.latent, self.classes, self.config.seed, RandomStream.SAMPLES, device=self.device
        )
        images: Tensor = self.weighted_generator("raw")(*drawn).float().cpu()
        return images

    def weighted_generator(self, weights: str) -> nn.Module:
        """A copy of the generator with these weights, of ``averages.WEIGHTS``, in evaluation mode."""
        generator = self.generator if weights == "raw" else self.averages.module(weights)
        return with_statistics(generator, self.config.latent, self.classes, self.config.seed)

    def mean_losses(self) -> dict[str, float]:
        """The losses of the last move, averaged over all ranks."""
        share = len(self.batches) * self.transport.size / self.config.batch_size
        mine = torch.stack(list(self.last_losses)).cpu() * share
        mean = self.transport.all_reduce_mean(mine, "losses").wait()
        return dict(zip(losses.Losses._fields, mean.tolist(), strict=True))

    def replica_hash(self) -> str:
        """SHA-256 over all parameters of both players.

        Raises:
            TrainingError: on all ranks, if replicas differ.
        """
        digest = hashlib.sha256()
        for model in (self.generator, self.discriminator):
            for parameter in model.parameters():
                digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        hashes = self.transport.all_gather_object(digest.hexdigest(), "replica-hash")
        if len(set(hashes)) > 1:
            listing = ", ".join(f"rank {rank} {text[:12]}" for rank, text in enumerate(hashes))
            raise TrainingError(f"replicas differ after move {self.move}: {listing}")
        return str(hashes[0])

    def state_dict(self) -> dict[str, Any]:
        """The whole state of all ranks, the same on each (batch norm's running means are this rank's)."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        mine = {
            "optimizers": [state.pop("local") for state in states],
            "reports": [asdict(optimizer.report) for optimizer in self.optimizers],
            "seconds": self.laps.seconds(),
            "losses": [float(loss) for loss in self.last_losses],
        }
        return {
            "move": self.move,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "averages": self.averages.state_dict(),
            "optimizers": states,
            "images": {
                **{name: getattr(self.images, name) for name in ("channels", "side", "classes")},
                "fingerprint": self.images.fingerprint(),
            },
            "ranks": self.transport.all_gather_object(mine, "rank-state"),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        mine = state["ranks"][self.transport.rank]
        self.move = state["move"]
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        stored = zip(state["optimizers"], mine["optimizers"], mine["reports"], strict=True)
        for optimizer, (common, local, report) in zip(self.optimizers, stored, strict=True):
            optimizer.load_state_dict({**common, "local": local})
            optimizer.report = Report(**report)
        self.laps.load(mine["seconds"])
        self.averages.load_state_dict(state["averages"])
        self.last_losses = losses.Losses(*torch.tensor(mine["losses"]))

    def _moving(self) -> Any:
        """The optimizer of this move: of both players, or of the one whose turn it is."""
        if len(self.optimizers) == 1:
            return self.optimizers[0]
        turn = self.move % self.config.moves_per_update
        return self.optimizers[0 if turn < self.config.critic_steps else 1]

    def _updates_levels(self, optimizer: Any) -> bool:
        """Whether the schedule is due, and this is the optimizer's first move in the update."""
        update, move = divmod(self.move, self.config.moves_per_update)
        first = self.config.critic_steps if optimizer is not self.optimizers[0] else 0
        return move == first and self._level_schedule.due(update)

    def _gradients(self) -> dict[str, Tensor]:
        models = {player: getattr(self, player) for player in losses.PLAYERS}
        return {
            f"{player}.{name}": parameter.grad.cpu().clone()
            for player, model in models.items()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    def _make_optimizers(self) -> list[Any]:
        """One for both players; for critic steps the discriminator's and the generator's."""
        config = self.config
        rates = {"generator": config.generator_lr, "discriminator": config.discriminator_lr}
        settings = {name: getattr(config, name) for name in config.method.settings}
        together = [("discriminator",), ("generator",)] if config.critic_steps else [losses.PLAYERS]
        made = []
        for index, players in enumerate(together):
            models = {player: getattr(self, player) for player in players}
            groups = [
                {"params": list(model.parameters()), "lr": rates[player], "player": player}
                for player, model in models.items()
            ]
            optimizer = DistributedOptimizer(
                config.method.make(groups, **settings),
                [named for model in models.values() for named in model.named_parameters()],
                config.make_compressor(stream=index),
                exchange=config.exchange,
                transport=self.transport,
            )
            made.append(optimizer)
        return made

    @property
    def loss(self) -> losses.Loss:
        return losses.LOSSES[self.config.loss]

    def _fill_gradients(self, moving: Sequence[str] = losses.PLAYERS) -> None:
        batch = self._draw_batch()
        self.laps.lap(DATA)
        new = losses.fill_gradients(
            self.players,
            self.loss,
            batch,
            penalty_weight=self.config.penalty,
            share=len(self.batches) * self.transport.size / self.config.batch_size,
            moving=moving,
            lap=self.laps.lap,
            mixed=self.config.precision == "bf16",
        )
        self.last_losses = new if "discriminator" in moving else new._replace(penalty=self.last_losses.penalty)

    def _draw_batch(self) -> losses.Batch:
        count, rank, seed = len(self.batches), self.transport.rank, self.config.seed
        real, labels = self.batches(self.move)
        latents = torch.randn(
            count, self.config.latent, generator=generator(seed, RandomStream.LATENTS, rank, self.move)
        )
        mixing = torch.rand(count, 1, 1, 1, generator=generator(seed, RandomStream.INTERPOLATION, rank, self.move))
        return losses.Batch(
            real.to(self.device, non_blocking=True),
            labels.to(self.device, non_blocking=True) if self.classes else None,
            latents.to(self.device),
            mixing.to(self.device),
        )

    @torch.no_grad()
    def _clip_weights(self) -> None:
        for parameter in self.discriminator.parameters():
            parameter.clamp_(-self.config.clip, self.config.clip)


def make_players(config: GanConfig, channels: int, side: int, classes: int) -> models.Players:
    """Both players of a configuration, with weights yet to be set."""
    return models.make(
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


def choose_device(kind: str, transport: Transport) -> torch.device:
    """Ranks of one host take its GPUs in turn."""
    if kind == "cuda":
        torch.cuda.set_device(transport.local_rank % torch.cuda.device_count())
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(kind)
