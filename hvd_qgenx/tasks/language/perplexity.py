"""Perplexity of a model on a whole text, computed by all ranks together."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hvd_qgenx.data import evaluated_in_blocks
from hvd_qgenx.tasks.language.models.base import LanguageModel, State
from hvd_qgenx.transport import Transport

STREAMS, BLOCK = 40, 5
"""Contiguous parts that a text is read in, and how many of them side by side. A model reads each from its start."""
PADDING = -100
"""Target of places beyond the end of the text, which cross-entropy leaves out."""


def evaluate(model: LanguageModel, tokens: Tensor, length: int, device: torch.device, transport: Transport) -> float:
    """Returns exp of the mean cross-entropy, in nats, of every token but the first. Collective.

    The same bits for any number of ranks. ``inf`` stands for what is beyond any float.

    Args:
        model: in evaluation mode.
        tokens: int32 (n,), at least 2.
        length: tokens that the model reads at once; a recurrent one carries its state on.
        device: the model's.
        transport: of the ranks.
    """
    inputs, targets = _streams(tokens)

    def find(_: int, places: range) -> float:
        rows = slice(places.start, places.stop)
        return _loss(model, inputs[rows].to(device), targets[rows].to(device), length)

    losses = evaluated_in_blocks(len(inputs), BLOCK, transport, "perplexity", find)
    mean = math.fsum(losses) / (len(tokens) - 1)
    return math.exp(mean) if mean < math.log(torch.finfo(torch.float64).max) else math.inf


def _streams(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Returns inputs and targets in streams, int64 (streams, t); what the last lacks is padded."""
    count = len(tokens) - 1
    each = -(-count // min(STREAMS, count))
    streams = -(-count // each)
    inputs = torch.zeros(streams * each, dtype=torch.int64)
    targets = torch.full((streams * each,), PADDING)
    inputs[:count], targets[:count] = tokens[:-1], tokens[1:]
    return inputs.view(streams, each), targets.view(streams, each)


@torch.inference_mode()  # whose tensors Horovod does not take: nothing collective in here
def _loss(model: LanguageModel, inputs: Tensor, targets: Tensor, length: int) -> float:
    """Returns the sum of cross-entropies over some streams."""
    state: State = None
    losses = []
    for start in range(0, inputs.shape[1], length):
        stretch = slice(start, start + length)
        logits, state = model(inputs[:, stretch], state)
        losses.append(
            float(F.cross_entropy(logits.double().flatten(0, 1), targets[:, stretch].flatten(), reduction="sum"))
        )
    return math.fsum(losses)
