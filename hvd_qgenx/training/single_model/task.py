"""A task that trains one model to lower one loss."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from hvd_qgenx.errors import DivergenceError
from hvd_qgenx.training import step_sizes
from hvd_qgenx.training.averages import Averages
from hvd_qgenx.training.clipping import clip_gradients
from hvd_qgenx.training.fitting import require_like
from hvd_qgenx.training.single_model.settings import SingleModelConfig
from hvd_qgenx.training.single_model.tally import Tally
from hvd_qgenx.training.task import Task
from hvd_qgenx.transport import Transport

FORWARD, BACKWARD = PHASES = ("forward", "backward")
PLAYER = "model"
BIAS = "bias/"
"""Prefix of the columns of scores.csv that are scores of a model that knows the source of the data."""


class SingleModelTask(Task):
    """A model, the averages of its weights, its step sizes, and its scores on test data.

    Args:
        config: what is to be trained; checked.
        data: what ``load`` returned.
        transport: of the ranks.
        model: with its first weights, the same on all ranks.
        samples: in an epoch.
        at_once: samples in an update, over all ranks.
        tally: of this rank's samples: ``loss``, and whatever else is measured.
    """

    phases = PHASES
    loss_names = ("train",)

    scores: ClassVar[tuple[str, ...]]
    """Names of what ``score`` returns."""
    selected_by: ClassVar[str]
    """The score that decides which evaluation is the best."""
    higher_is_better: ClassVar[bool]
    """Tells which of two values of it is the better."""
    defining: ClassVar[tuple[str, ...]]
    """Settings that define the model of a saved run; defaults cannot replace them."""
    kept: ClassVar[Mapping[str, Any]]
    """Entries of a checkpoint that a saved model needs, as ``fitting.require_like`` compares them."""

    def __init__(
        self,
        config: SingleModelConfig,
        data: Any,
        transport: Transport,
        model: nn.Module,
        *,
        samples: int,
        at_once: int,
        tally: Tally,
    ) -> None:
        super().__init__(config, data, transport)
        self._config, self.data, self.tally = config, data, tally
        self.updates = config.updates_for(samples, at_once)
        self.epoch_updates = samples / at_once
        """Updates in an epoch."""
        self.model = model.to(self.device)
        self.players = {PLAYER: self.model}
        averaged = set(config.scored_weights) - {"raw"}
        self.averages = Averages(self.model, config.ema) if averaged else None
        self.best: dict[str, float] = {}
        """The best evaluation so far: its scores, and its epoch."""
        self._optimizers: Sequence[Any] = ()
        self._scored = math.nan

    @classmethod
    @abstractmethod
    def make_model(cls, config: Any, data: Any) -> nn.Module:
        """Returns the model of a configuration for this data, with uninitialized weights."""

    @classmethod
    def make_players(cls, config: Any, data: Any) -> dict[str, nn.Module]:
        return {PLAYER: cls.make_model(config, data)}

    @classmethod
    @abstractmethod
    def score(
        cls, model: nn.Module, config: Any, data: Any, device: torch.device, transport: Transport
    ) -> dict[str, float]:
        """Returns the ``scores`` of a model on all test data, which it leaves as it is. Collective.

        The same bits on all ranks, and for any number of ranks.
        """

    @classmethod
    def scorer(
        cls, config: Any, data: Any, device: torch.device, transport: Transport, download: bool
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Returns a function that scores saved models, with all that it needs beside the data. Both are collective.

        Its scores are those of ``score``, and others where the configuration asks for them.
        """

        def score(model: nn.Module) -> dict[str, float]:
            return cls.score(model, config, data, device, transport)

        return score

    @classmethod
    def ideal_scores(cls, data: Any) -> dict[str, float]:
        """Returns the scores, by name, of a model that knows the source of the data, where they are known."""
        return {}

    @classmethod
    @abstractmethod
    def test_samples(cls, data: Any) -> int:
        """Returns the number of samples that a model is scored on."""

    @property
    def config(self) -> Any:
        return self._config

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """Returns two groups: weights, which decay, and norms and biases, which decay only with ``decay_all``."""
        rate = self.config.scaled(self.transport.size)
        parameters = list(self.players[player].parameters())
        if "weight_decay" not in self.config.method.settings or self.config.decay_all:
            return [{"params": parameters, "lr": rate}]
        weights = [parameter for parameter in parameters if parameter.dim() > 1]
        others = [parameter for parameter in parameters if parameter.dim() <= 1]
        groups = [{"params": weights, "lr": rate}, {"params": others, "lr": rate, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def schedulers(self, optimizers: Sequence[Any]) -> list[LRScheduler]:
        self._optimizers = optimizers
        return [self._scheduler(optimizer) for optimizer in optimizers]

    def _scheduler(self, optimizer: Any) -> LRScheduler:
        config = self.config
        rise = round(config.warmup_epochs * self.epoch_updates)
        match config.lr_schedule:
            case "multistep":
                course = step_sizes.multistep(optimizer, [at - rise for at in self.milestones], config.lr_gamma)
            case "cosine":
                course = step_sizes.cosine(optimizer, self.updates - rise)
            case "one-cycle":
                course = step_sizes.one_cycle(optimizer, self.updates)
            case _:
                course = step_sizes.constant(optimizer)
        rate = config.scaled(self.transport.size)
        start = 0.1 if config.warmup_from is None else config.warmup_from / rate
        return step_sizes.with_warm_up(optimizer, course, rise, start)

    @property
    def milestones(self) -> list[int]:
        """The updates after which multistep lowers the step size."""
        if self.config.milestones:
            return [round(epoch * self.epoch_updates) for epoch in self.config.milestones]
        return [self.updates // 2, self.updates * 3 // 4]

    def before_step(self, moving: Sequence[str]) -> None:
        if self.config.clip_norm:
            clip_gradients(self.model.parameters(), self.config.clip_norm)
        if self.averages:
            self.averages.before_update(self.model)

    def after_step(self, moving: Sequence[str]) -> None:
        if self.averages:
            self.averages.after_update(self.model)

    def mean_losses(self) -> dict[str, float]:
        """Returns the mean loss of all ranks' samples since the last call; the last mean if there are none."""
        self.tally.gather(self.transport)
        return {"train": self.tally.mean("loss")}

    @property
    def measures(self) -> tuple[str, ...]:
        return ("lr", "epoch")

    def measure(self, update: int) -> dict[str, float]:
        return {"lr": self._optimizers[0].param_groups[0]["lr"], "epoch": self.epoch(update)}

    def epoch(self, update: float) -> float:
        """Passes over the data in so many updates; the number asked for at the end of a run given in epochs."""
        if update == self.updates and self.config.epochs is not None:
            epochs: float = self.config.epochs
            return epochs
        return update / self.epoch_updates

    def check_losses(self, losses: Mapping[str, float]) -> None:
        limit, loss = self.config.loss_limit, losses["train"]
        if math.isnan(loss) or (limit and loss > limit):
            raise DivergenceError(
                f"training has diverged: the loss is {loss:.3g}, above --loss-limit {limit:g}; "
                "lower --lr, or warm up with --warmup-epochs"
            )

    def progress(self, losses: Mapping[str, float]) -> str:
        scored = "" if math.isnan(self._scored) else f", test {self._shown(self._scored)}"
        return f"loss {losses['train']:.3f}{scored}"

    def _shown(self, score: float) -> str:
        """Returns a value of the first score for the progress bar."""
        return f"{score:.4g}"

    def evaluates(self, update: float) -> bool:
        """Tells whether an evaluation is due at an epoch that this update reaches."""
        if update != int(update):
            return False
        every = self.config.evaluate_every * self.epoch_updates
        return update == self.updates or bool(every and update // every > (update - 1) // every)

    @property
    def score_columns(self) -> tuple[str, ...]:
        names = (f"{name}/{weights}" for weights in self.config.scored_weights for name in self.scores)
        return ("epoch", *names, *(f"{BIAS}{name}" for name in self.ideal_scores(self.data)))

    def evaluate(self, update: float) -> dict[str, float]:
        found = {"epoch": self.epoch(update)}
        for weights in self.config.scored_weights:
            scores = self.score(self.weighted(weights), self.config, self.data, self.device, self.transport)
            found |= {f"{name}/{weights}": value for name, value in scores.items()}
        self._scored = found[self.first(self.scores[0])]
        if not self.best or self._better(found, self.best):
            self.best = found
        return found | {f"{BIAS}{name}": value for name, value in self.ideal_scores(self.data).items()}

    def weighted(self, weights: str) -> nn.Module:
        """Returns the model with these weights, one of ``score_weights``."""
        return self.model if weights == "raw" or self.averages is None else self.averages.module(weights)

    def _better(self, found: Mapping[str, float], other: Mapping[str, float]) -> bool:
        column = self.first(self.selected_by)
        return found[column] > other[column] if self.higher_is_better else found[column] < other[column]

    def first(self, name: str) -> str:
        """Returns the column of a score for the first of ``score_weights``."""
        return f"{name}/{self.config.scored_weights[0]}"

    def remarks(self) -> Iterator[str]:
        late = [epoch for epoch in self.config.milestones if epoch * self.epoch_updates >= self.updates]
        if late:
            listing = ", ".join(f"{epoch:g}" for epoch in late)
            yield f"Warning: the run ends after {self.epoch(self.updates):.4g} epochs, before --lr-milestones {listing}"

    def summary(self) -> dict[str, Any]:
        return {"epochs": self.epoch(self.updates), "best": self.best}

    @property
    def parameters(self) -> int:
        """Number of the model's parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Returns the model, its averages and the best scores; running statistics of batch norm are this rank's."""
        return {
            "model": self.model.state_dict(),
            "averages": self.averages.state_dict() if self.averages else {},
            "best": self.best,
            "last": tuple(self.tally.last),
        }

    def local_state(self) -> dict[str, Any]:
        return {"sums": tuple(self.tally.sums)}

    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.averages:
            self.averages.load_state_dict(state["averages"])
        scores = [name for name in self.score_columns if not name.startswith(BIAS)]
        require_like(state["best"], dict.fromkeys(scores if state["best"] else (), 0.0), "best")
        self.best = state["best"]
        self.tally.load(state["last"], local.get("sums"))
