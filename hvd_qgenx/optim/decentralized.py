"""Any torch optimizer, with parameters mixed among neighbours after its local steps."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor
from compressors.identity import Beside
from hvd_qgenx.errors import ConfigurationError, TrainingError
from hvd_qgenx.exchange import Report
from hvd_qgenx.exchange.single_level import single_level
from hvd_qgenx.gossip import registry
from hvd_qgenx.gossip.messages import Messages, fitting
from hvd_qgenx.gossip.mixings.base import Mixing, Rates, Rows
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.gossip.tuning import safe_step
from hvd_qgenx.gossip.wire import Wire, disagreements
from hvd_qgenx.optim.agreement import check_agreement
from hvd_qgenx.optim.buffers import flatten
from hvd_qgenx.optim.flat_parameters import FlatParameters
from hvd_qgenx.optim.mixed_parameters import MixedParameters
from hvd_qgenx.optim.not_finite import listing
from hvd_qgenx.optim.parameters import given_names, in_backward_order, name_parameters
from hvd_qgenx.optim.state import join, separate
from hvd_qgenx.optim.stock import as_compressor, transport_of
from hvd_qgenx.optim.wrapping import Wrapper, wrap
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0
from hvd_qgenx.transport.cores import share_kernels


@dataclass(frozen=True)
class Gossip:
    """How parameters are mixed; the same on all ranks.

    Raises:
        ConfigurationError: a value is out of its limits.
    """

    mixing: str = "choco"
    """``choco``, ``dpsgd``, ``dcd``, ``ecd``, ``deepsqueeze``, ``lead``, ``beer``, ``motef`` or ``relay``."""
    consensus_step_size: float | None = None
    """How far parameters move towards what neighbours have, where the mixing has such a step size; None: a safe one is
    found by simulation (``gossip.tuning``), in about a second."""
    memory: float = 0.5
    """alpha of LEAD, lambda of MoTEF."""
    quasi_global_momentum: float = 0.0
    """Decay of a momentum that follows the mixed parameters, in place of the optimizer's own; 0: none."""
    average_every: int = 0
    """Steps between two exact averages over all ranks; 0: none."""
    overlap: bool = True
    """Let messages travel while the next gradient is computed, where the mixing allows it."""
    drop: float = 0.0
    """Share of the messages that are lost, in experiments."""

    def __post_init__(self) -> None:
        if self.consensus_step_size is not None and not self.consensus_step_size > 0:
            raise ConfigurationError(f"the consensus step size must be positive, not {self.consensus_step_size}")
        if not (0 < self.memory <= 1 and 0 <= self.quasi_global_momentum < 1 and 0 <= self.drop < 1):
            raise ConfigurationError("memory must be in (0, 1], quasi-global momentum and drop in [0, 1)")
        if self.average_every < 0:
            raise ConfigurationError(f"average_every must not be negative, but is {self.average_every}")


def DecentralizedOptimizer(  # noqa: N802 (as DistributedOptimizer)
    optimizer: Optimizer,
    named_parameters: Iterable[tuple[str, Tensor]] | None = None,
    compression: Compressor | Any = None,
    *,
    topology: Topology | str = "ring",
    gossip: Gossip | str = "choco",
    transport: Transport | None = None,
) -> Any:
    """Lets every rank step by its own gradients and mixes its parameters with its neighbours' afterwards.

    Beside ``DistributedOptimizer``, and used like it: the result is of a subclass of the optimizer's own class, and
    ``step()`` takes the local step and mixes. All ranks start from rank 0's parameters, which become views into flat
    buffers: move and convert the model before. Parameters of ranks differ from then on; ``averaged()`` gives their mean
    for evaluation, and ``average()`` makes it everyone's. In ``state_dict``, ``local`` holds what is this rank's alone:
    its parameters, what its neighbours know of them, and the random stream.

    Args:
        optimizer: any torch optimizer; use the result in its place from now on.
        named_parameters: names for error messages, as from ``model.named_parameters()``.
        compression: compressor, of which a copy gets the random stream of this rank; unbiased ones are scaled where
            the mixing needs contractions.
        topology: who hears from whom, or its name, as ``hvd_qgenx.gossip.make`` takes it.
        gossip: how parameters are mixed, or the name of a mixing.
        transport: default: Horovod, which is initialized if need be.

    Raises:
        ConfigurationError: names do not fit, ranks disagree, or mixing, topology, compressor and optimizer do not go
            together.

    Examples:
        Four threads agree on the mean of their targets, each talking to two neighbours:

        >>> from hvd_qgenx.transport import inprocess
        >>> def train(transport: inprocess.InProcess) -> float:
        ...     x = torch.nn.Parameter(torch.zeros(1))
        ...     optimizer = DecentralizedOptimizer(torch.optim.SGD([x], lr=0.1), gossip="dpsgd", transport=transport)
        ...     for _ in range(100):
        ...         optimizer.zero_grad()
        ...         (x - transport.rank).square().sum().backward()
        ...         optimizer.step()
        ...     optimizer.average()
        ...     return round(x.item(), 3)
        >>> inprocess.run(4, train)
        [1.5, 1.5, 1.5, 1.5]
    """
    compressor = as_compressor(compression)
    made = Gossip(gossip) if isinstance(gossip, str) else gossip
    transport = transport or transport_of(None)
    if isinstance(topology, str):
        topology = registry.make(topology, transport.size)
    wrapped = wrap(optimizer, _Decentralized, step=_Decentralized.step_and_mix)
    wrapped._decentralize(given_names(named_parameters), compressor, topology, made, transport)
    return wrapped


