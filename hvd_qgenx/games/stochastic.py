"""The finite-sum bilinear game."""

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.games.base import Operator
from hvd_qgenx.games.bilinear import Bilinear
from hvd_qgenx.games.draws import integers


class StochasticBilinear(Bilinear):
    """min over theta, max over phi of 1/n sum_i theta^T M_i phi + a_i^T theta + b_i^T phi; theta, phi in R^n.

    M_i has one entry, a one at (i, i), so 1/n sum_i M_i = I/n; a_i, b_i have independent N(0, 1/n)
    entries. Setting both gradients to 0, (phi + sum_i a_i)/n and (theta + sum_i b_i)/n, gives
    theta* = -sum_i b_i and phi* = -sum_i a_i. Every call of the oracle samples ``batch`` of the n terms.
    Source: Gidel et al., "A variational inequality perspective on GANs" (ICLR 2019), section 7.

    Args:
        size: n, both the number of terms and of coordinates of each player.
        seed: decides the offsets.
        batch: terms in one call, drawn with replacement.
    """

    def __init__(self, size: int, seed: int, batch: int = 1) -> None:
        self.offsets = torch.randn(size, 2 * size, generator=generator(seed, size, 2), dtype=torch.float64) / size**0.5
        """(n, 2 n): row i holds a_i, then b_i."""
        self.batch = batch
        towards_theta, towards_phi = self.offsets.sum(0).chunk(2)
        solution = -torch.cat([towards_phi, towards_theta])
        super().__init__(torch.full((size,), 1 / size, dtype=torch.float64), torch.zeros_like(solution), solution)

    def sample(self, point: Tensor, terms: Tensor) -> Tensor:
        """Returns the mean of the operators of these terms (integers from 0 to n - 1, repetitions count)."""
        theta, phi = point.chunk(2)
        size, share = len(theta), 1 / len(terms)
        dual: Tensor = self.offsets[terms].mean(0)
        dual.index_add_(0, terms, phi[terms], alpha=share).index_add_(0, terms + size, theta[terms], alpha=share)
        dual[size:].neg_()
        return dual

    def oracle(self, seed: int, rank: int) -> Operator:
        terms = integers(len(self.coupling), self.batch, seed, rank, 3)
        return lambda point: self.sample(point, terms.next())
