"""The communication hook of torch's ``DistributedDataParallel``: its gradients, exchanged as compressors are made for.

DDP hands over gradients in buckets, which it makes anew after the first iteration. Here they go into the flat buffers
that ``DistributedOptimizer`` exchanges: every parameter has one place, memories stay with it, and means have the same
bits as that optimizer's.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.futures import Future

from compressors import Compressor
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Report
from hvd_qgenx.exchange.pipeline import Pipeline
from hvd_qgenx.optim.buffers import FlatBuffer, flatten
from hvd_qgenx.optim.gradient_exchange import GradientExchange
from hvd_qgenx.optim.memories import Memories
from hvd_qgenx.optim.stock import as_compressor
from hvd_qgenx.transport.cores import share_kernels
from hvd_qgenx.transport.distributed import Distributed

OUTSIDE = -1
"""In place of the number of a backward pass: none is under way, as when a rank that has joined takes part."""
SHARED = "a state belongs to one model; make one for each that DDP wraps, from that model"


class State:
    """What the hook of one model needs: compressor, exchange, memories, and a report of bytes and seconds.

    Args:
        model: the module that DDP wraps, or DDP's of it; None: ``bind`` gives it later.
        compression: compressor, of which a copy gets the random stream of this rank; default: none.
        exchange: name of the exchange, as of ``DistributedOptimizer``.
        feedback: ``error`` for error feedback, ``shift`` for DIANA's shifts, or ``none``.
        shift_rate: rate at which shifts follow.
        process_group: DDP's; default: that of ``model`` if DDP has wrapped it, otherwise all ranks.

    Raises:
        ConfigurationError: ranks disagree on parameters or compression, the exchange cannot carry it, gradients are
            sparse, or the group is not DDP's, or not this rank's. Collective.
    """

    def __init__(
        self,
        model: nn.Module | None,
        compression: Compressor | None = None,
        *,
        exchange: str = "auto",
        feedback: str = "none",
        shift_rate: float = 1.0,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        self.report = Report()
        """Bytes and seconds of all exchanges so far; reset by assigning a new ``Report``."""
        self.exchange_count = 0
        """Exchanges of all gradients so far."""
        self.update_levels_next = False
        """Let a compressor that learns fit its levels to the next gradients, before they are exchanged; once."""
        self._asked = (as_compressor(compression), exchange, feedback, shift_rate)
        self._stored: Mapping[str, Any] | None = None
        self._bound = False
        if model is not None:
            self.bind(model, process_group)

    def bind(self, model: nn.Module, process_group: dist.ProcessGroup | None = None) -> None:
        """Takes the model whose gradients are to be exchanged; with the memories that an unpickled state has brought.

        Collective. Raises as the class does.
        """
        compressor, exchange, feedback, shift_rate = self._asked
        transport = Distributed(_ranks(model, process_group))
        share_kernels(transport)
        self.compression = compressor.for_rank(transport.rank, ranks=transport.size)
        self._names = _trained(model)
        self._memories = Memories(feedback, shift_rate)
        self._gradients = GradientExchange(
            flatten(self._names, self.compression, FlatBuffer),
            self._names,
            self.compression,
            exchanges.make(exchange, transport),
            self._memories,
            [{"params": list(self._names)}],
            transport.unique("ddp"),
        )
        self._gradients.warn_of_doubts()
        self._background = ThreadPoolExecutor(1, "exchange")
        self._pipeline: Pipeline | None = None
        self._missing = set(self._names)
        """Parameters whose gradients the exchange under way still waits for."""
        self._backward = OUTSIDE
        """The backward pass that has had its exchange."""
        self._waiting: list[tuple[dict[Tensor, Tensor], Tensor, Future[Tensor]]] = []
        """Of every bucket the gradients by parameter, the vector that they are views of, and the future."""
        self._bound = True
        if self._stored is not None:
            self.load_state_dict(self._stored)

    def take(self, bucket: GradBucket) -> Future[Tensor]:
        """Takes the gradients of a bucket; returns a future of their means, in the bucket's own memory.

        Raises:
            ConfigurationError: the state has no model, or the gradients are not those of its model, each once.
        """
        if not self._bound:
            raise ConfigurationError("the hook's state has no model yet; call state.bind(model), on all ranks")
        backward = torch._C._current_graph_task_id()
        if backward == self._backward != OUTSIDE:
            raise ConfigurationError(f"a second exchange begins in one backward pass: {SHARED}")
        if self._pipeline is None and not self.update_levels_next:
            self._pipeline = self._gradients.begin(self._background)
        gradients = dict(zip(bucket.parameters(), bucket.gradients(), strict=True))
        for parameter, gradient in gradients.items():
            self._take(parameter, gradient)
        future: Future[Tensor] = Future()
        self._waiting.append((gradients, bucket.buffer(), future))
        if bucket.is_last():
            self._backward = backward
            self._require_all()
            threading.Thread(target=self._finish, name="ddp", daemon=True).start()
        return future

    def _take(self, parameter: Tensor, gradient: Tensor) -> None:
        buffer = self._gradients.buffer_of.get(parameter)
        if buffer is None:
            raise ConfigurationError(
                f"DDP exchanges a parameter of shape {tuple(parameter.shape)} that the hook's state does not know; "
                "make the state from the model that DDP wraps, after its parameters are final"
            )
        if parameter not in self._missing:
            raise ConfigurationError(f"DDP exchanges the gradient of {self._names[parameter]} twice at once: {SHARED}")
        self._missing.remove(parameter)
        buffer.part(buffer.vector, parameter).copy_(gradient)
        if self._pipeline is not None:
            self._pipeline.ready(parameter)

    def _require_all(self) -> None:
        """Raises ConfigurationError if the exchange lacks gradients; prepares for the next one."""
        missing = [name for parameter, name in self._names.items() if parameter in self._missing]
        self._missing = set(self._names)
        if missing:
            raise ConfigurationError(
                f"DDP exchanges no gradient of {missing[0]}, one of {len(missing)} parameters that the hook's state "
                f"expects: {SHARED}"
            )

    def _finish(self) -> None:
        """Waits for the means of all gradients, and hands them over to all buckets."""
        waiting, self._waiting = self._waiting, []
        try:
            self._exchange()
            for gradients, _, _ in waiting:
                for parameter, gradient in gradients.items():
                    buffer = self._gradients.buffer_of[parameter]
                    gradient.copy_(buffer.part(buffer.vector, parameter))
        except Exception as error:
            for _, _, future in waiting:
                future.set_exception(error)  # type: ignore[arg-type]
            return
        for _, vector, future in waiting:
            future.set_result(vector)

    @torch.no_grad()
    def _exchange(self) -> None:
        """Ends the exchange that is under way; the buffers hold the means then."""
        if self.update_levels_next:
            self.update_levels_next = False
            self._gradients.update_levels(1.0, self.report)
        pipeline, self._pipeline = self._pipeline or self._gradients.begin(self._background), None
        self._gradients.finish(pipeline, self.report)
        self.exchange_count += 1

    def state_dict(self) -> dict[str, Any]:
        """Returns what the next payload depends on: the compressor's state, and memories by names of parameters.

        It is this rank's alone.
        """
        return {"compression": self.compression.state_dict(), "memory": self._memories.state(self._names)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores ``state_dict()``, of this rank.

        Raises:
            ConfigurationError: the state is that of another kind of feedback.
        """
        self.compression.load_state_dict(state["compression"])
        self._memories.load(state["memory"], self._names)

    def __getstate__(self) -> dict[str, Any]:
        return {"asked": self._asked, "state": self.state_dict() if self._bound else self._stored}

    def __setstate__(self, state: dict[str, Any]) -> None:
        compressor, exchange, feedback, shift_rate = state["asked"]
        State.__init__(self, None, compressor, exchange=exchange, feedback=feedback, shift_rate=shift_rate)
        self._stored = state["state"]


