"""One of several ranks that train a network by DDP with one communication hook after another, torch's and ours.

    torchrun ... python -m tests.cluster.ddp_rank NET ROUNDS FILE [UPDATE ...]

Every hook has a model of its own, which it trains on digits; the gradients of each UPDATE are compared with the exact
mean, then ROUNDS rounds of one update of every hook are timed. Rank 0 writes rows into FILE.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

import compressors
from hvd_qgenx import ddp
from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.nets.cifar_resnet import CifarResNet
from hvd_qgenx.runs.folder import write_json

WARM_UP = 2
"""Updates before torch's PowerSGD begins to compress; it allows no fewer with error feedback."""
ONE_BUCKET = "torch: `powerSGD_hook`, rank 4"
"""This hook starts collectives in callbacks: over gloo, those of several buckets come in another order on each rank."""
BATCH = 8


def plain(_: DistributedDataParallel) -> None:
    """Leaves DDP's own all-reduce."""


def fp16(model: DistributedDataParallel) -> None:
    model.register_comm_hook(None, default_hooks.fp16_compress_hook)


def torch_powersgd(model: DistributedDataParallel) -> None:
    state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=4, start_powerSGD_iter=WARM_UP)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def own(name: str, feedback: str = "none", **arguments: Any) -> Callable[[DistributedDataParallel], ddp.State]:
    def register(model: DistributedDataParallel) -> ddp.State:
        state = ddp.State(model, compressors.make(name, **arguments), feedback=feedback)
        model.register_comm_hook(state, ddp.hook)
        return state

    return register


HOOKS: dict[str, Callable[[DistributedDataParallel], ddp.State | None]] = {
    "DDP without a hook": plain,
    "torch: `fp16_compress_hook`": fp16,
    ONE_BUCKET: torch_powersgd,
    "`none`": own("none"),
    "`minmax`, 4 bits": own("minmax", bits=4),
    "`variable`, 2.5 bits": own("variable", bits=2.5),
    "`powersgd`, rank 4, error feedback": own("powersgd", "error", matrix_rank=4),
    "`sign`, error feedback": own("sign", "error"),
}


NETS: dict[str, Callable[[], nn.Module]] = {  # without buffers, which DDP would send too
    "resnet18": lambda: torchvision().models.resnet18(num_classes=10, norm_layer=partial(nn.GroupNorm, 32)),
    "resnet8": lambda: CifarResNet(8, channels=3, classes=10, norm="group"),
}


@dataclass
class Trained:
    """A model, its hook, and what was measured."""

    model: DistributedDataParallel
    state: ddp.State | None
    update: int = 0
    errors: dict[int, float] = field(default_factory=dict)
    """||mean - exact mean||^2 / ||exact mean||^2 by update."""
    seconds: list[float] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)
    """Bytes that have left through eth0 in every timed update."""
    reported: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)

    def loss(self, model: nn.Module) -> Tensor:
        images, labels = batch(self.update)
        return nn.functional.cross_entropy(model(images), labels)

    def train(self) -> None:
        """Does one update."""
        self.optimizer.zero_grad()
        self.loss(self.model).backward()
        self.optimizer.step()
        self.update += 1

    def measure(self) -> None:
        """Does one update, and compares its gradient with the exact mean."""
        parameters = list(self.model.parameters())
        exact = torch.cat([g.flatten() for g in torch.autograd.grad(self.loss(self.model.module), parameters)])
        dist.all_reduce(exact)
        exact /= dist.get_world_size()
        self.train()
        found = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        self.errors[self.update] = float((found - exact).square().sum() / exact.square().sum())

    def time(self) -> None:
        """Does one update that all ranks begin at the same time; it takes what the slowest needs."""
        dist.barrier()
        sent, reported, start = bytes_sent(), self.bytes_reported(), time.perf_counter()
        self.train()
        seconds = torch.tensor(time.perf_counter() - start)
        dist.all_reduce(seconds, dist.ReduceOp.MAX)
        self.seconds.append(float(seconds))
        self.counted.append(bytes_sent() - sent)
        self.reported.append(self.bytes_reported() - reported)

    def bytes_reported(self) -> int:
        return self.state.report.bytes_sent if self.state else 0

    def row(self) -> dict[str, Any]:
        medians = {what: statistics.median(getattr(self, what)) for what in ("seconds", "counted", "reported")}
        return {**medians, "errors": self.errors}


def bytes_sent() -> int:
    return int(Path("/sys/class/net/eth0/statistics/tx_bytes").read_text())


def batch(update: int) -> tuple[Tensor, Tensor]:
    """Digits of this rank, as colour images of side 32."""
    images, labels = load_digits(return_X_y=True)
    start = (update * dist.get_world_size() + dist.get_rank()) * BATCH
    chosen = [place % len(labels) for place in range(start, start + BATCH)]
    small = torch.from_numpy(images[chosen]).float().view(-1, 1, 8, 8) / 16
    return nn.functional.interpolate(small, size=32).expand(-1, 3, -1, -1), torch.from_numpy(labels[chosen]).long()


def trained(name: str, net: str) -> Trained:
    torch.manual_seed(0)
    model = DistributedDataParallel(NETS[net](), bucket_cap_mb=1000 if name == ONE_BUCKET else None)
    return Trained(model, HOOKS[name](model))


def main(net: str, rounds: str, file: str, *measured: str) -> None:
    dist.init_process_group("gloo")
    everything = {name: trained(name, net) for name in HOOKS}
    for each in everything.values():
        for update in range(1, max([WARM_UP + 1, *map(int, measured)]) + 1):  # then DDP has made its final buckets
            each.measure() if str(update) in measured else each.train()
    for _ in range(int(rounds)):
        for each in everything.values():
            each.time()
    if dist.get_rank() == 0:
        write_json(Path(file), {name: each.row() for name, each in everything.items()})
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
