"""Any torch optimizer, with gradients averaged over ranks through a compressor."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor, Half, Identity, LevelUpdate
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Exchange, ExchangeOptions, Pipeline, Report
from hvd_qgenx.optim.agreement import check_agreement
from hvd_qgenx.optim.buffers import flatten
from hvd_qgenx.optim.hooks import BackwardHooks
from hvd_qgenx.optim.level_updates import update_levels
from hvd_qgenx.optim.not_finite import raise_not_finite
from hvd_qgenx.optim.parameters import in_backward_order, name_parameters
from hvd_qgenx.optim.state import join, separate
from hvd_qgenx.optim.worker_sums import WorkerSum
from hvd_qgenx.optim.workers import WorkerAware
from hvd_qgenx.optim.wrapping import Wrapper, wrap
from hvd_qgenx.transport import Transport


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
    wrapped = wrap(optimizer, _Distributed, *exchange.transport.optimizer_bases())
    wrapped._distribute(named_parameters, _as_compressor(compression), backward_passes_per_step, exchange)
    return wrapped


class _Distributed(Wrapper):
    """Exchanges gradients before the optimizer moves.

    The methods stand before those of Horovod's class, which sends one collective for every
    tensor, refuses ``zero_grad(set_to_none=True)`` and steps a closure without averaging.
    """

    def _distribute(
        self,
        named_parameters: Iterable[tuple[str, Tensor]] | None,
        compression: Compressor,
        backward_passes_per_step: int,
        exchange: Exchange,
    ) -> None:
        transport = exchange.transport
        self.exchange = exchange
        self.compression = compression.for_rank(transport.rank)
        self.measure_error = False
        """Measure the compressor's error at every exchange (costs one more decode)."""
        self.overlap = True
        """Exchange gradients as backward computes them; otherwise, when ``step`` or the like is called."""
        self.update_levels_next = False
        """Let a compressor that learns fit its levels to the next gradients, before they are exchanged; once."""
        self.level_update: LevelUpdate | None = None
        """The last level update; equal on all ranks."""
        self.report = Report()
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        self.exchange_count = 0
        """Exchanges of all gradients so far."""
        self._name = transport.unique("optimizer")
        self._names = name_parameters(self.param_groups, named_parameters)
        self._buffers = flatten(in_backward_order(self.param_groups), self.compression)
        self._buffer_of = {parameter: buffer for buffer in self._buffers for parameter in buffer.parameters}
        self._exchanges = [exchange.resolve(buffer.codec, isinstance(self, WorkerAware)) for buffer in self._buffers]
        self._background = ThreadPoolExecutor(1, "exchange")
        self._pipeline: Pipeline | None = None
        self._own: dict[Tensor, Tensor] = {}
        self._sum = WorkerSum(transport, f"{self._name}.sum")
        self._should_synchronize = True
        self._synchronized = False
        slices = [chosen.slices(buffer.codec) for chosen, buffer in zip(self._exchanges, self._buffers, strict=True)]
        check_agreement(self._names, self.compression, self._buffers, slices, transport, f"{self._name}.layout")
        self._hooks = BackwardHooks(self._names, self._gradient_computed, backward_passes_per_step)

    @property
    def backward_passes_per_step(self) -> int:
        """Backward passes accumulated before an exchange."""
        return self._hooks.passes

    @backward_passes_per_step.setter
    def backward_passes_per_step(self, passes: int) -> None:
        self._hooks.passes = passes

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Changes the number of backward passes accumulated before an exchange."""
        self.backward_passes_per_step = passes

    def _gradient_computed(self, parameter: Tensor, complete: bool) -> None:
        """Takes a gradient into its buffer after a backward pass; starts its exchange once it is complete."""
        buffer = self._buffer_of[parameter]
        buffer.collect(parameter)
        if self.overlap and not self.update_levels_next and complete:
            self._pipeline = self._pipeline or self._begin(self._background)
            self._pipeline.ready(parameter)
        buffer.watch()

    def _begin(self, background: Executor | None) -> Pipeline:
        """Prepares the exchange of all gradients; none is sent yet."""
        options = ExchangeOptions(1 / self.backward_passes_per_step, self.measure_error, isinstance(self, WorkerAware))
        pipeline = Pipeline(background)
        for number, (buffer, exchange) in enumerate(zip(self._buffers, self._exchanges, strict=True)):
            buffer.unwatch()
            transfer = exchange.begin(buffer.unwatched, buffer.codec, f"{self._name}.{number}", options)
            pipeline.add(transfer, exchange.slices(buffer.codec), exchange.reduce, buffer.spans)
        return pipeline

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
            pipeline, self._pipeline = self._pipeline or self._begin(None), None
            pipeline.start_all()
            for buffer, transfer in zip(self._buffers, pipeline.transfers, strict=True):
                if transfer.own is not None:
                    self._own.update(buffer.split(transfer.own))
            self._start_sum()
            pipeline.finish()
        self._hooks.reset()
        self.exchange_count += 1
        for transfer in pipeline.transfers:
            self.report.add(transfer.report)
        if not all(transfer.finite for transfer in pipeline.transfers):
            self._raise_not_finite(pipeline)
        self._synchronized = True

    def _collect(self) -> None:
        """Takes gradients that backward did not compute into the buffers."""
        for buffer in self._buffers:
            strays = buffer.strays()
            if self._pipeline is not None and (buffer.changed() or not all(map(self._pipeline.awaits, strays))):
                raise RuntimeError(
                    "gradients were changed after backward, when their exchange had begun; "
                    "call synchronize() first and move inside skip_synchronize(), or set overlap = False"
                )
            for parameter in strays:
                buffer.collect(parameter)

    def _update_levels(self) -> None:
        if self._pipeline is not None:
            raise RuntimeError("update_levels_next must be set before backward, whose gradients are on their way")
        self.update_levels_next = False
        transport, name = self.exchange.transport, f"{self._name}.level_update"
        found = update_levels(self._buffers, self.backward_passes_per_step, transport, name, self.report)
        self.level_update = found or self.level_update

    def _raise_not_finite(self, pipeline: Pipeline) -> None:
        found = zip(self._buffers, pipeline.transfers, strict=True)
        bad = {parameter for buffer, transfer in found for parameter in buffer.owners(transfer.not_finite)}
        names = [name for parameter, name in self._names.items() if parameter in bad]
        raise_not_finite(names, self.compression, self.exchange.transport, f"{self._name}.non-finite")

    @contextmanager
    def skip_synchronize(self) -> Iterator[None]:
        """Lets ``step`` and ``extrapolation`` inside the context use the gradients as they are.

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
        if self._pipeline is not None:  # all ranks have begun this exchange, so all must end it
            self._pipeline.finish()
            self._pipeline = None
        self._own.clear()
        self._sum.forget()
        self._synchronized = False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets gradients to zero, in place; ``set_to_none`` is accepted and means the same."""
        self._forget_exchange()
        self._hooks.reset()
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
        """Returns the sum of all ranks' ``worker_term``, rounded once, so that it has the same bits on all ranks."""
        if not self._sum.started:
            self._start_sum()
        return self._sum.wait(self.report)

    def _start_sum(self) -> None:
        """Sends this rank's term, if the coming move needs the sum."""
        term = self.worker_term() if isinstance(self, WorkerAware) else None
        if term is not None:
            self._sum.start(term)

    def state_dict(self) -> dict[str, Any]:
        """Returns the optimizer's state, with the state of this rank alone under ``local``."""
        worker_state = self.worker_state if isinstance(self, WorkerAware) else None
        return separate(self._base.state_dict(self), self.compression, worker_state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads ``state_dict``, or the state of the wrapped optimizer alone, which keeps the compressor's state."""
        self._base.load_state_dict(self, join(state_dict, self.compression))
        self._hooks.reset()
        self._forget_exchange()


def _horovod() -> Transport:
    from hvd_qgenx.transport.horovod import Horovod

    return Horovod()


def _as_compressor(compression: Any) -> Compressor:
    """Returns the compressor; Horovod's ``Compression.none`` and ``.fp16`` become the equivalent ones."""
    if compression is None:
        return Identity()
    if isinstance(compression, Compressor):
        return compression
    stock = {"NoneCompressor": Identity, "FP16Compressor": Half}.get(getattr(compression, "__name__", ""))
    if stock is None:
        raise ConfigurationError(f"compression must be a compressor, as compressors.make returns, not {compression!r}")
    return stock()
