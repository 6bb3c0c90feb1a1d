"""Loss and accuracy of a classifier on a test set, computed by all ranks together."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.data import ImageSet, evaluation_blocks, normalized
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
    mine = {}
    for number, places in evaluation_blocks(count, transport.rank, transport.size, BLOCK):
        pixels, labels = images.take(places)
        mine[number] = _look_at(model, normalized(pixels).to(device), labels.to(device))
    everyone = transport.all_gather_object(mine, "test")
    blocks = {number: found for own in everyone for number, found in own.items()}
    found = [blocks[number] for number in sorted(blocks)]
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
