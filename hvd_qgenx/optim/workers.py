"""Optimizers that need more of the workers than the mean of their gradients."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.optim.optimizer import Optimizer


class WorkerAware(Optimizer):
    """Base of the optimizers that also look at the gradients of single workers.

    Here there is one worker, this one. A ``DistributedOptimizer`` has many: it takes the place of
    ``workers``, ``worker_gradient`` and ``sum_over_workers``.
    """

    worker_state: ClassVar[frozenset[str]] = frozenset()
    """Keys of a parameter's state that hold what is this worker's alone."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return 1

    def worker_gradient(self, parameter: Tensor) -> Tensor | None:
        """This worker's own gradient, as the others decode it; None stands for zeros."""
        return parameter.grad

    @abstractmethod
    def worker_term(self) -> float | None:
        """This worker's term of the sum that the coming move needs; None if it needs none.

        A function of ``worker_gradient`` and the state, which it must not change.
        """

    def sum_over_workers(self) -> float:
        """The sum of all workers' ``worker_term``, the same bits on each; once a move at most."""
        return self.worker_term() or 0.0
