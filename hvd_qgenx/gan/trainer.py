"""The training loop."""

import hashlib
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from compressors import Compressor
from compressors.random import generator
from hvd_qgenx.errors import TrainingError
from hvd_qgenx.exchange import Report
from hvd_qgenx.gan import data, losses
from hvd_qgenx.gan.config import GanConfig
from hvd_qgenx.gan.models import Discriminator, Generator, initialize
from hvd_qgenx.optim import DistributedOptimizer, ExtraAdam
from hvd_qgenx.transport import Transport


class Trainer:
    """Both players, their optimizer, and the position in the run.

    A move is one exchange: with extra-gradient the even moves extrapolate and the odd ones
    update, each on a batch of its own, both players at once. All randomness is a function of the
    seed, the rank and the number of the move, so the state is complete between any two moves.
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
        self.optimizer = self._make_optimizer()
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
        report: Report = self.optimizer.report
        return report

    def advance(self, measure_error: bool = False) -> None:
        """One move of both players.

        Raises:
            NonFiniteGradientError: on all ranks, if a gradient of any holds Inf or NaN.
        """
        start = time.perf_counter()
        self.optimizer.zero_grad()
        self.last_losses = self._fill_gradients()
        self._finish_device_work()
        self.seconds["compute"] += time.perf_counter() - start

        self.optimizer.measure_error = measure_error
        extrapolates = self.config.moves_per_update == 2 and self.move % 2 == 0
        self.optimizer.extrapolation() if extrapolates else self.optimizer.step()
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
        optimizer = self.optimizer.state_dict()
        mine = {
            "compression": optimizer.pop("compression"),
            "report": asdict(self.report),
            "seconds": self.seconds,
            "losses": [float(loss) for loss in self.last_losses],
        }
        return {
            "move": self.move,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": optimizer,
            "ranks": self.transport.all_gather_object(mine, "rank-state"),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        mine = state["ranks"][self.transport.rank]
        self.move = state["move"]
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict({**state["optimizer"], "compression": mine["compression"]})
        self.optimizer.report = Report(**mine["report"])
        self.seconds = dict(mine["seconds"])
        self.last_losses = losses.Losses(*torch.tensor(mine["losses"]))

    def _make_optimizer(self) -> Any:
        config = self.config
        groups = [
            {"params": list(self.generator.parameters()), "lr": config.generator_lr, "player": "generator"},
            {"params": list(self.discriminator.parameters()), "lr": config.discriminator_lr, "player": "discriminator"},
        ]
        cls = ExtraAdam if config.optimizer == "extra-adam" else torch.optim.Adam
        named = [*self.generator.named_parameters(), *self.discriminator.named_parameters()]
        return DistributedOptimizer(
            cls(groups, betas=(config.beta1, config.beta2)),
            named,
            _warmed_up(config.make_compressor()),
            exchange=config.exchange,
            transport=self.transport,
        )

    def _fill_gradients(self) -> losses.Losses:
        count = len(self.batches)
        rank, seed = self.transport.rank, self.config.seed
        latents = torch.randn(count, self.config.latent, generator=generator(seed, data.LATENTS, rank, self.move))
        mixing = torch.rand(count, 1, 1, 1, generator=generator(seed, data.INTERPOLATION, rank, self.move))
        return losses.fill_gradients(
            self.generator,
            self.discriminator,
            self.batches(self.move).to(self.device),
            latents.to(self.device),
            mixing.to(self.device),
            penalty_weight=self.config.penalty if self.config.loss == "wgan-gp" else 0.0,
            share=count * self.transport.size / self.config.batch_size,
        )

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


def _warmed_up(compressor: Compressor) -> Compressor:
    """The compressor, its kernels compiled (from a cache but for the first time), at step 0."""
    copy = compressor.for_rank(0)
    leaf = copy.route((1 << 20, 1))
    leaf.decompress(*leaf.compress(torch.zeros(1)))
    return compressor
