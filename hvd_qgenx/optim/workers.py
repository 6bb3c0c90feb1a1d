"""Optimizers that need the gradients of single workers, not only their mean."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from hvd_qgenx.optim.eager import eager
from hvd_qgenx.optim.moves import Moving


@eager
class WorkerAware(Moving):
    """Base of the optimizers that also use the gradients of single workers.

    This class has one worker, this process. A ``DistributedOptimizer`` has many: it overrides
    ``workers``, ``worker_gradient`` and ``sum_over_workers``.
    """

    worker_state: ClassVar[frozenset[str]] = frozenset()
    """Keys of a parameter's state that differ between workers."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return 1

    def worker_gradient(self, parameter: Tensor) -> Tensor | None:
        """Returns this worker's own gradient, as the others decode it; None stands for zeros."""
        return parameter.grad

    @abstractmethod
    def worker_term(self) -> float | None:
        """Returns this worker's term of the sum that the next move needs; None if it needs none.

        A function of ``worker_gradient`` and the state, which it must not change.
        """

    def sum_over_workers(self) -> float:
        """Returns the sum of all workers' ``worker_term``, the same bits on each; call it at most once a move."""
        return self.worker_term() or 0.0
