"""The interface of mixings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.topology import Topology


class Heard(NamedTuple):
    """The outcome of an exchange with the neighbours."""

    own: Tensor
    """The vectors that the ranks of these rows have sent, as their neighbours decode them, (rows, d)."""
    mixed: Tensor
    """The sum over all ranks j of w_ij times what j has sent, decoded, (rows, d)."""


@dataclass(frozen=True)
class Letters:
    """Messages that differ from neighbour to neighbour; they are sent as they are, and answered by such a tensor."""

    vectors: Tensor
    """One for every link of ``Rows.owners``, (links, d)."""
    otherwise: Tensor
    """The vectors that count as heard where messages are lost, (links, d)."""


@dataclass(frozen=True)
class Rows:
    """The ranks whose vectors one process holds: its own alone in training, all of them in a simulation."""

    topology: Topology
    ranks: Sequence[int]

    def owners(self) -> Tensor:
        """Returns for every link the row of its rank, int64 (links,), in the order of rows, then of neighbours.

        Raises:
            ConfigurationError: the graph changes with the step.
        """
        if self.topology.period != 1:
            raise ConfigurationError(f"{self.topology.name} changes with the step: no link is always there")
        counts = [len(self.topology.links(rank, 0).told) for rank in self.ranks]
        return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.int64))


@dataclass(frozen=True)
class Rates:
    """Numbers that mixings are tuned by."""

    consensus: float = 1.0
    """gamma: how far a vector moves towards what the neighbours have."""
    memory: float = 0.5
    """alpha of LEAD, which moves the known part of a vector; lambda of MoTEF, the weight of a new gradient."""


class Mixing(ABC):
    """The state and the steps of one decentralized method; one object for every vector.

    A step of training takes: ``gradient_message`` and ``hear_gradients`` where the method ``tracks`` gradients,
    ``before_step`` on the parameters, the local step of any optimizer, ``message`` and ``hear``. All tensors are
    (rows, d), and change in place. Between a message and its answer the state is complete too, so that a checkpoint
    may fall there.

    Args:
        rows: whose vectors these are.
        start: the vectors at the start; a copy is kept where need be.
        known: returns, for a phase of the topology, the sum of w_ij x_j at the start, (rows, d), if all ranks know
            their neighbours' vectors then; None: they know nothing, and take them for zero.
        rates: what the method is tuned by.

    Raises:
        ConfigurationError: the method does not work on this topology.
    """

    name: ClassVar[str]
    takes: ClassVar[str] = "contractions"
    """Compressors it works with: ``contractions`` (unbiased ones are scaled), ``unbiased`` or ``nothing``."""
    fixed: ClassVar[bool] = False
    """Must the graph be the same at every step?"""
    symmetric: ClassVar[bool] = False
    """Must the mixing matrix be symmetric?"""
    periodic: ClassVar[bool] = True
    """Must the graph come again after some steps, as replicas are kept for every step of a period?"""
    overlaps: ClassVar[bool] = False
    """May the message of ``mix`` travel while the next gradient is computed?"""
    tracks: ClassVar[bool] = False
    """Does it send a second message in every step, of gradients?"""
    loses_to_own: ClassVar[bool] = False
    """Does a rank's own vector count where a message is lost? Otherwise zeros do, as is right for differences."""
    tuned: ClassVar[bool] = True
    """Has it a consensus step size?"""

    def __init__(self, rows: Rows, start: Tensor, known: Callable[[int], Tensor] | None, rates: Rates) -> None:
        self.check(rows.topology)
        self.rows, self.rates = rows, rates
        self.vectors: dict[str, Tensor] = {}
        """All vectors that it remembers, by name; its state, with ``count``."""
        self.count = 0
        """Steps completed so far."""
        self.begin(start, known)

    def restart(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        """Forgets all; the arguments are those of the class."""
        self.vectors, self.count = {}, 0
        self.begin(start, known)

    @classmethod
    def check(cls, topology: Topology) -> None:
        """Raises ConfigurationError if the method does not work on the topology."""
        if cls.fixed and topology.period != 1:
            raise ConfigurationError(f"{cls.name} needs a graph that does not change; {topology.name} does")
        if cls.periodic and topology.period is None:
            raise ConfigurationError(
                f"{cls.name} keeps replicas for every step of a schedule, and {topology.name} never comes again; "
                "use dpsgd or deepsqueeze"
            )
        if cls.symmetric and not _is_symmetric(topology):
            raise ConfigurationError(f"{cls.name} needs a symmetric graph; {topology.name} is directed")

    @abstractmethod
    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        """Makes ``vectors``; the arguments are those of the class."""

    @property
    def phase(self) -> int:
        """Place of the step under way in the topology's period."""
        return self.rows.topology.phase(self.count)

    def gradient_message(self, gradient: Tensor) -> Tensor:
        """Returns what is to be sent before the local step, (rows, d), if the method ``tracks`` gradients."""
        raise NotImplementedError

    def hear_gradients(self, gradient: Tensor, heard: Heard) -> None:
        """Replaces the gradient, with the answer to ``gradient_message``."""
        raise NotImplementedError

    def before_step(self, x: Tensor) -> None:  # noqa: B027 (few methods care)
        """Sees the parameters before the local step."""

    @abstractmethod
    def message(self, x: Tensor, rate: float) -> Tensor | Letters:
        """Returns what is to be sent after a local step.

        Args:
            x: the parameters.
            rate: step size of the local step.
        """

    def hear(self, x: Tensor, answer: Any) -> None:
        """Mixes the parameters, with the answer to ``message``; if the method ``overlaps``, maybe one local step later.

        Args:
            x: the parameters.
            answer: ``Heard``, or a tensor in answer to ``Letters``.
        """
        self._hear(x, answer)
        self.count += 1

    @abstractmethod
    def _hear(self, x: Tensor, answer: Any) -> None:
        """See ``hear``."""

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "vectors": {name: vector.clone() for name, vector in self.vectors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for name, vector in self.vectors.items():
            vector.copy_(state["vectors"][name])


class Replicas:
    """For every phase of a topology, what neighbours know of a vector and the mix of what is known of theirs.

    CHOCO's three-vector form, for graphs that change: with x-hat_i^(p), known to all that hear from i in phase p, and
    sum_j w_ij^(p) x-hat_j^(p), it costs two vectors a phase, whatever the degree.

    Args:
        into: dictionary that gets the vectors.
        name: their prefix there.
        topology: of the ranks.
        start, known: as of ``Mixing``.
    """

    def __init__(
        self,
        into: dict[str, Tensor],
        name: str,
        topology: Topology,
        start: Tensor,
        known: Callable[[int], Tensor] | None,
    ) -> None:
        self._into, self._name = into, name
        for phase in range(topology.period or 0):
            into[f"{name}.own.{phase}"] = start.clone() if known else torch.zeros_like(start)
            into[f"{name}.mixed.{phase}"] = known(phase).clone() if known else torch.zeros_like(start)

    def of(self, phase: int) -> tuple[Tensor, Tensor]:
        """Returns what neighbours know of the own vectors in a phase, and the mix; both change in place."""
        return self._into[f"{self._name}.own.{phase}"], self._into[f"{self._name}.mixed.{phase}"]

    def difference(self, x: Tensor, phase: int) -> Tensor:
        """Returns what neighbours do not know of ``x`` yet."""
        return x - self.of(phase)[0]

    def take(self, heard: Heard, phase: int) -> None:
        """Adds what was sent and heard."""
        own, mixed = self.of(phase)
        own += heard.own
        mixed += heard.mixed

    def pull(self, x: Tensor, phase: int, rate: float) -> None:
        """Moves ``x`` by ``rate`` times the difference of the mix to the own replica."""
        own, mixed = self.of(phase)
        x.add_(mixed - own, alpha=rate)


def _is_symmetric(topology: Topology) -> bool:
    matrices = [topology.matrix(step) for step in range(topology.period or 1)]
    return all((matrix == matrix.T).all() for matrix in matrices)
