"""Loss and accuracy of a classifier on a test set, computed by all ranks together."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.data import ImageSet, evaluated_in_blocks, normalized
from hvd_qgenx.transport import Transport

SCORES = ("top1", "top5", "test_loss")
BLOCK = 250
"""Images that a rank takes through the model at once."""


@dataclass(frozen=True)
class Found:
    """Sums over a block of test images."""

    top1: int
    top5: int
    loss: float


def evaluate(
    model: nn.Module, images: ImageSet, device: torch.device, transport: Transport, count: int | None = None
) -> dict[str, float]:
    """Returns the scores of a model in evaluation mode: top-1 and top-5 accuracy in percent, and mean cross-entropy.

    Every one of the first ``count`` images (None: of all) counts once. The scores are the same bits for any number of
    ranks. Collective.
    """
    count = min(count or len(images), len(images))

    def look(_: int, places: range) -> Found:
        pixels, labels = images.take(places)
        return _look_at(model, normalized(pixels).to(device), labels.to(device))

    found = evaluated_in_blocks(count, BLOCK, transport, "test", look)
    return {
        "top1": 100 * sum(each.top1 for each in found) / count,
        "top5": 100 * sum(each.top5 for each in found) / count,
        "test_loss": math.fsum(each.loss for each in found) / count,
    }


@torch.inference_mode()  # whose tensors Horovod does not take: nothing collective in here
def _look_at(model: nn.Module, images: Tensor, labels: Tensor) -> Found:
    logits: Tensor = model(images).float()
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    loss = F.cross_entropy(logits.double(), labels, reduction="sum")
    return Found(int(hits[:, 0].sum()), int(hits.any(1).sum()), float(loss))
