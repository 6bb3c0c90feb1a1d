"""Times whole exchanges of a model's gradients, together with stock Horovod's in the same run."""

import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD

from compressors import Compressor, Exempt, Half, Identity
from hvd_qgenx.bench import machine
from hvd_qgenx.bench.codec import MismatchError, configuration
from hvd_qgenx.bench.timing import Times
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.exchange import Codec, Exchange, Report
from hvd_qgenx.exchange.registry import concrete
from hvd_qgenx.exchange.slices import SLICE_BYTES
from hvd_qgenx.optim import DistributedOptimizer
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.environment import FUSION_THRESHOLD

STOCK = {"horovod fp32": False, "horovod fp16": True}
"""The baselines; true: gradients travel as fp16."""
FP32, FP16 = STOCK
PHASES = ("encode", "wire", "decode")
SLACK = 4.0
"""Factor by which a squared distance from the mean may exceed its expectation."""


def fuse_as_stock() -> None:
    """Leaves Horovod's fusion of small tensors on; call it before Horovod starts. The user's own setting wins.

    The transport would switch fusion off, which costs Horovod's own optimizer a tenth of its speed on ResNet-18. No
    two of our slices fit into this buffer, so they are not fused; with it Horovod was as fast as with its default of
    128 MB.
    """
    os.environ.setdefault(FUSION_THRESHOLD, str(SLICE_BYTES))


class System(ABC):
    """An optimizer that replaces gradients by their means, as a training loop uses it."""

    pattern: str
    """Name of the concrete exchange."""
    slices: int = 1
    """Number of slices in which the gradients are exchanged."""
    configuration: str
    """The compressor with all its parameters."""

    def __init__(self, name: str, workload: Workload) -> None:
        self.name = name
        self.parameters = [Parameter(torch.zeros(shape)) for shape in workload.shapes]
        self.optimizer: Any = None

    def fill(self, gradients: Sequence[Tensor]) -> None:
        """Sets the parameters' gradients, in place where they exist already."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if parameter.grad is None:
                parameter.grad = gradient.clone()
            else:
                parameter.grad.copy_(gradient)

    def synchronize(self) -> None:
        """Exchanges the gradients; this call is timed."""
        self.optimizer.synchronize()

    def result(self) -> Tensor:
        """Returns a copy of all gradients as one vector."""
        return torch.cat([parameter.grad.flatten() for parameter in self.parameters if parameter.grad is not None])

    @abstractmethod
    def report(self) -> Report:
        """Returns the report of the last exchange."""

    @abstractmethod
    def tolerance(self, everyones: Sequence[Sequence[Tensor]], mean: Tensor) -> float:
        """Returns the largest admissible ||result - mean||^2, given the gradients of all ranks and their mean."""


class Stock(System):
    """Horovod's own optimizer."""

    pattern = "allreduce"

    def __init__(self, name: str, workload: Workload, transport: Transport) -> None:
        from hvd_qgenx.transport.stock import stock_optimizer  # needs Horovod

        super().__init__(name, workload)
        self.half = STOCK[name]
        self.configuration = configuration(Half() if self.half else Identity())
        self.optimizer = stock_optimizer(
            SGD(self.parameters, lr=1.0), f"{workload.name}.{workload.numel}.{name}", self.half
        )
        ring = 2 * (transport.size - 1) / transport.size
        self._bytes = round(ring * workload.numel * (2 if self.half else 4))

    def report(self) -> Report:
        return Report(bytes_sent=self._bytes)

    def tolerance(self, everyones: Sequence[Sequence[Tensor]], mean: Tensor) -> float:
        return _rounding(2.0**-11 if self.half else 2.0**-24, everyones)


class Ours(System):
    """This project's optimizer, with small tensors exempt from compression as in a run."""

    def __init__(self, name: str, workload: Workload, compressor: Compressor, exchange: Exchange) -> None:
        super().__init__(name, workload)
        self.compressor = Exempt(compressor)
        self.optimizer = DistributedOptimizer(
            SGD(self.parameters, lr=1.0),
            compression=self.compressor,
            exchange=exchange,
        )
        self.configuration = configuration(compressor)
        codec = Codec([(compressor, workload.numel)], torch.float32)
        chosen = exchange.resolve(codec)
        self.pattern = next(name for name, found in concrete().items() if found is type(chosen))
        self.slices = len(chosen.slices(codec)) - 1

    def synchronize(self) -> None:
        self.optimizer.report = Report()
        self.optimizer.synchronize()

    def report(self) -> Report:
        report: Report = self.optimizer.report
        return report

    def tolerance(self, everyones: Sequence[Sequence[Tensor]], mean: Tensor) -> float:
        """Bounds the sum of each rank's rounding error and, in a two-phase exchange, that of the mean."""
        sizes = [parameter.numel() for parameter in self.parameters]
        parts = [part.view_as(p) for part, p in zip(mean.split(sizes), self.parameters, strict=True)]
        inner = self.compressor.inner
        independent = len(everyones) if inner.unbiased and not inner.shared_randomness else 1
        first = sum(self._bound(gradients) for gradients in everyones) / len(everyones) / independent
        return SLACK * (first + self._bound(parts)) + _rounding(2.0**-24, everyones)

    def _bound(self, gradients: Sequence[Tensor]) -> float:
        """Returns the theoretical bound on the expected squared error of compressing these gradients once."""
        compression = self.optimizer.compression
        inner = compression.inner
        parts = [gradient.flatten() for gradient in gradients if compression.route(gradient.shape) is inner]
        return float(inner.variance_bound(torch.cat(parts))) if parts else 0.0