class _Decentralized(Wrapper):
    """Mixes parameters after the optimizer's steps."""

    def _decentralize(
        self,
        given: dict[Tensor, str],
        compression: Compressor,
        topology: Topology,
        gossip: Gossip,
        transport: Transport,
    ) -> None:
        kind = MIXINGS[gossip.mixing]
        kind.check(topology)
        if topology.size != transport.size:
            raise ConfigurationError(f"the topology has {topology.size} ranks, and there are {transport.size}")
        share_kernels(transport)
        self._name = transport.unique("optimizer")
        self.transport, self.topology = transport, topology
        self.overlap = gossip.overlap and kind.overlaps
        """Let messages travel while the next gradient is computed."""
        fitted = fitting(compression, kind)
        self.gossip = self._with_step_size(gossip, fitted)
        self.compression = fitted.for_rank(transport.rank, ranks=transport.size)
        self.step_count = 0
        """Steps so far."""
        self._parameter_names = name_parameters(self.param_groups, given)
        self._background = ThreadPoolExecutor(1, "gossip")
        self._mixed_ones = dict.fromkeys(p for p in in_backward_order(self.param_groups) if p.requires_grad)
        names = {parameter: self._parameter_names[parameter] for parameter in self._mixed_ones}
        buffers = flatten(names, self.compression, FlatParameters)
        self._check_momentum()
        slices = [[0, len(buffer.vector)] for buffer in buffers]
        check_agreement(names, self.compression, buffers, slices, transport, f"{self._name}.layout")
        self._check_plan()
        self._exact = single_level(transport.size)(transport)
        channel = transport.ordered(f"{self._name}.gossip")
        self._parts = [self._mixed(number, buffer, kind, channel) for number, buffer in enumerate(buffers)]
        self.report = Report()
        self.measure_error = False

    def _with_step_size(self, gossip: Gossip, compression: Compressor) -> Gossip:
        """Returns the gossip with a consensus step size, which rank 0 finds if none is given. Collective."""
        if gossip.consensus_step_size is not None:
            return gossip
        momentum, overlap = gossip.quasi_global_momentum, self.overlap

        def find() -> float:
            return safe_step(self.topology, compression, gossip.mixing, momentum=momentum, overlap=overlap)

        found = from_rank_0(self.transport, f"{self._name}.step-size", find)
        return replace(gossip, consensus_step_size=found)

    def _mixed(self, number: int, buffer: FlatParameters, kind: type[Mixing], channel: Transport) -> MixedParameters:
        gossip, name = self.gossip, f"{self._name}.{number}"
        start = self.transport.broadcast_object(buffer.vector.cpu().clone(), f"{name}.start")
        buffer.vector.data.copy_(start)
        rows = Rows(self.topology, [self.transport.rank])
        rates = Rates(gossip.consensus_step_size or 1.0, gossip.memory)
        mixing = kind(rows, buffer.row, lambda phase: buffer.row, rates)
        decay = gossip.quasi_global_momentum
        momentum = QuasiGlobalMomentum(buffer.row, decay) if decay else None
        seed = self.compression.stream.seed
        wire = Wire(channel, self.topology, Messages(buffer.codec), name, kind.loses_to_own, gossip.drop, seed)
        return MixedParameters(buffer, mixing, wire, momentum, self._background)

    def _check_momentum(self) -> None:
        if self.gossip.quasi_global_momentum and any(group.get("momentum") for group in self.param_groups):
            raise ConfigurationError("quasi-global momentum stands in for the optimizer's own; set its momentum to 0")
        if hasattr(self._base, "extrapolation"):
            raise ConfigurationError(f"{self._base.__name__} extrapolates, and mixings are made for one step at a time")

    def _check_plan(self) -> None:
        """Raises ConfigurationError unless all ranks mean the same graph and mixing. Collective."""
        topology = self.topology
        matrices = [topology.matrix(step).tobytes() for step in range(topology.period or 1)]
        everyone = self.transport.all_gather_object((matrices, repr(self.gossip)), f"{self._name}.plan")
        for rank, (theirs, plan) in enumerate(everyone):
            if theirs != everyone[0][0]:
                raise ConfigurationError(f"ranks 0 and {rank} were given different topologies")
            if plan != everyone[0][1]:
                raise ConfigurationError(f"ranks 0 and {rank} were to mix differently: {everyone[0][1]} and {plan}")

    @property
    def report(self) -> Report:
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        return self._report

    @report.setter
    def report(self, report: Report) -> None:
        self._report = report
        for part in self._parts:
            part.wire.report = report

    @property
    def measure_error(self) -> bool:
        """Measure the compressor's error at every exchange."""
        return self._parts[0].wire.measure_error

    @measure_error.setter
    def measure_error(self, measure: bool) -> None:
        for part in self._parts:
            part.wire.measure_error = measure

    @property
    def bytes_to(self) -> dict[int, int]:
        """Bytes sent to every neighbour so far."""
        total: dict[int, int] = {}
        for part in self._parts:
            for neighbour, count in part.wire.bytes_to.items():
                total[neighbour] = total.get(neighbour, 0) + count
        return total

    def synchronize(self) -> None:
        """Waits for messages under way."""
        with self.report.clock("exposed"):
            for part in self._parts:
                part.wait()

    def skip_synchronize(self) -> Any:
        """Does nothing; for loops that are written for ``DistributedOptimizer``."""
        return nullcontext()

    def step_and_mix(self, closure: Callable[[], float] | None = None) -> Any:
        """Takes the optimizer's step with this rank's own gradients, then mixes. This is the instance's ``step``.

        Raises:
            LocalDivergenceError: this rank's parameters, or a neighbour's, hold Inf or NaN; or gossip diverges.
            ConfigurationError: a ``GradScaler`` calls, and the mixing sends gradients in every step.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.buffer.check()
        self._check_thawed()
        with torch.no_grad():
            overflowed = self._overflowed()
            if overflowed is not None and any(part.mixing.tracks for part in self._parts):
                raise ConfigurationError(
                    f"{self.gossip.mixing} sends gradients in every step, which a GradScaler may skip"
                )
            rate = 0.0 if overflowed else self._rate()
            if not overflowed:
                with self.report.clock("exposed"):
                    for part in self._parts:
                        part.before_step(rate)
                self._step_alone()
            self.finish()
            for part in self._parts:
                part.send(rate)
            if not self.overlap:
                self.finish()
        self.step_count += 1
        if self.gossip.average_every and self.step_count % self.gossip.average_every == 0:
            self.average()
        return loss

    def _step_alone(self) -> None:
        """Takes the optimizer's own step, which is not to see what a ``GradScaler`` has set."""
        scaler = {name: getattr(self, name) for name in ("grad_scale", "found_inf") if hasattr(self, name)}
        for name in scaler:
            setattr(self, name, None)
        self._base.step(self)
        for name, value in scaler.items():
            setattr(self, name, value)

    _step_supports_amp_scaling = True
    """A ``GradScaler`` lets this optimizer take the step, which mixes even where overflow skips the local step."""

    def _overflowed(self) -> bool | None:
        """Divides gradients by the scale of a ``GradScaler`` and tells whether it has found Inf or NaN.

        Returns None if there is no scaler.
        """
        scale, found = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if scale is not None:
            for parameter in self._mixed_ones:
                if parameter.grad is not None:
                    parameter.grad.div_(scale)
        return None if found is None else bool(found)

    def _rate(self) -> float:
        """Returns the step size, if it is needed.

        Raises:
            ConfigurationError: parameter groups have different ones.
        """
        if self.gossip.mixing != "lead" and not self.gossip.quasi_global_momentum:
            return 1.0
        rates = {float(group["lr"]) for group in self.param_groups if "lr" in group}
        if len(rates) != 1:
            raise ConfigurationError("lead and quasi-global momentum need one step size lr for all parameter groups")
        return rates.pop()

    @torch.no_grad()
    def finish(self) -> None:
        """Mixes with what is under way; afterwards nothing is."""
        with self.report.clock("exposed"):
            for part in self._parts:
                part.hear()

    def _check_thawed(self) -> None:
        thawed = [name for p, name in self._parameter_names.items() if p.requires_grad and p not in self._mixed_ones]
        if thawed:
            raise ConfigurationError(f"{listing(thawed)} had no gradient when the optimizer was made; unfreeze before")

    def means(self) -> list[Tensor]:
        """Returns the mean over ranks of every buffer's vector, the same bits on all. Collective."""
        return [
            self._exact.mean(part.vector, Beside(), self.transport.unique(f"{self._name}.mean")) for part in self._parts
        ]

    def average(self) -> None:
        """Makes the exact mean of all ranks' parameters everyone's, with what is under way. Collective."""
        self.finish()
        for part, mean in zip(self._parts, self.means(), strict=True):
            part.vector.copy_(mean)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lets the parameters be the mean of all ranks' inside the context. Collective."""
        own = [part.vector.clone() for part in self._parts]
        for part, mean in zip(self._parts, self.means(), strict=True):
            part.vector.copy_(mean)
        try:
            yield
        finally:
            for part, vector in zip(self._parts, own, strict=True):
                part.vector.copy_(vector)

    def consensus_distance(self) -> float:
        """Returns the root of the mean over ranks of ||x_i - mean||^2 over ||mean||^2. Collective."""
        means = self.means()
        away = sum(
            float((part.vector - mean).double().square().sum()) for part, mean in zip(self._parts, means, strict=True)
        )
        everyone = self.transport.all_gather_object(away, f"{self._name}.distance")
        norm = sum(float(mean.double().square().sum()) for mean in means)
        return (sum(everyone) / len(everyone) / norm) ** 0.5 if norm else 0.0

    def check_links(self) -> None:
        """Compares what every rank has sent with what its neighbours have heard. Collective.

        Raises:
            TrainingError: on all ranks; the two ends of a link have not the same replica.
        """
        self.synchronize()
        for part in self._parts:
            ends = self.transport.all_gather_object(part.wire.ends, f"{part.wire.name}.links")
            if bad := disagreements(ends):
                pairs = ", ".join(f"{sender} to {receiver}" for sender, receiver in bad)
                raise TrainingError(f"replicas differ: the two ends have not the same messages from rank {pairs}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Raises ConfigurationError: all parameters must be there from the start."""
        if not hasattr(self, "_parts"):
            return self._base.add_param_group(self, param_group)
        raise ConfigurationError("a decentralized optimizer takes no further parameters; make it with all of them")

    def state_dict(self) -> dict[str, Any]:
        """Returns the optimizer's state, with the state of this rank alone under ``local``."""
        self.synchronize()  # what is under way has drawn random keys, and is counted
        state = separate(self._base.state_dict(self), self.compression, None)
        local = {
            "moments": state["state"],
            "parts": [part.state_dict() for part in self._parts],
            "rank": self.transport.rank,
            "ranks": self.transport.size,
        }
        return {**state, "state": {}, "step_count": self.step_count, "local": {**state["local"], **local}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads ``state_dict``, parameters included; or the state of the wrapped optimizer alone. Collective.

        If any rank loads state that another has saved, or state of another number of ranks, all keep the parameters,
        and neighbours tell them each other anew.

        Raises:
            ConfigurationError: the state is that of another compressor.
        """
        state, local = dict(state_dict), state_dict.get("local", {})
        self.step_count = state.pop("step_count", 0)
        super().load_state_dict(join({**state, "state": local.get("moments", state["state"])}, self.compression))
        parts = local.get("parts", ())
        own = bool(parts) and local["ranks"] == self.transport.size and local["rank"] == self.transport.rank
        resets = not all(self.transport.all_gather_object(own, f"{self._name}.load"))
        for part, stored in zip(self._parts, parts, strict=bool(parts)):
            part.vector.copy_(stored["parameters"]) if resets else part.load_state_dict(stored)
        for part in self._parts if resets else ():
            part.reset()
