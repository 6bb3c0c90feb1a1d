"""What every compressor must keep, as functions that raise AssertionError."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

import compressors
from compressors import Compressor, IntegerCompressor, parameters

DRAWS = 4000
COPIES = 40
"""Draws that one compression makes, in buckets of their own; the others have other keys."""
LENGTH = 64
"""Coordinates of every distribution; also the bucket size, so that each has a bucket of its own."""


def configurations() -> Iterator[tuple[str, dict[str, int | float | str]]]:
    """Every registered compressor, each parameter varied over its limits with the others at their default.

    A value that needs other values of the others is left out.
    """
    for name in compressors.names():
        yield name, {}
        for field in parameters.fields(compressors.get(name)):
            for value in _values(field):
                with suppress(ValueError):
                    compressors.make(name, **{field.name: value})
                    yield name, {field.name: value}


def _values(field: "dataclasses.Field[object]") -> list[int | float | str]:
    low, high = field.metadata["low"], field.metadata["high"]
    if field.metadata["choices"]:
        return list(field.metadata["choices"])[: 2 if isinstance(field.default, int) else None]
    if isinstance(field.default, str):
        return []
    if isinstance(field.default, float):
        return [low, (low + high) / 2, high]
    return [1, 4, 32] if high is None else list(range(low, high + 1))


def label(configuration: tuple[str, dict[str, int | float | str]]) -> str:
    name, values = configuration
    return "-".join([name, *(f"{key}={value}" for key, value in values.items())])


def make(configuration: tuple[str, dict[str, int | float | str]], **more: int) -> Compressor:
    """The compressor, with the smallest buckets that hold LENGTH unless the configuration says otherwise.

    Integers get a scale at once, the same whatever it would follow.
    """
    name, values = configuration
    for field in parameters.fields(compressors.get(name)):
        if field.name == "bucket_size":
            values = {"bucket_size": min(field.metadata["choices"] or [LENGTH]), **values}
    made = compressors.make(name, **values, **more)
    if isinstance(made, IntegerCompressor):
        made.set_scales([1.0])
    return made


def distributions() -> dict[str, Tensor]:
    """Vectors that quantizers stumble over, LENGTH coordinates each."""
    random = torch.Generator().manual_seed(20)
    normal = torch.randn(LENGTH, generator=random)
    spike = torch.zeros(LENGTH)
    spike[17] = 3.0
    two_spikes = spike.clone()
    two_spikes[40] = -1.0
    sparse = normal * (torch.rand(LENGTH, generator=random) < 0.1)
    return {
        "gaussian": normal,
        "small": normal * 1e-6,
        "heavy-tail": normal / torch.rand(LENGTH, generator=random).clamp(min=1e-3),
        "sparse": sparse,
        "constant": torch.full((LENGTH,), 0.1),
        "negative": -normal.abs(),
        "offset": 1000 + normal,
        "spike": spike,
        "two-spikes": two_spikes,
        "uniform": torch.rand(LENGTH, generator=random),
        "ramp": torch.arange(float(LENGTH)),
        "zeros": torch.zeros(LENGTH),
        "denormal": normal * 1e-40,
        "least-denormals": torch.randint(-9, 9, (LENGTH,), generator=random) * 2.0**-149,
        "mixed-scale": normal * torch.logspace(-6, 3, LENGTH),
    }


def draw(compressor: Compressor, vector: Tensor, draws: int = DRAWS) -> Tensor:
    """Decoded copies of ``vector`` from ``draws`` compressions, (draws, len(vector)), float64."""
    return torch.stack([compressor.decompress(*compressor.compress(vector)).double() for _ in range(draws)])


def draw_all(compressor: Compressor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, vector and draws of every distribution.

    Compressed together, each in buckets of its own; one by one where buckets share something, as integers their scale.
    """
    vectors = distributions()
    if isinstance(compressor, IntegerCompressor):
        for name, vector in vectors.items():
            compressor.set_scales([compressor.most / (float(vector.abs().max()) or 1.0)])
            yield name, vector, draw(compressor, vector, DRAWS // 16)
    elif compressor.shares_bits:
        for name, vector in vectors.items():
            yield name, vector, draw(compressor, vector, DRAWS // 16)
    else:
        slot = max(LENGTH, compressor.alignment)
        spread = torch.stack([torch.nn.functional.pad(vector, (0, slot - LENGTH)) for vector in vectors.values()])
        decoded = draw(compressor, spread.repeat(COPIES, 1).flatten(), DRAWS // COPIES)
        places = decoded.view(DRAWS, len(vectors), slot)[..., :LENGTH].unbind(1)
        for (name, vector), draws in zip(vectors.items(), places, strict=True):
            yield name, vector, draws


def check_unbiased(decoded: Tensor, vector: Tensor, bound: float = 0.0) -> None:
    """The mean of the draws is within 5 standard errors of the vector, coordinate by coordinate.

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
    assert (excess <= 0).all(), f"biased by {excess.max():.3g} beyond 5 standard errors"


def check_residual_bias(decoded: Tensor, vector: Tensor, share: float) -> None:
    """The squared bias is at most this share of the squared error, up to 5 standard errors and float32 rounding."""
    draws = len(decoded)
    errors = (decoded - vector.double()).square().sum(dim=1).mean()
    noise = decoded.var(dim=0) / draws
    squared_bias = (decoded.mean(dim=0) - vector.double()).square().sum() - noise.sum()
    sampling = 5 * (2 * noise.square().sum()).sqrt()
    rounding = len(vector) * (4 * 2**-24 * decoded.abs().max() + 4 * 2.0**-149) ** 2
    assert squared_bias <= share * errors + sampling + rounding, f"biased: {squared_bias / errors:.3g} of the error"


def check_variance(decoded: Tensor, vector: Tensor, bound: float) -> None:
    """E||Q(x) - x||^2 is under the bound, up to 5 standard errors and float32 rounding."""
    errors = (decoded - vector.double()).square().sum(dim=1)
    sampling = 5 * float(errors.std()) / len(errors) ** 0.5
    rounding = len(vector) * (4 * 2**-24 * float(decoded.abs().max()) + 4 * 2.0**-149) ** 2
    assert errors.mean() <= bound + sampling + rounding, f"variance {errors.mean():.4g} above its bound {bound:.4g}"
