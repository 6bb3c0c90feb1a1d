"""The interface between a task and the training loop."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from hvd_qgenx.registry import load
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.phases import PhaseTimer
from hvd_qgenx.transport import Transport


class Task(ABC):
    """Players, how a move's gradients are filled, how the players are evaluated and drawn, and what is logged.

    Everything random is a function of the seed, the rank and the number of the move, so a task's state is
    complete between any two moves.

    Args:
        config: what is to be trained; checked.
        data: what ``load`` returned.
        transport: of the ranks.

    Attributes:
        players: the models that are trained, by name.
        updates: how many there are to be.
    """

    kind: ClassVar[str]
    """Kind that a checkpoint names."""
    phases: ClassVar[tuple[str, ...]]
    """Phases of computing gradients."""
    loss_names: ClassVar[tuple[str, ...]]
    """Names of the values of ``mean_losses``, which metrics.csv has as ``loss/NAME``."""

    players: dict[str, nn.Module]
    updates: int

    def __init__(self, config: Config, data: Any, transport: Transport) -> None:
        config.check(transport.size)
        self.transport = transport
        self.device = choose_device(config.device, transport)
        self.timer = PhaseTimer(self.device)

    @classmethod
    @abstractmethod
    def load(cls, config: Any, transport: Transport, download: bool) -> Any:
        """Returns the data of a configuration. Collective.

        Raises:
            ConfigurationError: on all ranks; something is missing.
        """

    @classmethod
    @abstractmethod
    def check_data(cls, config: Any, data: Any, stored: Mapping[str, Any] | None) -> None:
        """Raises ConfigurationError if this data cannot be trained on, or is not that of the stored state."""

    @classmethod
    @abstractmethod
    def make_players(cls, config: Any, data: Any) -> dict[str, nn.Module]:
        """Returns the players of a configuration for this data, by name, with uninitialized weights."""

    @property
    @abstractmethod
    def config(self) -> Config:
        """The configuration of the run."""

    @property
    def turns(self) -> Sequence[Sequence[str]]:
        """The players of every optimizer: all of one optimizer move at once."""
        return [list(self.players)]

    def turn(self, move: int) -> int:
        """Returns the index in ``turns`` of the players that make this move of an update."""
        return 0

    @abstractmethod
    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """Returns the player's parameter groups, each with its step size."""

    def schedulers(self, optimizers: Sequence[Any]) -> list[LRScheduler]:
        """Returns the step-size schedules of the optimizers, which advance with every update."""
        return []

    @property
    def backward_passes(self) -> int:
        """Backward passes over every parameter in a move."""
        return 1

    @abstractmethod
    def fill_gradients(self, move: int, moving: Sequence[str]) -> None:
        """Adds the gradients of the moving players at this move to ``.grad``, and notes the losses."""

    def before_step(self, moving: Sequence[str]) -> None:
        """Is called with the mean gradients in ``.grad`` before these players' step."""

    def after_step(self, moving: Sequence[str]) -> None:
        """Is called after these players' step."""

    def after_move(self) -> None:
        """Is called after every move, extrapolations included."""

    @abstractmethod
    def mean_losses(self) -> dict[str, float]:
        """Returns the losses by name, averaged over all ranks. Collective."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns of metrics.csv beside the losses."""
        return ()

    def measure(self, update: int) -> dict[str, float]:
        """Returns the values of ``measures`` after an update."""
        return {}

    def check_losses(self, losses: Mapping[str, float]) -> None:
        """Raises DivergenceError if training has diverged."""

    @abstractmethod
    def progress(self, losses: Mapping[str, float]) -> str:
        """Returns a few words on the losses for the progress bar."""

    def evaluates(self, update: float) -> bool:
        """Tells whether the players are evaluated after this update."""
        return False

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of the values of ``evaluate``; none: the run evaluates nothing."""
        return ()

    def evaluate(self, update: float) -> dict[str, float]:
        """Returns the scores of the players after an update, by name. Collective; the same on all ranks."""
        return {}

    local_scores: ClassVar[tuple[str, ...]] = ()
    """Names of the values of ``evaluate_alone``."""

    def evaluate_alone(self) -> dict[str, float]:
        """Returns scores of this rank's own players, by name, where gossip lets ranks differ. Not collective."""
        return {}

    def draws(self, update: float) -> bool:
        """Tells whether pictures are drawn after this update."""
        return False

    def draw(self, path: Path) -> None:
        """Writes a picture of what the players make."""

    def prepare(self, download: bool, stored: Mapping[str, Any] | None) -> None:
        """Gets what evaluation needs. Collective.

        Args:
            download: fetch what is missing.
            stored: the config.json of the run that goes on.
        """

    def warm_up(self) -> None:
        """Prepares what takes a while, once the run's folder exists. Collective."""

    def notes(self) -> dict[str, Any]:
        """Returns the entries of config.json other than settings."""
        return {}

    def remarks(self) -> Iterator[str]:
        """Lines that are printed before training."""
        yield from ()

    @abstractmethod
    def announce(self) -> str:
        """Returns a few words on the data and the sizes of the players."""

    def conclusions(self, summary: Mapping[str, Any]) -> Iterator[str]:
        """Lines that are printed after training."""
        yield from ()

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Returns the state that is the same on all ranks."""

    def local_state(self) -> dict[str, Any]:
        """Returns the state of this rank alone; a rank that joins an elastic run has none."""
        return {}

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        """Goes on from ``state_dict`` and ``local_state``."""

    def summary(self) -> dict[str, Any]:
        """Returns the task's own entries of summary.json."""
        return {}

    def close(self) -> None:
        """Ends what runs beside training."""


def task_of(config: type[Config]) -> type[Task]:
    """Imports and returns the task of a configuration class."""
    return cast("type[Task]", load(config.implementation))


def choose_device(kind: str, transport: Transport) -> torch.device:
    """Returns the device of this rank; ranks of one host take its GPUs in turn."""
    if kind == "cuda":
        torch.cuda.set_device(transport.local_rank % torch.cuda.device_count())
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(kind)
