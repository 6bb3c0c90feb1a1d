"""Any torch optimizer, with gradients averaged over ranks through a compressor."""

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor, Half, Identity
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError, NonFiniteGradientError, TrainingError
from hvd_qgenx.exchange import Exchange, Report
from hvd_qgenx.optim.fused import fuse
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
    ``step()`` exchanges gradients first; so does ``extrapolation()`` of an extra-gradient
    optimizer. State that the optimizer has already is kept, and ``state_dict`` holds the
    compressor's state beside it.

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
        exchange: ``auto``, ``allreduce``, ``allgather``, ``two-phase``, or an ``Exchange``.
        transport: default: Horovod, which is initialized if need be.

    Raises:
        ConfigurationError: names do not fit, or ranks disagree on parameters or compression.
    """
    if transport is None:
        from hvd_qgenx.transport.horovod import Horovod

        transport = Horovod()
    base = type(optimizer)
    bases = (_Distributed, *transport.optimizer_bases(), base)
    made: type[_Distributed] = type(base.__name__, bases, {"_base": base})
    wrapped = made.__new__(made)
    wrapped.__dict__.update(optimizer.__dict__)
    how = exchanges.make(exchange, transport) if isinstance(exchange, str) else exchange
    wrapped._wrap(named_parameters, _as_compressor(compression), backward_passes_per_step, how)
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
        self.report = Report()
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        self._names = self._name_parameters(named_parameters)
        self._fused = fuse(self._names, self.compression)
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

    def _check_agreement(self) -> None:
        """All ranks must lay the same parameters end to end and decode them alike."""
        mine = [(name, tuple(p.shape), str(p.dtype)) for p, name in self._names.items()]
        everyone = self.exchange.transport.all_gather_object((mine, repr(self.compression)), f"{self._prefix}.layout")
        for rank, theirs in enumerate(everyone):
            if theirs != everyone[0]:
                what = "parameters" if theirs[0] != everyone[0][0] else "compression"
                raise ConfigurationError(f"ranks 0 and {rank} were given different {what}")

    def _count_pass(self, parameter: Tensor) -> None:
        self._passes[parameter] = self._passes.get(parameter, 0) + 1
        if self._passes[parameter] > self.backward_passes_per_step:
            raise RuntimeError(
                f"the gradient of {self._names[parameter]} was computed {self._passes[parameter]} times before an "
                f"exchange; call step() or extrapolation() in between, or set backward_passes_per_step"
            )

    def synchronize(self) -> None:
        """Replaces the gradients by their means over all ranks, the same bits on each.

        Raises:
            NonFiniteGradientError: on all ranks, if the gradient of any held Inf or NaN.
        """
        scale = 1 / self.backward_passes_per_step
        pending = [
            self.exchange.start(group.gather(scale), group.compressor, f"{self._prefix}.{index}", self.measure_error)
            for index, group in enumerate(self._fused)
        ]
        means = [exchange.wait() for exchange in pending]
        for exchange in pending:
            self.report.add(exchange.report)
        if not all(_is_finite(mean) for mean in means):  # means are equal on all ranks, and so is this
            self._report_non_finite()
        for group, mean in zip(self._fused, means, strict=True):
            group.scatter(mean)
        self._passes.clear()
        self._synchronized = True

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
        self._synchronize_once()
        return self._base.step(self)

    def extrapolation(self) -> None:
        """Exchanges gradients, then takes the extrapolation of an extra-gradient optimizer."""
        extrapolation = getattr(self._base, "extrapolation", None)
        if extrapolation is None:
            raise TypeError(f"{self._base.__name__} has no extrapolation; use an extra-gradient optimizer")
        self._synchronize_once()
        extrapolation(self)

    def _synchronize_once(self) -> None:
        if self._should_synchronize:
            if self._synchronized:
                warnings.warn("gradients are exchanged a second time; move inside skip_synchronize()", stacklevel=3)
            self.synchronize()
        self._synchronized = False

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Changes the number of backward passes accumulated before an exchange."""
        self.backward_passes_per_step = passes

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._passes.clear()
        self._base.zero_grad(self, set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ConfigurationError("add parameter groups before making the optimizer distributed")

    def state_dict(self) -> dict[str, Any]:
        return {**self._base.state_dict(self), "compression": self.compression.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Also takes the state of the optimizer alone; the compressor's state then stays."""
        state_dict = dict(state_dict)
        if "compression" in state_dict:
            self.compression.load_state_dict(state_dict.pop("compression"))
        self._base.load_state_dict(self, state_dict)
        self._passes.clear()
        self._synchronized = False

    def _report_non_finite(self) -> None:
        culprits = [name for p, name in self._names.items() if p.grad is not None and not _is_finite(p.grad)]
        everyone = self.exchange.transport.all_gather_object(culprits, f"{self._prefix}.non-finite")
        found = [f"rank {rank}: {_listing(names)}" for rank, names in enumerate(everyone) if names]
        if found:
            raise NonFiniteGradientError("Inf or NaN in a gradient on " + "; ".join(found))
        raise TrainingError(
            f"a gradient is too large for compressor {self.compression!r}: finite on every rank, not after the exchange"
        )


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


def _listing(names: list[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _is_finite(tensor: Tensor) -> bool:
    """One pass in the common case: a finite sum has finite terms."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
