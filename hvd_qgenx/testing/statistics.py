"""Bias and variance of a compressor, as many draws show them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from compressors import Compressor, IntegerCompressor
from hvd_qgenx.testing.requirement import require

DRAWS = 4000
COPIES = 40
"""Draws that one compression makes, in buckets of their own; the others have other keys."""
FEWER = 16
"""What part of the draws are made where every vector is compressed by itself."""
LENGTH = 64
"""Coordinates of every distribution."""


def distributions(length: int = LENGTH) -> dict[str, Tensor]:
    """Returns vectors that quantizers stumble over, float32 (length,), by name."""
    random = torch.Generator().manual_seed(20)
    normal = torch.randn(length, generator=random)
    spike = torch.zeros(length)
    spike[17] = 3.0
    two_spikes = spike.clone()
    two_spikes[40] = -1.0
    sparse = normal * (torch.rand(length, generator=random) < 0.1)
    return {
        "gaussian": normal,
        "small": normal * 1e-6,
        "heavy-tail": normal / torch.rand(length, generator=random).clamp(min=1e-3),
        "sparse": sparse,
        "constant": torch.full((length,), 0.1),
        "negative": -normal.abs(),
        "offset": 1000 + normal,
        "spike": spike,
        "two-spikes": two_spikes,
        "uniform": torch.rand(length, generator=random),
        "ramp": torch.arange(float(length)),
        "zeros": torch.zeros(length),
        "denormal": normal * 1e-40,
        "least-denormals": torch.randint(-9, 9, (length,), generator=random) * 2.0**-149,
        "mixed-scale": normal * torch.logspace(-6, 3, length),
    }


def draw(compressor: Compressor, vector: Tensor, draws: int = DRAWS) -> Tensor:
    """Returns decoded copies of a vector from as many compressions, float64 (draws, len(vector))."""
    return torch.stack([compressor.decompress(*compressor.compress(vector)).double() for _ in range(draws)])


def draw_all(compressor: Compressor, together: bool) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yields name, vector and draws of every distribution.

    Args:
        compressor: with a scale if it sends integers; each vector gets its own.
        together: compress the vectors as one, each in buckets of its own, padded with zeros; for a compressor whose
            coordinates share nothing but their bucket, and whose buckets are small.
    """
    vectors = distributions()
    if isinstance(compressor, IntegerCompressor) or not together:
        for name, vector in vectors.items():
            if isinstance(compressor, IntegerCompressor):
                compressor.set_scales([compressor.most / (float(vector.abs().max()) or 1.0)])
            yield name, vector, draw(compressor, vector, DRAWS // FEWER)
        return
    slot = max(LENGTH, compressor.alignment)
    spread = torch.stack([torch.nn.functional.pad(vector, (0, slot - LENGTH)) for vector in vectors.values()])
    decoded = draw(compressor, spread.repeat(COPIES, 1).flatten(), DRAWS // COPIES)
    places = decoded.view(DRAWS, len(vectors), slot)[..., :LENGTH].unbind(1)
    for (name, vector), draws in zip(vectors.items(), places, strict=True):
        yield name, vector, draws


def check_unbiased(decoded: Tensor, vector: Tensor, bound: float = 0.0) -> None:
    """Requires the mean of the draws within 5 standard errors of the vector, coordinate by coordinate.

    A coordinate that moves in a few draws only has an unreliable standard deviation; it counts as
    at least that of one move across the span of all values, and by Bernstein's inequality errors have 5^2 / 6 spans
    over the number of draws more. Beside that, float32 rounding. Where moves are so rare that all draws are alike, the
    ``bound`` on the variance stands for it.
    """
    draws = len(decoded)
    span = decoded.max() - decoded.min()
    alike = bool((decoded == decoded[0]).all())
    variance = decoded.var(dim=0).clamp(min=bound if alike else float(span**2) / draws)
    rounding = 4 * 2**-24 * decoded.abs().max() + 4 * 2.0**-149
    sampling = 5 * (variance / draws).sqrt() + 5**2 / 6 * span / draws
    excess = (decoded.mean(dim=0) - vector.double()).abs() - sampling - rounding
    require((excess <= 0).all(), f"biased by {excess.max():.3g} beyond 5 standard errors")
    _check_length(decoded, vector)


def _check_length(decoded: Tensor, vector: Tensor) -> None:
    """Requires the mean projection on the vector within 5 standard errors: it sees a small factor where draws are few.

    Errors of 5^2 / 6 spans over the number of draws are allowed for, as above, and float32 rounding.
    """
    direction = vector.double() / vector.double().abs().max().clamp(min=1e-300)
    products = decoded @ direction
    found, wanted, draws = products.mean(), vector.double() @ direction, len(decoded)
    span = products.max() - products.min()
    rounding = len(vector) * (4 * 2**-24 * decoded.abs().max() + 4 * 2.0**-149)
    allowed = 5 * (products.var() / draws).sqrt() + 5**2 / 6 * span / draws + rounding
    if span:
        require((found - wanted).abs() <= allowed, f"biased: its length is {found / wanted:.4g} times the vector's")


def check_residual_bias(decoded: Tensor, vector: Tensor, share: float) -> None:
    """Requires a squared bias of at most this share of the squared error, up to 5 standard errors and rounding."""
    draws = len(decoded)
    errors = (decoded - vector.double()).square().sum(dim=1).mean()
    noise = decoded.var(dim=0) / draws
    squared_bias = (decoded.mean(dim=0) - vector.double()).square().sum() - noise.sum()
    sampling = 5 * (2 * noise.square().sum()).sqrt()
    rounding = len(vector) * (4 * 2**-24 * decoded.abs().max() + 4 * 2.0**-149) ** 2
    require(squared_bias <= share * errors + sampling + rounding, f"biased: {squared_bias / errors:.3g} of the error")


def check_variance(decoded: Tensor, vector: Tensor, bound: float) -> None:
    """Requires E||Q(x) - x||^2 to be under the bound, up to 5 standard errors and float32 rounding."""
    errors = (decoded - vector.double()).square().sum(dim=1)
    sampling = 5 * float(errors.std()) / len(errors) ** 0.5
    rounding = len(vector) * (4 * 2**-24 * float(decoded.abs().max()) + 4 * 2.0**-149) ** 2
    require(errors.mean() <= bound + sampling + rounding, f"variance {errors.mean():.4g} above its bound {bound:.4g}")


def check_statistics(compressor: Compressor, together: bool) -> None:
    """Requires what a compressor says of its bias, and its bound on the variance, of vectors of many kinds.

    The arguments are those of ``draw_all``.
    """
    for name, vector, draws in draw_all(compressor, together):
        bound = compressor.variance_bound(vector)
        try:
            if compressor.residual_bias:
                check_residual_bias(draws, vector, compressor.residual_bias)
            elif compressor.unbiased:
                check_unbiased(draws, vector, bound)
            check_variance(draws, vector, bound)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
