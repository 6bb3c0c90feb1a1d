"""Any torch optimizer, with gradients averaged over ranks through a compressor."""

import math
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor, Half, Identity, Learner, LevelUpdate, fingerprint
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError, NonFiniteGradientError, TrainingError
from hvd_qgenx.exchange import Exchange, Report, Shipment
from hvd_qgenx.optim.flat import flatten
from hvd_qgenx.optim.round import Inline, Round
from hvd_qgenx.optim.workers import WorkerAware
from hvd_qgenx.transport import Transport, Work


def DistributedOptimizer(  # noqa: N802 (Horovod's name)
    optimizer: Optimizer,
    named_parameters: Iterable[tuple[str, Tensor]] | None = None,
    compression: Compressor | Any = None,
    backward_passes_per_step: int = 1,
    *,
    exchange: str | Exchange = "auto",
    transport: Transport | None = None,
) -> Any:
    """Makes ``optimizer`` average its gradients over all ranks before it moves.

    Stands in for ``hvd.DistributedOptimizer``. The result is of a class made for the occasion: a
    subclass of the optimizer's own class and, under Horovod, of Horovod's ``_DistributedOptimizer``.
    ``step()`` exchanges gradients first; so does ``extrapolation()`` of an optimizer that has it.
    State that the optimizer has already is kept. In ``state_dict``, ``local`` holds what is this
    rank's alone, the compressor's state among it; the rest is equal on all ranks.

    A ``WorkerAware`` optimizer, as ``QGenX`` is, also gets what it asks of the ranks.

    Gradients may come from backward passes or be filled into ``.grad``. A missing gradient counts
    as zeros. All players of a game belong into one optimizer, one parameter group each; a group's
    optional key ``player`` names it in error messages.

    Args:
        optimizer: any torch optimizer; use the result in its place from now on.
        named_parameters: names for error messages, as from ``model.named_parameters()``.
        compression: compressor, of which a copy gets the random stream of this rank; or Horovod's
            ``Compression.none`` (the default) or ``Compression.fp16``.
        backward_passes_per_step: backward passes accumulated before an exchange. The exchanged
            gradient is their average (stock Horovod exchanges their sum).
        exchange: ``auto``, ``allreduce``, ``allgather``, ``two-phase``, ``hierarchical``, or an ``Exchange`` that
            serves no other optimizer.
        transport: for an exchange given by name; default: Horovod, which is initialized if need be.

    Raises:
        ConfigurationError: names do not fit, ranks disagree on parameters or compression, or a
            scheduler has a hold of the optimizer's ``step``, which would then not be the one made here.
    """
    if "step" in optimizer.__dict__:
        raise ConfigurationError("make learning-rate schedulers after DistributedOptimizer, for what it returns")
    if isinstance(exchange, str):
        exchange = exchanges.make(exchange, transport or _horovod())
    base = type(optimizer)
    bases = (_Distributed, *exchange.transport.optimizer_bases(), base)
    made: type[_Distributed] = type(base.__name__, bases, {"_base": base})
    wrapped = made.__new__(made)
    wrapped.__dict__.update(optimizer.__dict__)
    wrapped._wrap(named_parameters, _as_compressor(compression), backward_passes_per_step, exchange)
    return wrapped


