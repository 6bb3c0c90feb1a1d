"""A classifier of images, as the training room sees it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from compressors.random import generator
from hvd_qgenx.data import Augmentation, class_counts, describe, make_split, normalized
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.classify import accuracy
from hvd_qgenx.tasks.classify.models import build
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.statistics import estimate_statistics
from hvd_qgenx.tasks.images import check_images
from hvd_qgenx.tasks.parts import Parts, PartsTask
from hvd_qgenx.training.single_model.tally import Tally
from hvd_qgenx.training.single_model.task import BACKWARD, FORWARD, PLAYER
from hvd_qgenx.training.trainer import DATA
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import require_same
from hvd_qgenx.transport.inprocess import InProcess

ESTIMATE_BATCHES, ESTIMATE_SIZE = 16, 128
"""Training images that batch norm's statistics are estimated from, for what is evaluated."""


class ClassifyTask(PartsTask):
    """A classifier, and its accuracy on a test set."""

    kind = "hvd-qgenx classify"
    measures = ("accuracy/train", "lr", "epoch")
    scores = accuracy.SCORES
    selected_by = "top1"
    higher_is_better = True
    defining = ("model", "model_norm")

    def __init__(self, config: ClassifyConfig, parts: Parts, transport: Transport) -> None:
        model = self.make_model(config, parts)
        build.initialize(model, config.seed, RandomStream.CLASSIFIER)
        config.check(transport.size)
        split = make_split(
            config.split,
            parts.train,
            config.batch_size // config.accumulation,
            config.seed,
            transport.rank,
            transport.size,
            config.dirichlet_alpha,
        )
        augmentation = Augmentation(config.augmentation, config.seed)
        tally = Tally("loss", "correct")
        super().__init__(config, parts, transport, model, split=split, augmentation=augmentation, tally=tally)

    @classmethod
    def check_data(cls, config: ClassifyConfig, data: Parts, stored: Mapping[str, Any] | None) -> None:
        check_images(config, data.train, stored)
        if data.train.classes < 2:
            raise ConfigurationError(f"{config.dataset} has no labels to learn; choose another --dataset")
        build.check(config.model, data.train.side, config.model_norm)

    @classmethod
    def make_model(cls, config: ClassifyConfig, data: Parts) -> nn.Module:
        images = data.train
        return build.make(
            config.model, channels=images.channels, side=images.side, classes=images.classes, norm=config.model_norm
        )

    @classmethod
    def score(
        cls,
        model: nn.Module,
        config: ClassifyConfig,
        data: Parts,
        device: torch.device,
        transport: Transport,
        images: int | None = None,
    ) -> dict[str, float]:
        """Returns the scores of a model's weights, with batch-norm statistics estimated for them. Collective.

        The model itself is left as it is. The scores are the same bits for any number of ranks. ``images`` is the
        number of test images, from the first; None: all.
        """
        scored = copy.deepcopy(model)
        order = torch.randperm(len(data.train), generator=generator(config.seed, RandomStream.STATISTICS)).tolist()
        count = min(len(order), ESTIMATE_BATCHES * ESTIMATE_SIZE)

        def inputs(places: range) -> Tensor:
            images, _ = data.train.take(order[places.start : places.stop])
            return normalized(images).to(device)

        estimate_statistics(scored, inputs, count, ESTIMATE_SIZE, transport)
        return accuracy.evaluate(scored.eval(), data.test, device, transport, images)

    @property
    def backward_passes(self) -> int:
        passes: int = self.config.accumulation
        return passes

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
            correct = (logits.detach().argmax(1) == labels).sum()
            self.tally.note(len(labels), loss=float(loss.detach()), correct=int(correct))

    def _logits(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits: Tensor = self.model(images)
        return logits.float()

    def measure(self, update: int) -> dict[str, float]:
        return {"accuracy/train": 100 * self.tally.mean("correct"), **super().measure(update)}

    def _shown(self, score: float) -> str:
        return f"{score:.2f} %"

    local_scores = ("top1", "test_loss")

    def evaluate_alone(self) -> dict[str, float]:
        count = self.config.local_images or len(self.parts.test)
        scores = self.score(self.model, self.config, self.parts, self.device, InProcess(), count)
        return {name: scores[name] for name in self.local_scores}

    def prepare(self, download: bool, stored: Mapping[str, Any] | None) -> None:
        """Makes sure that all ranks have the same split, whose random numbers are numpy's."""
        require_same(self.transport, {"split": self._class_counts()})

    def _class_counts(self) -> list[list[int]] | None:
        return None if self.config.split == "reshuffled" else class_counts(self.split, self.parts.train)

    def notes(self) -> dict[str, Any]:
        return {**super().notes(), "class_counts": self._class_counts()}

    def remarks(self) -> Iterator[str]:
        if self.config.split != "reshuffled":
            yield f"Split {self.config.split}: {describe(self.split, self.parts.train)}"
        yield from super().remarks()

    def conclusions(self, summary: Mapping[str, Any]) -> Iterator[str]:
        scores = summary["scores"]
        if scores:
            top1, top5, loss = (scores[self.first(name)] for name in accuracy.SCORES)
            best = self.best[self.first("top1")]
            yield (
                f"test accuracy {top1:.2f} % (best {best:.2f} % after epoch {self.best['epoch']:.4g}), "
                f"top-5 {top5:.2f} %, loss {loss:.4f}"
            )