@dataclass(frozen=True)
class Plan:
    """A workload and the systems that exchange it."""

    workload: Workload
    compressors: Mapping[str, Compressor]
    make_exchange: Callable[[Transport], Exchange]
    repeats: int
    rate: float | None
    """Bytes per second of a rank's link; None if unknown."""
    stock: bool
    """Also measure Horovod's own optimizer."""

    def systems(self, transport: Transport) -> list[System]:
        """Returns this rank's part of all systems to compare."""
        exchange = self.make_exchange(transport)
        stock = [Stock(name, self.workload, transport) for name in STOCK] if self.stock else []
        ours = [Ours(name, self.workload, compressor, exchange) for name, compressor in self.compressors.items()]
        return [*stock, *ours]


def measure(plan: Plan, transport: Transport, progress: Callable[[Any], Any] = iter) -> list[dict[str, Any]]:
    """Verifies all systems, then times them in turn; returns a row for each, the same on all ranks.

    Args:
        plan: the workload and the systems.
        transport: the ranks.
        progress: wraps the list of exchanges, as tqdm does.

    Raises:
        MismatchError: on all ranks, if a result is not the mean, or differs between ranks.
    """
    systems = plan.systems(transport)
    _verify(systems, plan.workload, transport)
    gradients = plan.workload.gradients(transport.rank)
    samples: dict[str, list[tuple[float, Report]]] = {system.name: [] for system in systems}
    for system in progress(systems * plan.repeats):
        samples[system.name].append(timed(system, gradients, transport))
    everyone = transport.all_gather_object(samples, "bench.samples")
    boots = transport.all_gather_object(machine.boot(), "bench.machines")
    ranks = {
        "ranks": transport.size,
        "hosts": transport.size // transport.local_size,
        "ranks_on_machine": boots.count(machine.boot()),
    }
    return [{**ranks, **row} for row in _rows(plan, systems, everyone)]


def _verify(systems: Sequence[System], workload: Workload, transport: Transport) -> None:
    """Compares every system's result, on all ranks, with the mean computed in float64."""
    everyones = [workload.gradients(rank) for rank in range(transport.size)]
    mean = _sum(_flat(gradients).double() for gradients in everyones) / transport.size
    for system in systems:
        timed(system, everyones[transport.rank], transport)
        result = system.result()
        distance, allowed = float((result - mean).square().sum()), system.tolerance(everyones, mean.float())
        digest = hashlib.sha256(result.numpy().data).hexdigest()
        found = transport.all_gather_object((distance <= allowed, digest), "bench.verify")  # NaN fails
        if not all(near for near, _ in found):
            raise MismatchError(
                f"{system.name}: the result is not the mean over ranks: its squared distance is {distance:.3g}, "
                f"but rounding explains at most {allowed:.3g}"
            )
        if len({digest for _, digest in found}) > 1:
            raise MismatchError(f"{system.name}: ranks ended with different results")


def timed(system: System, gradients: Sequence[Tensor], transport: Transport) -> tuple[float, Report]:
    """Returns the seconds of one exchange on this rank, which all ranks start together, and its report."""
    system.fill(gradients)
    transport.all_gather(torch.zeros(1, dtype=torch.uint8), [1] * transport.size, "bench.begin").wait()
    start = time.perf_counter()
    system.synchronize()
    return time.perf_counter() - start, system.report()


def _rows(plan: Plan, systems: Sequence[System], everyone: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    times = {system.name: _slowest([samples[system.name] for samples in everyone]) for system in systems}
    rows = []
    for system in systems:
        taken = times[system.name]
        reports = [[report for _, report in samples[system.name]] for samples in everyone]
        sent = max(rank[-1].bytes_sent for rank in reports)
        floor = sent / plan.rate if plan.rate else None
        rows.append(
            {
                "model": plan.workload.name,
                "tensors": len(plan.workload.shapes),
                "numel": plan.workload.numel,
                "system": system.name,
                "configuration": system.configuration,
                "pattern": system.pattern,
                "slices": system.slices,
                "bytes_sent": sent,
                "rate": plan.rate,
                "seconds": taken.as_dict(),
                "floor_seconds": floor,
                "floor_ratio": taken.median / floor if floor else None,
                "fp32_ratio": taken.ratio(times[FP32]) if FP32 in times else None,
                "fp16_ratio": taken.ratio(times[FP16]) if FP16 in times else None,
                **{f"{phase}_seconds": _phase(phase, reports) for phase in PHASES},
            }
        )
    return rows


def _slowest(ranks: Sequence[Sequence[tuple[float, Report]]]) -> Times:
    """Returns the seconds of the slowest rank in every round."""
    return Times(tuple(max(seconds for seconds, _ in round_) for round_ in zip(*ranks, strict=True)))


def _phase(phase: str, ranks: Sequence[Sequence[Report]]) -> float:
    """Returns the seconds of a phase: the median over rounds of the mean over ranks."""
    rounds = [[getattr(report, f"{phase}_seconds") for report in round_] for round_ in zip(*ranks, strict=True)]
    return Times(tuple(sum(seconds) / len(seconds) for seconds in rounds)).median


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def _sum(vectors: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, vectors)


def _rounding(unit: float, everyones: Sequence[Sequence[Tensor]]) -> float:
    """Returns a bound on the squared error of a mean whose additions have relative errors up to ``unit``."""
    largest = _sum(_flat(gradients).abs() for gradients in everyones)
    return float((largest.double() * unit * (len(everyones) + 2)).square().sum())  # 2: scaling, rounding
