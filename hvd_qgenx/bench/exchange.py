"""Times whole exchanges of a model's gradients, together with stock Horovod's in the same run."""

import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        zero = torch.zeros(())  # exchanges read no values of parameters, so these take no memory
        self.parameters = [Parameter(zero.expand(shape)) for shape in workload.shapes]
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

    def bound(self, gradients: Sequence[Tensor]) -> float:
        """Returns the theoretical bound on the expected squared error of compressing these gradients once."""
        return 0.0

    @abstractmethod
    def tolerance(self, expected: "Expected") -> float:
        """Returns the largest admissible ||result - mean||^2."""


@dataclass
class Expected:
    """The mean over ranks of their gradients, and facts about these which tell how near a result must be."""

    ranks: int
    mean: Tensor
    """In float64."""
    magnitude: Tensor
    """The sum over ranks of the coordinates' absolute values."""
    bounds: dict[str, float]
    """By the name of a system: the sum over ranks of its bounds."""

    @classmethod
    def of(cls, systems: Sequence[System], workload: Workload, ranks: int) -> "Expected":
        """Takes one rank's gradients at a time."""
        numel = workload.numel
        found = cls(ranks, torch.zeros(numel, dtype=torch.float64), torch.zeros(numel), {s.name: 0.0 for s in systems})
        for rank in range(ranks):
            gradients = workload.gradients(rank)
            flat = _flat(gradients)
            found.mean += flat
            found.magnitude += flat.abs_()
            for system in systems:
                found.bounds[system.name] += system.bound(gradients)
        found.mean /= ranks
        return found

    def rounding(self, unit: float) -> float:
        """Returns a bound on the squared error of a mean whose additions have relative errors up to ``unit``."""
        return float((self.magnitude.double() * unit * (self.ranks + 2)).square().sum())  # 2: scaling, rounding


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

    def tolerance(self, expected: Expected) -> float:
        return expected.rounding(2.0**-11 if self.half else 2.0**-24)


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

    def bound(self, gradients: Sequence[Tensor]) -> float:
        compression = self.optimizer.compression
        inner = compression.inner
        parts = [gradient.flatten() for gradient in gradients if compression.route(gradient.shape) is inner]
        return float(inner.variance_bound(torch.cat(parts))) if parts else 0.0

    def tolerance(self, expected: Expected) -> float:
        """Bounds the sum of each rank's rounding error and, in a two-phase exchange, that of the mean."""
        sizes = [parameter.numel() for parameter in self.parameters]
        mean = expected.mean.float().split(sizes)
        parts = [part.view_as(p) for part, p in zip(mean, self.parameters, strict=True)]
        inner = self.compressor.inner
        independent = expected.ranks if inner.unbiased and not inner.shared_randomness else 1
        first = expected.bounds[self.name] / expected.ranks / independent
        return SLACK * (first + self.bound(parts)) + expected.rounding(2.0**-24)


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
    gradients = plan.workload.gradients(transport.rank)
    _verify(systems, plan.workload, gradients, transport)
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


def _verify(systems: Sequence[System], workload: Workload, gradients: Sequence[Tensor], transport: Transport) -> None:
    """Requires that all ranks have the same result of every system, and that it is near the mean, on rank 0."""
    results = []
    for system in systems:
        timed(system, gradients, transport)
        result = system.result()
        digests = transport.all_gather_object(hashlib.sha256(result.numpy().data).hexdigest(), "bench.digests")
        if len(set(digests)) > 1:
            raise MismatchError(f"{system.name}: ranks ended with different results")
        if transport.rank == 0:
            results.append(result)
    problem = _far(systems, results, workload, transport.size) if transport.rank == 0 else None
    if problem := transport.broadcast_object(problem, "bench.verified"):
        raise MismatchError(problem)


def _far(systems: Sequence[System], results: Sequence[Tensor], workload: Workload, ranks: int) -> str | None:
    """Returns a sentence about the first system whose result is too far from the mean; None if there is none."""
    expected = Expected.of(systems, workload, ranks)
    for system, result in zip(systems, results, strict=True):
        distance, allowed = float((result - expected.mean).square().sum()), system.tolerance(expected)
        if not distance <= allowed:  # NaN, too
            return (
                f"{system.name}: the result is not the mean over ranks: its squared distance is {distance:.3g}, "
                f"but rounding explains at most {allowed:.3g}"
            )
    return None


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
