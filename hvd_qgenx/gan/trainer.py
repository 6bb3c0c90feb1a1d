"""The training loop."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressors import Lesson
from compressors.random import generator
from hvd_qgenx.errors import TrainingError
from hvd_qgenx.exchange import Report
from hvd_qgenx.gan import data, losses
from hvd_qgenx.gan.config import GanConfig
from hvd_qgenx.gan.models import Discriminator, Generator, initialize
from hvd_qgenx.optim import DistributedOptimizer
from hvd_qgenx.transport import Transport


class Trainer:
    """Both players, their optimizer, and the position in the run.

    A move is one exchange, on a batch of its own: with extra-gradient the even moves extrapolate and
    the odd ones update, both players at once; with critic steps the players move in turn. All
    randomness is a function of the seed, the rank and the number of the move, so the state is
    complete between any two moves.
    """

    def __init__(self, config: GanConfig, images: Tensor, transport: Transport) -> None:
        channels, side = images.shape[1], images.shape[2]
        self.config, self.transport = config, transport
        self.device = _device(config.device, transport)
        self.batches = data.Batches(images, config.batch_size, config.seed, transport.rank, transport.size)
        self.generator = Generator(channels, side, config.filters, config.latent, config.generator_norm)
        self.discriminator = Discriminator(channels, side, config.filters, config.discriminator_norm)
        initialize(self.generator, config.seed, data.GENERATOR)
        initialize(self.discriminator, config.seed, data.DISCRIMINATOR)
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.optimizers = self._make_optimizers()
        self._level_schedule = config.level_schedule
        self.lesson: Lesson | None = None
        """What a compressor learned last."""
        self.move = 0
        self.seconds = {"total": 0.0, "compute": 0.0}
        self.last_losses = losses.Losses(*torch.zeros(3))

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
        start = time.perf_counter()
        optimizer = self._moving()
        for each in self.optimizers:
            each.zero_grad()
        optimizer.measure_error = measure_error
        optimizer.learn_next = learns = self._learns(optimizer)
        optimizer.overlap = not save_gradients
        self._fill_gradients([group["player"] for group in optimizer.param_groups])
        self._finish_device_work()
        self.seconds["compute"] += time.perf_counter() - start
        if save_gradients:
            torch.save(self._gradients(), save_gradients)

        extrapolates = self.config.method.moves == 2 and self.move % 2 == 0
        optimizer.extrapolation() if extrapolates else optimizer.step()
        if learns:
            self.lesson = optimizer.lesson
        if self.config.loss == "wgan":
            self._clip_weights()
        self.move += 1
        self._finish_device_work()
        self.seconds["total"] += time.perf_counter() - start

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Images of this rank's generator from latents that are the same at every call."""
        random = generator(self.config.seed, data.SAMPLES)
        latents = torch.randn(count, self.config.latent, generator=random).to(self.device)
        self.generator.eval()
        images: Tensor = self.generator(latents).cpu()
        self.generator.train()
        return images

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
            "seconds": self.seconds,
            "losses": [float(loss) for loss in self.last_losses],
        }
        return {
            "move": self.move,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": states,
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
        self.seconds = dict(mine["seconds"])
        self.last_losses = losses.Losses(*torch.tensor(mine["losses"]))

    def _moving(self) -> Any:
        """The optimizer of this move: of both players, or of the one whose turn it is."""
        if len(self.optimizers) == 1:
            return self.optimizers[0]
        turn = self.move % self.config.moves_per_update
        return self.optimizers[0 if turn < self.config.critic_steps else 1]

    def _learns(self, optimizer: Any) -> bool:
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

    def _fill_gradients(self, players: Sequence[str] = losses.PLAYERS) -> None:
        count = len(self.batches)
        rank, seed = self.transport.rank, self.config.seed
        latents = torch.randn(count, self.config.latent, generator=generator(seed, data.LATENTS, rank, self.move))
        mixing = torch.rand(count, 1, 1, 1, generator=generator(seed, data.INTERPOLATION, rank, self.move))
        new = losses.fill_gradients(
            self.generator,
            self.discriminator,
            self.batches(self.move).to(self.device),
            latents.to(self.device),
            mixing.to(self.device),
            penalty_weight=self.config.penalty if self.config.loss == "wgan-gp" else 0.0,
            share=count * self.transport.size / self.config.batch_size,
            players=players,
        )
        self.last_losses = new if "discriminator" in players else new._replace(penalty=self.last_losses.penalty)

    @torch.no_grad()
    def _clip_weights(self) -> None:
        for parameter in self.discriminator.parameters():
            parameter.clamp_(-self.config.clip, self.config.clip)

    def _finish_device_work(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _device(kind: str, transport: Transport) -> torch.device:
    """Ranks of one host take its GPUs in turn."""
    if kind == "cuda":
        torch.cuda.set_device(transport.local_rank % torch.cuda.device_count())
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(kind)