class _Distributed(Optimizer):
    """What every distributed optimizer adds to the class it is made for.

    The methods stand before those of Horovod's class, which sends one collective for every
    tensor, refuses ``zero_grad(set_to_none=True)`` and steps a closure without averaging.
    """

    _base: type[Optimizer]

    def _wrap(
        self,
        named_parameters: Iterable[tuple[str, Tensor]] | None,
        compression: Compressor,
        backward_passes_per_step: int,
        exchange: Exchange,
    ) -> None:
        self.exchange = exchange
        self.compression = compression.for_rank(exchange.transport.rank)
        self.backward_passes_per_step = backward_passes_per_step
        self.measure_error = False
        """Measure the compressor's error at every exchange (costs one more decode)."""
        self.overlap = True
        """Exchange gradients as backward computes them; otherwise, when ``step`` or the like is called."""
        self.update_levels_next = False
        """Let a compressor that learns do so from the next gradients, before they are exchanged; once."""
        self.level_update: LevelUpdate | None = None
        """What the compressor learned last; equal on all ranks."""
        self.report = Report()
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        self._names = self._name_parameters(named_parameters)
        self._buffers = flatten(self._as_they_appear(), self.compression)
        self._buffer_of = {parameter: buffer for buffer in self._buffers for parameter in buffer.parameters}
        self._background = ThreadPoolExecutor(1, "exchange")
        self._round: Round | None = None
        self._own: dict[Tensor, Tensor] = {}
        self._sum: Work[list[Tensor]] | None = None
        self._passes: dict[Tensor, int] = {}
        self._prefix = exchange.transport.unique("optimizer")
        self._should_synchronize = True
        self._synchronized = False
        self._check_agreement()
        for parameter in self._names:
            parameter.register_post_accumulate_grad_hook(_weakly(self._count_pass))

    def _name_parameters(self, named: Iterable[tuple[str, Tensor]] | None) -> dict[Tensor, str]:
        given = {parameter: name for name, parameter in named or ()}
        names: dict[Tensor, str] = {}
        for index, group in enumerate(self.param_groups):
            player = group.get("player")
            for place, parameter in enumerate(group["params"]):
                if given and parameter not in given:
                    raise ConfigurationError(f"named_parameters leaves out parameter {place} of group {index}")
                if parameter.requires_grad:
                    name = repr(given.get(parameter, f"{index}.{place}"))
                    names[parameter] = f"{player} parameter {name}" if player else f"parameter {name}"
        return names

    def _as_they_appear(self) -> Iterator[Tensor]:
        """Parameters in the order in which backward is expected to reach them: every group from its end."""
        for group in self.param_groups:
            yield from (parameter for parameter in reversed(group["params"]) if parameter in self._names)

    def _check_agreement(self) -> None:
        """All ranks must lay the same parameters end to end, and make the same bits of the same numbers."""
        codecs = [(buffer.codec, buffer.buffer.device) for buffer in self._buffers]
        compressors = [(s.compressor, codec.dtype, device) for codec, device in codecs for s in codec.segments]
        mine = {
            "given different parameters": [(name, tuple(p.shape), str(p.dtype)) for p, name in self._names.items()],
            "given different compression": repr(self.compression),
            "given different exchanges": repr([self.exchange.slices(codec) for codec, _ in codecs]),
            "found to compress the same numbers to different bits; all need the same versions of the same packages, "
            "numba or triton among them, or none has them": [fingerprint(*each) for each in compressors],
        }
        everyone = self.exchange.transport.all_gather_object(mine, f"{self._prefix}.layout")
        for problem in mine:
            for rank, theirs in enumerate(everyone):
                if theirs[problem] != everyone[0][problem]:
                    raise ConfigurationError(f"ranks 0 and {rank} were {problem}")

    def _count_pass(self, parameter: Tensor) -> None:
        """After every backward pass over a parameter."""
        self._passes[parameter] = self._passes.get(parameter, 0) + 1
        if self._passes[parameter] > self.backward_passes_per_step:
            raise RuntimeError(
                f"the gradient of {self._names[parameter]} was computed {self._passes[parameter]} times before an "
                f"exchange; call step() or extrapolation() in between, or set backward_passes_per_step"
            )
        buffer = self._buffer_of[parameter]
        buffer.collect(parameter)
        if self.overlap and not self.update_levels_next and self._passes[parameter] == self.backward_passes_per_step:
            self._round = self._round or self._begin(self._background)
            self._round.ready(parameter)
        buffer.seen = buffer.changes

    def synchronize(self) -> None:
        """Replaces the gradients by their means over all ranks, the same bits on each.

        Raises:
            NonFiniteGradientError: on all ranks, if the gradient of any held Inf or NaN.
            RuntimeError: gradients were changed after backward, when their exchange had begun.
        """
        with self.report.clock("exposed"):
            self._collect()
            if self.update_levels_next:
                self._update_levels()
            current, self._round = self._round or self._begin(Inline()), None
            current.send_all()
            for buffer, shipment in zip(self._buffers, current.shipments, strict=True):
                if shipment.own is not None:
                    self._own.update(zip(buffer.parameters, buffer.split(shipment.own), strict=True))
            self._sum = self._start_sum()
            current.finish()
        self._passes.clear()
        for shipment in current.shipments:
            self.report.add(shipment.report)
        if not all(shipment.finite for shipment in current.shipments):
            self._report_non_finite(current.shipments)
        self._synchronized = True

    def _begin(self, background: Executor) -> Round:
        scale, own = 1 / self.backward_passes_per_step, isinstance(self, WorkerAware)
        return Round(self._buffers, self.exchange, self._prefix, scale, background, self.measure_error, own)

    def _collect(self) -> None:
        """All gradients into the buffers; those that backward made are there."""
        for buffer in self._buffers:
            strays = [parameter for parameter in buffer.parameters if not buffer.holds(parameter)]
            if self._round is not None and (
                buffer.seen not in (None, buffer.changes) or not all(map(self._round.awaits, strays))
            ):
                raise RuntimeError(
                    "gradients were changed after backward, when their exchange had begun; "
                    "call synchronize() first and move inside skip_synchronize(), or set overlap = False"
                )
            for parameter in strays:
                buffer.collect(parameter)

    def _update_levels(self) -> None:
        """Gathers the statistics of all ranks; rank 0 fits new levels, and all ranks apply them."""
        if self._round is not None:
            raise RuntimeError("update_levels_next must be set before backward, whose gradients are on their way")
        self.update_levels_next = False
        seen: dict[Learner, list[Tensor]] = {}
        for buffer in self._buffers:
            for compressor, start, stop in buffer.codec.segments:
                if compressor.learner is not None:
                    seen.setdefault(compressor.learner, []).append(buffer.buffer[start:stop])
        transport, name = self.exchange.transport, f"{self._prefix}.level_update"
        for learner, parts in seen.items():
            mine = torch.from_numpy(learner.observe(torch.cat(parts) / self.backward_passes_per_step))
            gathered = self.report.wait(transport.all_gather(mine, [len(mine)] * transport.size, f"{name}.statistics"))
            level_update = learner.fit([statistics.numpy() for statistics in gathered]) if transport.rank == 0 else None
            self.level_update = self._from_first(level_update, name)
            learner.apply(self.level_update)

    def _from_first(self, level_update: LevelUpdate | None, name: str) -> LevelUpdate:
        """Rank 0's level update on all ranks: floating point may differ between hosts, and levels must not."""
        sent = torch.tensor([] if level_update is None else list(level_update.to_bytes()), dtype=torch.uint8)
        everyone = self.exchange.transport.all_gather(sent, None, name)
        return LevelUpdate.from_bytes(bytes(self.report.wait(everyone)[0].tolist()))

    @contextmanager
    def skip_synchronize(self) -> Iterator[None]:
        """Inside, ``step`` and ``extrapolation`` use the gradients as they are.

        For gradient clipping: ``synchronize()``, clip, then ``step()`` in here.
        """
        self._should_synchronize = False
        try:
            yield
        finally:
            self._should_synchronize = True

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Exchanges gradients, then takes the optimizer's step.

        Raises:
            ValueError: a closure was given: its gradients would not be averaged.
        """
        if closure is not None:
            raise ValueError("a distributed optimizer takes no closure: gradients computed in it are not averaged")
        return self._move(self._base.step)

    def extrapolation(self) -> None:
        """Exchanges gradients, then takes the optimizer's extrapolation.

        Raises:
            TypeError: it has none.
        """
        extrapolation = getattr(self._base, "extrapolation", None)
        if extrapolation is None:
            raise TypeError(f"{self._base.__name__} has no extrapolation; call step() only")
        self._move(extrapolation)

    def _move(self, function: Callable[[Any], Any]) -> Any:
        if self._should_synchronize and self._synchronized:
            warnings.warn("gradients are exchanged a second time; move inside skip_synchronize()", stacklevel=3)
        try:
            if self._should_synchronize:
                self.synchronize()
            return function(self)
        finally:
            self._forget_exchange()

    def _forget_exchange(self) -> None:
        if self._round is not None:  # what all ranks have begun, all must end
            self._round.send_all()
            self._round.finish()
            self._round = None
        self._own.clear()
        self._sum = None
        self._synchronized = False

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Changes the number of backward passes accumulated before an exchange."""
        self.backward_passes_per_step = passes

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets gradients to zero, in place; ``set_to_none`` is accepted and means the same."""
        self._forget_exchange()
        self._passes.clear()
        self._base.zero_grad(self, set_to_none)
        for buffer in self._buffers:
            buffer.zero()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ConfigurationError("add parameter groups before making the optimizer distributed")

    @property
    def workers(self) -> int:
        """Number of ranks."""
        return self.exchange.transport.size

    def worker_gradient(self, parameter: Tensor) -> Tensor | None:
        """This rank's own gradient as the others decode it; without an exchange, the gradient as it is."""
        return self._own.get(parameter, parameter.grad)

    def sum_over_workers(self) -> float:
        """The sum of all ranks' ``worker_term``, rounded once: the same bits on each."""
        work = self._sum or self._start_sum()
        return math.fsum(term.item() for term in self.report.wait(work)) if work else 0.0

    def _start_sum(self) -> Work[list[Tensor]] | None:
        """Sends this rank's term, while gradients are under way."""
        term = self.worker_term() if isinstance(self, WorkerAware) else None
        if term is None:
            return None
        mine = torch.tensor([term], dtype=torch.float64)
        return self.exchange.transport.all_gather(mine, [1] * self.workers, f"{self._prefix}.sum")

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's, and ``local``: what is this rank's alone."""
        state = self._base.state_dict(self)
        local: dict[str, Any] = {"compression": self.compression.state_dict()}
        if isinstance(self, WorkerAware):
            state["state"], local["state"] = _split(state["state"], self.worker_state)
        return {**state, "local": local}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Also takes the state of the optimizer alone; the compressor's state then stays."""
        state_dict = dict(state_dict)
        if local := state_dict.pop("local", None):
            self.compression.load_state_dict(local["compression"])
            own = local.get("state", {})
            state_dict["state"] = {key: {**values, **own.get(key, {})} for key, values in state_dict["state"].items()}
        self._base.load_state_dict(self, state_dict)
        self._passes.clear()
        self._forget_exchange()

    def _report_non_finite(self, shipments: Sequence[Shipment]) -> None:
        bad = [buffer.owners(shipment.not_finite) for buffer, shipment in zip(self._buffers, shipments, strict=True)]
        culprits = [name for parameter, name in self._names.items() if any(parameter in some for some in bad)]
        everyone = self.exchange.transport.all_gather_object(culprits, f"{self._prefix}.non-finite")
        found = [f"rank {rank}: {_listing(names)}" for rank, names in enumerate(everyone) if names]
        if found:
            raise NonFiniteGradientError("Inf or NaN in a gradient on " + "; ".join(found))
        raise TrainingError(
            f"a gradient is too large for compressor {self.compression!r}: finite on every rank, not after the exchange"
        )


def _horovod() -> Transport:
    from hvd_qgenx.transport.horovod import Horovod

    return Horovod()


def _weakly(method: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """The bound method for as long as its object is in use: a parameter may be wrapped again."""
    reference = weakref.WeakMethod(method)

    def call(parameter: Tensor) -> None:
        if (alive := reference()) is not None:
            alive(parameter)

    return call


def _as_compressor(compression: Any) -> Compressor:
    """The compressor, or the one that Horovod's own ``Compression.none`` or ``.fp16`` stands for."""
    if compression is None:
        return Identity()
    if isinstance(compression, Compressor):
        return compression
    stock = {"NoneCompressor": Identity, "FP16Compressor": Half}.get(getattr(compression, "__name__", ""))
    if stock is None:
        raise ConfigurationError(f"compression must be a compressor, as compressors.make returns, not {compression!r}")
    return stock()


def _split(state: dict[int, dict[str, Any]], names: frozenset[str]) -> tuple[dict[int, Any], dict[int, Any]]:
    """The state of all parameters without the entries of these names, and those."""
    without = {key: {name: values[name] for name in values if name not in names} for key, values in state.items()}
    those = {key: {name: values[name] for name in values if name in names} for key, values in state.items()}
    return without, those


def _listing(names: list[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
