"""Settings of tasks that train one model to lower one loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.training.config import STUDIED, TRAINING, WEIGHTS
from hvd_qgenx.training.gossip import NONE, GossipConfig
from hvd_qgenx.training.settings import Role, redeclared, setting

STEP_SIZE, EVALUATION = "Step size", "Evaluation"

CONSTANT, MULTISTEP, COSINE, ONE_CYCLE = SCHEDULES = ("constant", "multistep", "cosine", "one-cycle")
AFTER, BEFORE = PLACES = ("after", "before")
SCALINGS = ("none", "linear", "sqrt")
EPOCHS = 10.0
"""Length of a run that is given neither in epochs nor in updates."""


@dataclass(frozen=True)
class SingleModelConfig(GossipConfig):
    """One run that trains one model."""

    rates: ClassVar[Mapping[str, float]]
    """Optimizers that the model can be trained with, and their default step sizes."""

    epochs: float | None = setting(
        None,
        "Length of the run in passes over the data; or give --updates.",
        TRAINING,
        limits="(0, inf)",
        may_change=True,
        role=Role.OUTCOME,
        otherwise=f"{EPOCHS:g} without --updates",
        replaces=("updates",),
    )
    updates: int | None = redeclared(GossipConfig, "updates", None, replaces=("epochs",), otherwise="given by --epochs")
    momentum: float = redeclared(GossipConfig, "momentum", 0.9)
    dampening: float = setting(0.0, "Dampening of SGD's momentum.", TRAINING, limits="[0, 1]", role=STUDIED)
    weight_decay: float = setting(1e-4, "Weight decay.", TRAINING, limits="[0, inf)")
    decay_all: bool = setting(False, "Decay norms and biases too, not just weights.", TRAINING)
    clip_norm: float = setting(
        0.0, "Largest norm of the mean gradient, which is scaled down to it; 0: any.", TRAINING, limits="[0, inf)"
    )
    momentum_place: str = setting(
        AFTER,
        "Momentum and weight decay of sgd act on the mean gradient, after the exchange, or on each rank's own, before.",
        TRAINING,
        choices=PLACES,
        role=STUDIED,
    )
    local_clip_norm: float = setting(
        0.0,
        "Over the square root of the number of ranks, the largest norm of a rank's own gradient, which is scaled down "
        "to it before anything else; 0: any.",
        TRAINING,
        limits="[0, inf)",
    )
    loss_limit: float = setting(
        1000.0, "A larger training loss ends the run: it has diverged; 0: none.", TRAINING, limits="[0, inf)"
    )
    lr: float | None = setting(
        None, "Step size.", STEP_SIZE, limits="(0, inf)", role=STUDIED, otherwise="the optimizer's own"
    )
    lr_scaling: str = setting(
        "none",
        "Factor on the step size: none, linear or sqrt in the number of ranks, or a number.",
        STEP_SIZE,
        role=STUDIED,
    )
    lr_schedule: str = setting(CONSTANT, "Course of the step size.", STEP_SIZE, choices=SCHEDULES, role=STUDIED)
    lr_milestones: str = setting(
        "",
        "Epochs after which multistep lowers the step size, like 80,120.",
        STEP_SIZE,
        role=STUDIED,
        otherwise="at half and at three quarters of the run",
    )
    lr_gamma: float = setting(
        0.1, "Factor by which multistep lowers the step size.", STEP_SIZE, limits="(0, 1)", role=STUDIED
    )
    warmup_epochs: float = setting(
        0.0, "Epochs in which the step size rises to its value.", STEP_SIZE, limits="[0, inf)", role=STUDIED
    )
    warmup_from: float | None = setting(
        None,
        "Step size at which the warm-up starts.",
        STEP_SIZE,
        limits="(0, inf)",
        role=STUDIED,
        otherwise="a tenth of the step size",
    )
    evaluate_every: float = setting(
        1.0,
        "Epochs between two evaluations on the test set, and one at the end; 0: at the end alone.",
        EVALUATION,
        limits="[0, inf)",
        may_change=True,
    )
    score_weights: str = setting(
        "raw", f"The weights to evaluate, any of {', '.join(WEIGHTS)}, like raw,ema.", EVALUATION
    )
    ema: float = setting(0.999, "Decay, an update, of the moving average of the weights.", EVALUATION, limits="[0, 1)")

    def check(self, ranks: int) -> None:
        if self.epochs is not None and self.updates is not None:
            raise ConfigurationError("the length of a run is given in epochs or in updates; leave one of them out")
        super().check(ranks)
        self._check_momentum()
        if self.mixing != NONE and self.scored_weights != ("raw",):
            raise ConfigurationError("score_weights other than raw are for averages of gradients; leave out --mixing")
        self._check_step_size()
        for weights in self.scored_weights:
            if weights not in WEIGHTS:
                raise ConfigurationError(unknown("weights", weights, WEIGHTS))

    @property
    def local_rules(self) -> dict[str, Any]:
        return {"local_momentum": self.momentum_place == BEFORE, "local_clip": self.local_clip_norm}

    def _check_momentum(self) -> None:
        if self.momentum_place == BEFORE and self.optimizer != "sgd":
            raise ConfigurationError(f"momentum_place before is for --optimizer sgd, not {self.optimizer}")
        if self.momentum_place == BEFORE and self.dampening:
            raise ConfigurationError("momentum_place before has no dampening; leave it out")

    def _check_step_size(self) -> None:
        self.scaled(ranks=1)
        if self.milestones and self.lr_schedule != MULTISTEP:
            raise ConfigurationError(
                f"lr_milestones is for --lr-schedule multistep; the schedule is {self.lr_schedule}"
            )
        if self.milestones and self.milestones[0] <= self.warmup_epochs:
            raise ConfigurationError("lr_milestones begin before --warmup-epochs end; choose later ones")
        if self.lr_schedule == ONE_CYCLE and self.warmup_epochs:
            raise ConfigurationError("one-cycle has a warm-up of its own; leave out --warmup-epochs")
        if self.warmup_from is not None and not self.warmup_epochs:
            raise ConfigurationError("warmup_from needs --warmup-epochs")

    def scaled(self, ranks: int) -> float:
        """Returns the step size for a number of ranks.

        Raises:
            ConfigurationError: ``lr_scaling`` is neither a name nor a positive number.
        """
        rate: float = self.rates[self.optimizer] if self.lr is None else self.lr
        match self.lr_scaling:
            case "none":
                return rate
            case "linear":
                return rate * ranks
            case "sqrt":
                return rate * math.sqrt(ranks)
        try:
            factor = float(self.lr_scaling)
        except ValueError:
            factor = 0.0
        if not 0 < factor < float("inf"):
            raise ConfigurationError(
                f"lr_scaling must be {', '.join(SCALINGS)} or a number, not {shown(self.lr_scaling)}"
            )
        return rate * factor

    @property
    def milestones(self) -> tuple[float, ...]:
        """The epochs of ``lr_milestones``.

        Raises:
            ConfigurationError: they are not positive numbers that increase.
        """
        try:
            found = tuple(float(part) for part in self.lr_milestones.split(",") if part.strip())
        except ValueError:
            found = (0.0,)
        if any(not 0 < epoch < float("inf") for epoch in found) or list(found) != sorted(set(found)):
            raise ConfigurationError(
                f"lr_milestones must be epochs that increase, with commas between them, not {shown(self.lr_milestones)}"
            )
        return found

    @property
    def scored_weights(self) -> tuple[str, ...]:
        """The weights that are evaluated."""
        return tuple(dict.fromkeys(weights.strip() for weights in self.score_weights.split(",")))

    @property
    def length(self) -> tuple[str, float]:
        return ("update", self.updates) if self.updates is not None else ("epoch", self.epochs or EPOCHS)

    def updates_for(self, samples: int, at_once: int) -> int:
        """Returns the number of updates of a run that sees each of these samples once in every epoch.

        Args:
            samples: in an epoch.
            at_once: samples in an update.
        """
        if self.updates is not None:
            return self.updates
        return max(1, -int(-(self.epochs or EPOCHS) * samples // at_once))

    def completed(self) -> Self:
        found = super().completed()
        epochs = EPOCHS if self.epochs is None and self.updates is None else self.epochs
        return replace(found, lr=self.rates[self.optimizer] if self.lr is None else self.lr, epochs=epochs)

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        length = dict.fromkeys(("epochs", "updates")) if {"epochs", "updates"} & changes.keys() else {}
        found = super().replaced({**length, **changes})
        planned = self.lr_schedule in (COSINE, ONE_CYCLE) or (self.lr_schedule == MULTISTEP and not self.milestones)
        if planned and found.length != self.length:
            raise ConfigurationError(
                f"the step size follows the schedule {self.lr_schedule} over the whole run, so its length cannot "
                f"change: it has {self.length[1]:g} {self.length[0]}s"
            )
        return found