def hook(state: State, bucket: GradBucket) -> Future[Tensor]:
    """Exchanges gradients of DDP, compressed: ``model.register_comm_hook(State(model, compressor), hook)``.

    Gradients become the mean over ranks, the same bits on each. Inf and NaN stay what they are in DDP: all ranks get
    them, and a ``GradScaler`` skips the step.
    """
    return state.take(bucket)


def _trained(model: nn.Module) -> dict[Tensor, str]:
    """Returns the parameters that DDP exchanges, in the order in which backward makes their gradients, with names.

    Raises:
        ConfigurationError: there are none, or their gradients are sparse.
    """
    module = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    ignored = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
    found = [(name, p) for name, p in module.named_parameters() if p.requires_grad and name not in ignored]
    if not found:
        raise ConfigurationError("the model has no parameters to train")
    embeddings = [part for part in module.modules() if isinstance(part, nn.Embedding | nn.EmbeddingBag)]
    sparse = {part.weight for part in embeddings if part.sparse}
    if names := [name for name, parameter in found if parameter in sparse]:
        raise ConfigurationError(
            f"gradients of {names[0]} are sparse, which the hook cannot exchange; make the embedding without "
            "sparse=True, or use DistributedOptimizer, which sends the rows alone"
        )
    return {parameter: name for name, parameter in reversed(found)}


def _ranks(model: nn.Module, process_group: dist.ProcessGroup | None) -> list[int] | None:
    """Returns the ranks that DDP exchanges gradients among, as numbers among all; None for all.

    Raises:
        ConfigurationError: the group is not DDP's, or this rank is not in it.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        theirs = dist.get_process_group_ranks(model.process_group)
        if process_group is not None and dist.get_process_group_ranks(process_group) != theirs:
            raise ConfigurationError(f"DDP exchanges gradients among ranks {theirs}, not in the state's process group")
        return theirs
    if process_group is None:
        return None
    if dist.get_rank(process_group) < 0:
        raise ConfigurationError("this rank is not in the process group of the hook's state")
    return dist.get_process_group_ranks(process_group)
