"""Bilinear games, and quadratic games with the same coupling."""

from typing import ClassVar

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.base import Game


class Bilinear(Game):
    """min over theta, max over phi of <theta - theta*, B (phi - phi*)> + mu/2 (|theta - theta*|^2 - |phi - phi*|^2).

    A(z) = (B (phi - phi*) + mu (theta - theta*), -B^T (theta - theta*) + mu (phi - phi*)). With
    mu = 0 this is a bilinear game. With mu > 0 it is strongly monotone with modulus mu, and
    cocoercive with modulus mu / (mu^2 + ||B||^2).

    Args:
        coupling: B, of shape (n, n), or (n,) for a diagonal one.
        start: theta and phi end to end, of shape (2 n,).
        solution: z*, of the same shape.
        mu: curvature, not negative.
        radius: radius of the ball about z* over which the restricted gap is taken.
    """

    def __init__(self, coupling: Tensor, start: Tensor, solution: Tensor, mu: float = 0.0, radius: float = 1.0) -> None:
        size = len(coupling)
        super().__init__({"theta": size, "phi": size}, start, solution)
        self.solution: Tensor = solution
        self.coupling, self.mu, self.radius = coupling, mu, radius

    def operator(self, point: Tensor) -> Tensor:
        away = point - self.solution
        theta, phi = away.chunk(2)
        if self.coupling.ndim == 1:
            dual = torch.cat([self.coupling * phi, -self.coupling * theta])
        else:
            dual = torch.cat([self.coupling @ phi, -(theta @ self.coupling)])
        return dual.add_(away, alpha=self.mu) if self.mu else dual

    def gap(self, point: Tensor) -> float:
        """Returns the max over ||w|| <= R of <A(z* + w), z - z* - w>, in closed form.

        With A(z* + w) = M w and <M w, w> = mu ||w||^2 it is the maximum of <w, M^T (z - z*)> - mu ||w||^2,
        which w parallel to M^T (z - z*) attains; that vector has the norm of A(z). For mu = 0 it is R ||A(z)||.
        """
        norm = float(torch.linalg.vector_norm(self.operator(point)))
        length = min(self.radius, norm / (2 * self.mu)) if self.mu else self.radius
        return length * norm - self.mu * length**2


class LinearWGAN(Bilinear):
    """min over theta, max over phi of <theta, phi>, phi clipped to [-clip, clip].

    The WGAN whose generator shifts its noise by theta and whose critic is x -> phi x. As there, phi
    is clipped after updates; an extrapolated point is left alone. Source: Gidel et al., "A
    variational inequality perspective on GANs" (ICLR 2019).

    Args:
        size: coordinates of each player.
        start: theta and phi at the start, the same in every coordinate.
        clip: largest |phi|; None leaves phi free.
    """

    projects_extrapolation: ClassVar[bool] = False

    def __init__(self, size: int = 1, start: tuple[float, float] = (2.0, 0.5), clip: float | None = 1.0) -> None:
        first = torch.tensor(start, dtype=torch.float64).repeat_interleave(size)
        ones = torch.ones(size, dtype=torch.float64)
        super().__init__(ones, first, torch.zeros_like(first), radius=min(1.0, clip or 1.0))
        self.clip = clip

    def project(self, point: Tensor) -> None:
        if self.clip is not None:
            point[self.dimension // 2 :].clamp_(-self.clip, self.clip)


def from_spectrum(size: int, low: float, high: float, seed: int, mu: float = 0.0) -> Bilinear:
    """Makes a game from 0 with a solution of norm 1: B = U diag(s) V^T with random orthogonal U and V.

    Args:
        size: coordinates of each player.
        low: the least of the evenly spaced singular values s.
        high: the largest of them.
        seed: decides U, V and the solution.
        mu: curvature.

    Examples:
        >>> game = from_spectrum(size=10, low=0.5, high=1.0, seed=0)
        >>> game.dimension, round(game.distance(game.start), 6), game.gap(game.solution)
        (20, 1.0, 0.0)
    """
    random = generator(seed, size)
    left, right = (torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64)).Q for _ in range(2))
    values = torch.linspace(low, high, size, dtype=torch.float64)
    return from_matrix((left * values) @ right.T, seed, mu)


def from_matrix(coupling: Tensor, seed: int, mu: float = 0.0) -> Bilinear:
    """Makes a game from 0 with this B (n, n) and a random solution of norm 1.

    Raises:
        ConfigurationError: B is not square.
    """
    if coupling.ndim != 2 or coupling.shape[0] != coupling.shape[1]:
        shape = " x ".join(map(str, coupling.shape))
        raise ConfigurationError(f"the matrix of a bilinear game must be square, this one is {shape}")
    random = generator(seed, len(coupling), 1)
    solution = torch.randn(2 * len(coupling), generator=random, dtype=torch.float64)
    solution /= torch.linalg.vector_norm(solution)
    return Bilinear(coupling.double(), torch.zeros_like(solution), solution, mu)
