"""The parameters of all compressors together, by name."""

import dataclasses
from typing import Any

import compressors
from compressors import parameters

Owner = tuple[str, "dataclasses.Field[Any]"]


def compressor_parameters() -> dict[str, list[Owner]]:
    """Every parameter of any registered compressor, with the compressors that have it."""
    found: dict[str, list[Owner]] = {}
    for name in compressors.names():
        for field in parameters.fields(compressors.get(name)):
            found.setdefault(field.name, []).append((name, field))
    return found


def kind(owners: list[Owner]) -> type:
    """The type of a parameter: float if it is so for any compressor."""
    kinds = {type(field.default) for _, field in owners}
    return float if float in kinds else kinds.pop()
