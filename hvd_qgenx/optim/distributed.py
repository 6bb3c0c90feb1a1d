"""Any torch optimizer, with gradients averaged over ranks through a compressor."""

import logging
import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor, LevelUpdate
from compressors.integers import squared_norm
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Exchange, Pipeline, Report
from hvd_qgenx.optim import grad_scaler
from hvd_qgenx.optim.buffers import FlatGradients, flatten
from hvd_qgenx.optim.gradient_exchange import GradientExchange
from hvd_qgenx.optim.hooks import BackwardHooks
from hvd_qgenx.optim.lone_step import LoneStep
from hvd_qgenx.optim.memories import Memories
from hvd_qgenx.optim.not_finite import listing, raise_not_finite
from hvd_qgenx.optim.parameters import given_names, in_backward_order, name_parameters, route_names
from hvd_qgenx.optim.sparse import mean_of_rows
from hvd_qgenx.optim.state import join, ranks_of, separate
from hvd_qgenx.optim.stock import as_compressor, check_groups, check_passes, is_sum, transport_of
from hvd_qgenx.optim.worker_sums import WorkerSum
from hvd_qgenx.optim.workers import WorkerAware
from hvd_qgenx.optim.wrapping import Wrapper, wrap
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.cores import share_kernels

log = logging.getLogger(__name__)


