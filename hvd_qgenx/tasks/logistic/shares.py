"""Ways to divide samples among workers."""

import torch
from torch import Tensor

from compressors.naming import unknown
from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.data.splits import dirichlet_shares, fixed_shares, sorted_shares
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic.registry import SPLITS


def make_shares(split: str, samples: Samples, workers: int, seed: int, alpha: float = 1.0) -> list[Tensor]:
    """Returns the samples of every worker, each int64 (m,).

    All shares but Dirichlet's have the same size; the samples that remain are left out.

    Args:
        split: one of ``SPLITS``.
        samples: what to split.
        workers: number of shares.
        seed: decides the order of ``shuffled`` and the proportions of ``dirichlet``.
        alpha: concentration of ``dirichlet``.

    Raises:
        ConfigurationError: a worker would have no samples, or there is no such split.
    """
    if split not in SPLITS:
        raise ConfigurationError(unknown("split", split, SPLITS))
    if len(samples) < workers:
        raise ConfigurationError(f"{len(samples)} samples cannot be split over {workers} workers; use fewer workers")
    labels = torch.from_numpy(samples.labels)
    match split:
        case "contiguous":
            order = torch.arange(len(samples))
        case "shuffled":
            (order,) = fixed_shares(len(samples), seed, 1)
        case "sorted":
            (order,) = sorted_shares(labels, 1)
        case _:
            return dirichlet_shares(labels, seed, workers, alpha)
    size = len(samples) // workers
    return list(order[: size * workers].split(size))
