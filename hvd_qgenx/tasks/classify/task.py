"""A classifier of images, as the training room sees it."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from compressors.random import generator
from hvd_qgenx import data
from hvd_qgenx.data import Augmentation, Batches, ImageSet, class_counts, describe, make_split, normalized
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError, TrainingError
from hvd_qgenx.tasks.classify import accuracy
from hvd_qgenx.tasks.classify.models import build
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.statistics import estimate_statistics
from hvd_qgenx.tasks.images import check_images
from hvd_qgenx.training import step_sizes
from hvd_qgenx.training.averages import Averages
from hvd_qgenx.training.task import Task
from hvd_qgenx.training.trainer import DATA
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import require_same
from hvd_qgenx.transport.inprocess import InProcess

FORWARD, BACKWARD = PHASES = ("forward", "backward")
PLAYER = "model"
ESTIMATE_BATCHES, ESTIMATE_SIZE = 16, 128
"""Training images that batch norm's statistics are estimated from, for what is evaluated."""


class Parts(NamedTuple):
    """The two parts of a data set."""

    train: ImageSet
    test: ImageSet


class Sums(NamedTuple):
    """Sums over the training samples of this rank since the last log."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0


class ClassifyTask(Task):
    """A model, its accuracy on a test set, and its step sizes."""

    kind = "hvd-qgenx classify"
    phases = PHASES
    loss_names = ("train",)
    measures = ("accuracy/train", "lr", "epoch")

    def __init__(self, config: ClassifyConfig, parts: Parts, transport: Transport) -> None:
        super().__init__(config, parts, transport)
        self._config, self.parts = config, parts
        self.updates = config.updates_for(len(parts.train))
        self.split = make_split(
            config.split,
            parts.train,
            config.batch_size // config.accumulation,
            config.seed,
            transport.rank,
            transport.size,
            config.dirichlet_alpha,
        )
        self.batches = Batches(
            parts.train,
            self.split,
            Augmentation(config.augmentation, config.seed),
            workers=config.workers,
            pinned=self.device.type == "cuda",
        )
        self.model = make_model(config, parts.train).to(self.device)
        build.initialize(self.model, config.seed, RandomStream.CLASSIFIER)
        self.players = {PLAYER: self.model}
        averaged = set(config.scored_weights) - {"raw"}
        self.averages = Averages(self.model, config.ema) if averaged else None
        self.best: dict[str, float] = {}
        """The scores of the evaluation with the best accuracy so far, and its epoch."""
        self._optimizers: Sequence[Any] = ()
        self._accuracy = math.nan
        self._sums = Sums()
        self._last = Sums()

    @classmethod
    def load(cls, config: ClassifyConfig, transport: Transport, download: bool) -> Parts:
        train, test = (
            data.load(config.dataset, config.data_folder, download, transport, config.image_size, part)
            for part in ("train", "test")
        )
        return Parts(train, test)

    @classmethod
    def check_data(cls, config: ClassifyConfig, parts: Parts, stored: Mapping[str, Any] | None) -> None:
        check_images(config, parts.train.fingerprint(), stored)
        if parts.train.classes < 2:
            raise ConfigurationError(f"{config.dataset} has no labels to learn; choose another --dataset")
        build.check(config.model, parts.train.side, config.model_norm)

    @property
    def config(self) -> ClassifyConfig:
        return self._config

    @property
    def epoch_updates(self) -> float:
        """Updates in an epoch."""
        return len(self.parts.train) / self.config.batch_size

    @property
    def backward_passes(self) -> int:
        return self.config.accumulation

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

    def fill_gradients(self, move: int, moving: Sequence[str] = (PLAYER,)) -> None:
        draws = range(move * self.config.accumulation, (move + 1) * self.config.accumulation)
        total = sum(sum(self.batches.counts(draw)) for draw in draws)
        scale = self.transport.size / total
        for draw in draws:
            images, labels = self.batches(draw)
            self.timer.credit(DATA)
            if not len(images):  # a small share has none in some draws
                continue
            logits = self._logits(images.to(self.device, non_blocking=True))
            labels = labels.to(self.device, non_blocking=True)
            loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.config.label_smoothing)
            self.timer.credit(FORWARD)
            (scale * loss).backward()
            self.timer.credit(BACKWARD)
            self._note(loss.detach(), logits.detach(), labels)

    def _logits(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits: Tensor = self.model(images)
        return logits.float()

    def _note(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        correct = int((logits.argmax(1) == labels).sum())
        sums = self._sums
        self._sums = Sums(sums.loss + float(loss), sums.correct + correct, sums.samples + len(labels))

    def before_step(self, moving: Sequence[str]) -> None:
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        if self.averages:
            self.averages.before_update(self.model)

    def after_step(self, moving: Sequence[str]) -> None:
        if self.averages:
            self.averages.after_update(self.model)

    def mean_losses(self) -> dict[str, float]:
        """Returns the mean loss of all ranks' samples since the last call; the last mean if there are none."""
        everyone = self.transport.all_gather_object(tuple(self._sums), "losses")
        loss, correct, samples = zip(*everyone, strict=True)
        if sum(samples):
            self._last = Sums(math.fsum(loss), sum(correct), sum(samples))
            self._sums = Sums()
        return {"train": self._last.loss / self._last.samples if self._last.samples else math.nan}

    def measure(self, update: int) -> dict[str, float]:
        correct = 100 * self._last.correct / self._last.samples if self._last.samples else math.nan
        rate = self._optimizers[0].param_groups[0]["lr"]
        return {"accuracy/train": correct, "lr": rate, "epoch": self.epoch(update)}

    def epoch(self, update: float) -> float:
        """Passes over the data in so many updates; the number asked for at the end of a run given in epochs."""
        if update == self.updates and self.config.epochs is not None:
            return self.config.epochs
        return update / self.epoch_updates

    def check_losses(self, losses: Mapping[str, float]) -> None:
        limit, loss = self.config.loss_limit, losses["train"]
        if math.isnan(loss) or (limit and loss > limit):
            raise TrainingError(
                f"training has diverged: the loss is {loss:.3g}, above --loss-limit {limit:g}; "
                "lower --lr, or warm up with --warmup-epochs"
            )

    def progress(self, losses: Mapping[str, float]) -> str:
        test = "" if math.isnan(self._accuracy) else f", test {self._accuracy:.2f} %"
        return f"loss {losses['train']:.3f}{test}"

    def evaluates(self, update: float) -> bool:
        """Tells whether an evaluation is due at an epoch that this update reaches."""
        if update != int(update):
            return False
        every = self.config.evaluate_every * self.epoch_updates
        return update == self.updates or bool(every and update // every > (update - 1) // every)

    @property
    def score_columns(self) -> tuple[str, ...]:
        names = (f"{name}/{weights}" for weights in self.config.scored_weights for name in accuracy.SCORES)
        return ("epoch", *names)

    def evaluate(self, update: float) -> dict[str, float]:
        found = {"epoch": self.epoch(update)}
        for weights in self.config.scored_weights:
            model = self.model if weights == "raw" or self.averages is None else self.averages.module(weights)
            scores = score(model, self.config, self.parts, self.device, self.transport)
            found |= {f"{name}/{weights}": value for name, value in scores.items()}
        self._accuracy = found[self._first("top1")]
        if not self.best or self._accuracy > self.best[self._first("top1")]:
            self.best = found
        return found

    local_scores = ("top1", "test_loss")

    def evaluate_alone(self) -> dict[str, float]:
        count = self.config.local_images or len(self.parts.test)
        scores = score(self.model, self.config, self.parts, self.device, InProcess(), count)
        return {name: scores[name] for name in self.local_scores}

    def _first(self, name: str) -> str:
        """Returns the column of a score for the first of ``score_weights``."""
        return f"{name}/{self.config.scored_weights[0]}"

    def prepare(self, download: bool, stored: Mapping[str, Any] | None) -> None:
        """Makes sure that all ranks have the same split, whose random numbers are numpy's."""
        require_same(self.transport, {"split": self._class_counts()})

    def _class_counts(self) -> list[list[int]] | None:
        return None if self.config.split == "reshuffled" else class_counts(self.split, self.parts.train)

    def notes(self) -> dict[str, Any]:
        return {"class_counts": self._class_counts()}

    def announce(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return (
            f"{self.config.dataset}: {len(self.parts.train):,} training and {len(self.parts.test):,} test images; "
            f"{self.config.model}, {parameters:,} parameters"
        )

    def remarks(self) -> Iterator[str]:
        if self.config.split != "reshuffled":
            yield f"Split {self.config.split}: {describe(self.split, self.parts.train)}"
        late = [epoch for epoch in self.config.milestones if epoch * self.epoch_updates >= self.updates]
        if late:
            listing = ", ".join(f"{epoch:g}" for epoch in late)
            yield f"Warning: the run ends after {self.epoch(self.updates):.4g} epochs, before --lr-milestones {listing}"

    def conclusions(self, summary: Mapping[str, Any]) -> Iterator[str]:
        scores = summary["scores"]
        if scores:
            top1, top5, loss = (scores[self._first(name)] for name in accuracy.SCORES)
            best = self.best[self._first("top1")]
            yield (
                f"test accuracy {top1:.2f} % (best {best:.2f} % after epoch {self.best['epoch']:.4g}), "
                f"top-5 {top5:.2f} %, loss {loss:.4f}"
            )

    def summary(self) -> dict[str, Any]:
        return {"epochs": self.epoch(self.updates), "best": self.best}

    def state_dict(self) -> dict[str, Any]:
        """Returns the model, its averages and the best scores; running statistics of batch norm are this rank's."""
        train = self.parts.train
        return {
            "model": self.model.state_dict(),
            "averages": self.averages.state_dict() if self.averages else {},
            "images": {
                **{name: getattr(train, name) for name in ("channels", "side", "classes")},
                "fingerprint": train.fingerprint(),
            },
            "best": self.best,
            "last": tuple(self._last),
        }

    def local_state(self) -> dict[str, Any]:
        return {"sums": tuple(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.averages:
            self.averages.load_state_dict(state["averages"])
        self.best, self._last, self._sums = state["best"], Sums(*state["last"]), Sums(*local.get("sums", ()))

    def close(self) -> None:
        self.batches.close()


def make_model(config: ClassifyConfig, images: ImageSet) -> nn.Module:
    """Returns the classifier of a configuration for these images, with uninitialized weights."""
    return build.make(
        config.model, channels=images.channels, side=images.side, classes=images.classes, norm=config.model_norm
    )


def score(
    model: nn.Module,
    config: ClassifyConfig,
    parts: Parts,
    device: torch.device,
    transport: Transport,
    images: int | None = None,
) -> dict[str, float]:
    """Returns the scores of a model's weights, with batch-norm statistics estimated for them. Collective.

    The model itself is left as it is. The scores are the same bits for any number of ranks. ``images`` is the number
    of test images, from the first; None: all.
    """
    scored = copy.deepcopy(model)
    order = torch.randperm(len(parts.train), generator=generator(config.seed, RandomStream.STATISTICS)).tolist()
    count = min(len(order), ESTIMATE_BATCHES * ESTIMATE_SIZE)

    def inputs(places: range) -> Tensor:
        images, _ = parts.train.take(order[places.start : places.stop])
        return normalized(images).to(device)

    estimate_statistics(scored, inputs, count, ESTIMATE_SIZE, transport)
    return accuracy.evaluate(scored.eval(), parts.test, device, transport, images)
