"""Tasks that train one model on images, and test it on others."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import nn

from hvd_qgenx.data import Augmentation, Batches, ImageSet
from hvd_qgenx.data.splits import Split
from hvd_qgenx.tasks.images import (
    DESCRIPTION,
    ImageConfig,
    changed_files,
    describe_images,
    image_remarks,
    load_images,
    note_images,
)
from hvd_qgenx.training.single_model.tally import Tally
from hvd_qgenx.training.single_model.task import PLAYER, SingleModelTask
from hvd_qgenx.transport import Transport


class Parts(NamedTuple):
    """The two parts of a data set."""

    train: ImageSet
    test: ImageSet


class PartsTask(SingleModelTask):
    """A model that is trained on one part of a data set of images, and scored on the other.

    Args:
        config: what is to be trained; checked.
        parts: the images.
        transport: of the ranks.
        model: with its first weights, the same on all ranks.
        split: of the training images over ranks.
        augmentation: changes training images; None: no change.
        tally: as ``SingleModelTask`` has it.
    """

    kept = {PLAYER: {}, "averages": {}, "images": DESCRIPTION}  # noqa: RUF012

    def __init__(
        self,
        config: Any,
        parts: Parts,
        transport: Transport,
        model: nn.Module,
        *,
        split: Split,
        augmentation: Augmentation | None = None,
        tally: Tally,
    ) -> None:
        samples, batch = len(parts.train), config.batch_size
        super().__init__(config, parts, transport, model, samples=samples, at_once=batch, tally=tally)
        self.parts, self.split = parts, split
        self.changes = ""
        """What has happened to files of training images since the checkpoint that the run goes on from."""
        pinned = self.device.type == "cuda"
        self.batches = Batches(parts.train, split, augmentation, workers=config.workers, pinned=pinned)

    @classmethod
    def load(cls, config: ImageConfig, transport: Transport, download: bool) -> Parts:
        train, test = (load_images(config, transport, download, part) for part in ("train", "test"))
        return Parts(train, test)

    @classmethod
    def test_samples(cls, data: Parts) -> int:
        return len(data.test)

    def announce(self) -> str:
        return (
            f"{self.config.dataset}: {len(self.parts.train):,} training and {len(self.parts.test):,} test images; "
            f"{self.config.model}, {self.parameters:,} parameters"
        )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "images": describe_images(self.parts.train)}

    def load_state_dict(self, state: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        super().load_state_dict(state, local)
        self.changes = changed_files(state["images"], self.parts.train)

    def notes(self) -> dict[str, Any]:
        return {**super().notes(), "images": {part: note_images(each) for part, each in self.parts._asdict().items()}}

    def remarks(self) -> Iterator[str]:
        yield from image_remarks(self.parts.train, self.changes, title="training: ")
        yield from image_remarks(self.parts.test, title="test: ")
        yield from super().remarks()

    def close(self) -> None:
        self.batches.close()
