"""Small problems that tests share."""

import numpy as np
import torch
from scipy.sparse import csr_array

from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.shares import make_shares


def samples(count=43, features=6, seed=0, density=0.5) -> Samples:
    """Random sparse samples whose labels depend on the first feature."""
    random = np.random.default_rng(seed)
    dense = random.normal(size=(count, features)) * (random.random((count, features)) < density)
    labels = (dense[:, 0] + random.normal(size=count) > 0).astype(np.int64)
    return Samples("random", csr_array(dense), labels)


def problem(workers=4, l2=0.05, split="contiguous", normalize=True, **settings) -> Problem:
    found = samples(**settings)
    return Problem(found, make_shares(split, found, workers, 0, 2.0), l2, normalize)


def points(problem: Problem, count: int, scale: float = 2.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return scale * torch.randn(count, problem.dimension, generator=random, dtype=torch.float64)
