"""Every compressor with many values of its parameters, to be checked by ``hvd_qgenx.testing``."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress

import compressors
from compressors import Compressor, IntegerCompressor, parameters
from hvd_qgenx.testing.statistics import (
    LENGTH,
    check_residual_bias,
    check_unbiased,
    check_variance,
    distributions,
    draw,
)

__all__ = [
    "LENGTH",
    "check_residual_bias",
    "check_unbiased",
    "check_variance",
    "configurations",
    "distributions",
    "draw",
    "label",
    "make",
]


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