def DistributedOptimizer(  # noqa: N802 (Horovod's name)
    optimizer: Optimizer,
    named_parameters: Iterable[tuple[str, Tensor]] | None = None,
    compression: Compressor | Any = None,
    backward_passes_per_step: int = 1,
    op: Any = None,
    gradient_predivide_factor: float = 1.0,
    num_groups: int = 0,
    groups: int | Sequence[Sequence[Tensor]] | None = None,
    sparse_as_dense: bool = False,
    process_set: Any = None,
    *,
    exchange: str | Exchange = "auto",
    transport: Transport | None = None,
    feedback: str = "none",
    shift_rate: float = 1.0,
    local_momentum: bool = False,
    local_clip: float = 0.0,
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
        backward_passes_per_step: backward passes whose gradients are added up before an exchange.
        op: Horovod's ``Average`` (the default) or ``Sum``.
        gradient_predivide_factor: accepted; what an exchange adds up is divided so that it cannot overflow anyway.
        num_groups: accepted; gradients are fused anyway.
        groups: likewise.
        sparse_as_dense: exchange sparse gradients as dense ones; by default their rows are exchanged.
        process_set: Horovod's; the ranks that take part. On the others the optimizer works alone.
        exchange: ``auto``, ``allreduce``, ``allgather``, ``two-phase``, ``integer-sum``, ``hierarchical``, or an
            ``Exchange`` that serves no other optimizer.
        transport: for an exchange given by name; default: Horovod, which is initialized if need be.
        feedback: ``error`` for error feedback, ``shift`` for DIANA's shifts, or ``none``; see ``exchange.feedback``.
        shift_rate: rate at which shifts follow; for a compressor of relative variance w at most 1 / (1 + w).
        local_momentum: apply the momentum and weight decay of ``torch.optim.SGD`` before the exchange, to each rank's
            own gradient, instead of to the mean.
        local_clip: over the square root of the number of ranks the largest norm of a rank's own gradient, which is
            scaled down to it before anything else; 0: any. Gradients are then exchanged once all are computed.

    Raises:
        ConfigurationError: names do not fit, ranks disagree on parameters or compression, the optimizer is
            distributed already, an argument of Horovod's is not supported, or ``local_momentum`` with another optimizer
            than SGD.

    Examples:
        One rank alone runs the compressor too, and sends nothing:

        >>> import compressors
        >>> model = torch.nn.Linear(100, 10)
        >>> optimizer = DistributedOptimizer(
        ...     torch.optim.SGD(model.parameters(), lr=0.1),
        ...     model.named_parameters(),
        ...     compressors.Exempt(compressors.make("minmax", bits=4)),
        ... )
        >>> model(torch.ones(1, 100)).square().sum().backward()
        >>> optimizer.step()
        >>> optimizer.exchange_count, optimizer.report.bytes_sent
        (1, 0)
    """
    check_groups(num_groups, groups)
    total, passes = is_sum(op, gradient_predivide_factor), check_passes(backward_passes_per_step)
    compressor = as_compressor(compression)
    if isinstance(exchange, str):
        exchange = exchanges.make(exchange, transport or transport_of(process_set))
    step = _Distributed.exchange_and_step
    wrapped = wrap(optimizer, _Distributed, *exchange.transport.optimizer_bases(), step=step)
    memories = Memories(feedback, shift_rate, local_momentum)
    wrapped._distribute(given_names(named_parameters), compressor, passes, exchange, total, sparse_as_dense, memories)
    wrapped.local_clip, wrapped.overlap = local_clip, not local_clip
    return wrapped


class _Distributed(Wrapper):
    """Exchanges gradients before the optimizer moves.

    The methods stand before those of Horovod's class, which sends one collective for every
    tensor, refuses ``zero_grad(set_to_none=True)`` and steps a closure without averaging.
    """

    def _distribute(
        self,
        given: dict[Tensor, str],
        compression: Compressor,
        passes: int,
        exchange: Exchange,
        total: bool,
        sparse_as_dense: bool,
        memories: Memories,
    ) -> None:
        transport = exchange.transport
        share_kernels(transport)
        self.exchange = exchange
        self.compression = compression.for_rank(transport.rank, ranks=transport.size)
        self.measure_error = False
        """Measure the compressor's error at every exchange (costs one more decode)."""
        self.raise_on_divergence = False
        """Raise an error also if the same gradients of all ranks hold Inf or NaN: without ranks to blame, training goes
        on by default, with a warning, as it does in torch."""
        self.overlap = True
        """Exchange gradients as backward computes them; otherwise, when ``step`` or the like is called."""
        self.local_clip = 0.0
        """Over the square root of the number of ranks, the largest norm of this rank's own gradient; 0: any."""
        self.update_levels_next = False
        """Let a compressor that learns fit its levels to the next gradients, before they are exchanged; once."""
        self.level_updates: dict[str, LevelUpdate] = {}
        """The last level update by group of tensors, ``""`` for all of them; equal on all ranks."""
        self.report = Report()
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        self.exchange_count = 0
        """Exchanges of all gradients so far."""
        self.sparse_as_dense = sparse_as_dense
        """Exchange sparse gradients as dense ones."""
        self._memories = memories
        several = isinstance(self, WorkerAware) or hasattr(self._base, "extrapolation")
        if memories.feedback != "none" and several and transport.rank == 0:
            log.warning(
                f"feedback {memories.feedback!r} with {self._base.__name__}: its theory covers one gradient a step, "
                "not extra-gradient steps or sums over workers"
            )
        self._name = transport.unique("optimizer")
        self._parameter_names = name_parameters(self.param_groups, given)
        self._route_names = route_names(self.param_groups, given)
        self._scale = float(transport.size) if total else 1.0
        self._background = ThreadPoolExecutor(1, "exchange")
        self._pipeline: Pipeline | None = None
        self._own: dict[Tensor, Tensor] = {}
        self._sum = WorkerSum(transport, f"{self._name}.sum")
        self._should_synchronize = True
        self._synchronized = self._seen_by_scaler = False
        self._not_finite: list[str] | None = None
        """Names of this rank's gradients that held Inf or NaN; None if the means are finite."""
        self._lone_step = LoneStep()
        self._sparse: dict[Tensor, str] = {}
        """Parameters whose gradients are exchanged as rows, with their names."""
        self._hooks = BackwardHooks(self._gradient_computed, passes)
        self._lay_out()
        self._gradients.warn_of_doubts()
        grad_scaler.install()

    def _lay_out(self, before: Container[Tensor] = ()) -> None:
        """Makes flat buffers for all gradients that are exchanged as such; keeps gradients as they are. Collective.

        Args:
            before: parameters that had a place in buffers before.
        """
        taken = [p for p in in_backward_order(self.param_groups) if p.requires_grad or p in before]
        names = {parameter: self._parameter_names[parameter] for parameter in taken if parameter not in self._sparse}
        self._gradients = GradientExchange(
            flatten(names, self.compression, FlatGradients, self._route_names),
            names,
            self.compression,
            self.exchange,
            self._memories,
            self.param_groups,
            self._name,
            keep_own=isinstance(self, WorkerAware),
            extrapolates=hasattr(self._base, "extrapolation"),
        )
        for parameter in names:
            self._hooks.add(parameter, names[parameter])
        exchanged = {*names, *self._sparse}
        self._left_out = [parameter for parameter in self._parameter_names if parameter not in exchanged]

    @property
    def backward_passes_per_step(self) -> int:
        """Backward passes whose gradients are added up before an exchange."""
        return self._hooks.passes

    @backward_passes_per_step.setter
    def backward_passes_per_step(self, passes: int) -> None:
        self._hooks.passes = check_passes(passes)

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Changes the number of backward passes whose gradients are added up before an exchange."""
        self.backward_passes_per_step = passes

    def _gradient_computed(self, parameter: Tensor, complete: bool) -> None:
        """Takes a gradient into its buffer after a backward pass; starts its exchange once it is complete."""
        self._synchronized = self._seen_by_scaler = False
        buffer = self._gradients.buffer_of.get(parameter)
        if buffer is None:  # its gradient is sparse
            return
        buffer.collect(parameter)
        if self.overlap and not self.update_levels_next and complete:
            self._pipeline = self._pipeline or self._begin(self._background)
            self._pipeline.ready(parameter)
        buffer.watch()

    def _begin(self, background: Executor | None) -> Pipeline:
        """Prepares the exchange of all flat buffers; none is sent yet."""
        for buffer in self._gradients.buffers:
            buffer.unwatch()
        scale = self._scale * self._clipping()
        apart = background is not None
        return self._gradients.begin(background, scale=scale, measure_error=self.measure_error, apart=apart)

    def _clipping(self) -> float:
        """Returns the factor that clips this rank's own gradient; 1 also if it holds Inf or NaN."""
        if not self.local_clip:
            return 1.0
        norm = math.sqrt(sum(squared_norm(buffer.vector) for buffer in self._gradients.buffers)) * self._scale
        limit = self.local_clip / math.sqrt(self.exchange.transport.size)
        return limit / norm if math.isfinite(norm) and norm > limit else 1.0

    def synchronize(self) -> None:
        """Replaces the gradients by their means over all ranks, the same bits on each.

        If the gradient of any rank held Inf or NaN, so does the mean, and the next move raises an error, unless a
        ``GradScaler`` skips it.

        Raises:
            RuntimeError: gradients were changed after backward, when their exchange had begun.
        """
        with self.report.clock("exposed"):
            self._collect()
            if self.update_levels_next:
                self._update_levels()
            pipeline, self._pipeline = self._pipeline or self._begin(None), None
            pipeline.start_all()
            for buffer, transfer in zip(self._gradients.buffers, pipeline.transfers, strict=True):
                if isinstance(self, WorkerAware):
                    self._own.update(buffer.split(transfer.known_own()))
            self._start_sum()
            self._gradients.finish(pipeline, self.report)
            self._not_finite = self._find_not_finite(pipeline)
            self._exchange_others()
        self._hooks.reset()
        self.exchange_count += 1
        if self.exchange_count == 1:
            self._settle()
        self._synchronized = True

    def _collect(self) -> None:
        """Takes gradients that backward did not compute into the buffers."""
        for buffer in self._gradients.buffers:
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
        self.level_updates = self._gradients.update_levels(self._scale, self.report) or self.level_updates

    def _find_not_finite(self, pipeline: Pipeline) -> list[str] | None:
        """Returns the names of this rank's gradients that held Inf or NaN, if a mean does."""
        if all(transfer.finite for transfer in pipeline.transfers):
            return None
        found = zip(self._gradients.buffers, pipeline.transfers, strict=True)
        bad = {parameter for buffer, transfer in found for parameter in buffer.owners(transfer.not_finite)}
        return [name for parameter, name in self._parameter_names.items() if parameter in bad]

    def _exchange_others(self) -> None:
        """Exchanges the gradients that lie in no buffer: sparse ones, and those of parameters that were just thawed."""
        for number, parameter in enumerate(self._sparse):
            self._exchange_rows(parameter, f"{self._name}.sparse.{number}")
        thawed = [parameter for parameter in self._left_out if parameter.requires_grad]
        if thawed and "momentum" in self._memories.kind:
            raise ConfigurationError("local_momentum needs all parameters from the start; unfreeze them before")
        if thawed:
            for number, parameter in enumerate(thawed):
                self._exchange_thawed(parameter, f"{self._name}.thawed.{number}")
            self._lay_out(self._gradients.buffer_of)
        for buffer in self._gradients.buffers:
            buffer.make_sparse()

    def _exchange_rows(self, parameter: Tensor, name: str) -> None:
        own, transport = parameter.grad, self.exchange.transport
        compressor = self.compression.route(parameter.shape, self._route_names.get(parameter))
        mean = mean_of_rows(own, parameter, compressor, self._scale, transport, name, self.report)
        parameter.grad = mean
        self._note_not_finite(parameter, own, mean.values())

    def _exchange_thawed(self, parameter: Tensor, name: str) -> None:
        """Exchanges a gradient for which there is no buffer yet, uncompressed."""
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.to_dense()
        vector = own.flatten().to(torch.promote_types(own.dtype, torch.float32)).mul(self._scale)
        mean = self.report.wait(self.exchange.transport.all_reduce_mean(vector, name))
        parameter.grad = mean.view(own.shape).to(own.dtype)
        self._note_not_finite(parameter, own, mean)

    def _note_not_finite(self, parameter: Tensor, own: Tensor | None, mean: Tensor) -> None:
        if not torch.isfinite(mean).all():
            bad = own is not None and not torch.isfinite(own.to_dense()).all()
            self._not_finite = [*(self._not_finite or ()), *([self._parameter_names[parameter]] if bad else ())]

    def _settle(self) -> None:
        """Agrees, at the first exchange, on what was not known when the optimizer was made. Collective."""
        found = [] if self.sparse_as_dense else [p for buffer in self._gradients.buffers for p in buffer.sparse]
        mine = (self._lone_step.taken, [self._parameter_names[parameter] for parameter in found])
        everyone = self.exchange.transport.all_gather_object(mine, f"{self._name}.first")
        self._lone_step.settle(taken for taken, _ in everyone)
        sparse = {name for _, names in everyone for name in names}
        if sparse and self._memories.kind != "none":
            raise ConfigurationError(
                "sparse gradients have no feedback or local momentum; exchange them with sparse_as_dense=True"
            )
        if sparse:
            self._sparse = {parameter: name for parameter, name in self._parameter_names.items() if name in sparse}
            self._lay_out(self._gradients.buffer_of)

    def exchange_for_scaler(self) -> None:
        """Replaces gradients by their means, unless ``synchronize`` has; the next move does not exchange them again."""
        if not self._synchronized or any(buffer.strays() for buffer in self._gradients.buffers):
            self.synchronize()
        self._seen_by_scaler = True

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

    def exchange_and_step(self, closure: Callable[[], float] | None = None) -> Any:
        """Exchanges gradients, then takes the optimizer's step. This is the instance's ``step``.

        Raises:
            NonFiniteGradientError: on all ranks, if the gradient of any held Inf or NaN.
            ValueError: a closure was given: its gradients would not be averaged.
        """
        if closure is not None:
            raise ValueError("a distributed optimizer takes no closure: gradients computed in it are not averaged")
        return self._move(self._base.step)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Makes the optimizer's state by a step with zero gradients, of this rank alone.

        Horovod's ``broadcast_optimizer_state`` calls it, as ``super().step()``; see ``LoneStep``.
        """
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self._lone_step.take(parameters, lambda: self._base.step(self))

    def extrapolation(self) -> None:
        """Exchanges gradients, then takes the optimizer's extrapolation.

        Raises:
            NonFiniteGradientError: on all ranks, if the gradient of any held Inf or NaN.
            TypeError: it has none.
        """
        extrapolation = getattr(self._base, "extrapolation", None)
        if extrapolation is None:
            raise TypeError(f"{self._base.__name__} has no extrapolation; call step() only")
        self._move(extrapolation)

    def _move(self, function: Callable[[Any], Any]) -> Any:
        exchanges = self._should_synchronize and not self._seen_by_scaler
        if exchanges and self._synchronized and self.exchange.transport.rank == 0:
            log.warning(
                "optimizer.step() called without optimizer.skip_synchronize() after optimizer.synchronize(): "
                "gradients are exchanged a second time"
            )
        try:
            if exchanges:
                self.synchronize()
            if self._not_finite is not None and not hasattr(self, "found_inf"):  # which a GradScaler looks after
                self._handle_not_finite(self._not_finite)
            self._gradients.scales.before_move()
            moved = function(self)
            self._gradients.scales.after_move()
            return moved
        finally:
            self._forget_exchange()

    def _handle_not_finite(self, mine: list[str]) -> None:
        everyone = self.exchange.transport.all_gather_object(mine, f"{self._name}.non-finite")
        if self.raise_on_divergence or not mine or any(theirs != mine for theirs in everyone):
            raise_not_finite(everyone, self.compression)
        if self.exchange.transport.rank == 0:
            log.warning(f"Inf or NaN in gradients on all ranks: {listing(mine)}")

    def _forget_exchange(self) -> None:
        if self._pipeline is not None:  # all ranks have begun this exchange, so all must end it
            self._pipeline.finish()
            self._pipeline = None
        self._own.clear()
        self._sum.forget()
        self._not_finite = None
        self._synchronized = self._seen_by_scaler = False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets gradients to zero, in place; ``set_to_none`` is accepted and means the same.

        Before the first exchange they become None, so that backward shows which ones are sparse.
        """
        self._forget_exchange()
        self._hooks.reset()
        self._base.zero_grad(self, set_to_none)
        for buffer in self._gradients.buffers:
            buffer.zero(hand_out=self.exchange_count > 0)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, which are exchanged from now on. Collective."""
        self._forget_exchange()
        self._base.add_param_group(self, param_group)
        self._parameter_names = {**name_parameters(self.param_groups, {}), **self._parameter_names}
        self._lay_out(self._gradients.buffer_of)

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
        state = separate(self._base.state_dict(self), self.compression, worker_state)
        if self._memories.kind != "none":
            state["local"]["memory"] = self._memories.state(self._parameter_names)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads ``state_dict``, or the state of the wrapped optimizer alone, which keeps the compressor's state.

        Of state that another rank has saved, it takes what all ranks share, with a warning.

        Raises:
            ConfigurationError: the state is that of another compressor.
        """
        super().load_state_dict(join(state_dict, self.compression))
        if local := state_dict.get("local"):
            own = ranks_of(local["compression"]) == {self.compression.stream.rank}
            self._memories.load(local.get("memory") if own else None, self._parameter_names)
        self._hooks.reset()
        self._forget_exchange()
