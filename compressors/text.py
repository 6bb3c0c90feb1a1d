"""Compressors from text: NAME or NAME:PARAMETER=VALUE,..."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from compressors import parameters
from compressors.base import Compressor
from compressors.registry import get, make
from compressors.spec import Spec


class Written(NamedTuple):
    """A compressor as it was written."""

    name: str
    fields: dict[str, "dataclasses.Field[Any]"]
    """All parameters of this compressor."""
    values: dict[str, Any]
    """Parameters that were given."""


def read(text: str) -> Written:
    """Reads the name of a compressor, and the values of its parameters.

    Raises:
        ValueError: an unknown name or parameter, or a value of another type.
    """
    spec = Spec.parse(text)
    fields = {field.name: field for field in parameters.fields(get(spec.name))}
    return Written(spec.name, fields, spec.read(fields))


def parse(text: str) -> Compressor:
    """Makes the compressor that a text asks for.

    Examples:
        >>> parse("minmax:bits=2").bits
        2

    Raises:
        ValueError: as ``read`` and ``make`` do.
    """
    written = read(text)
    return make(written.name, **written.values)


def at_widths(texts: Iterable[str], widths: Sequence[float], seed: int = 0) -> list[tuple[str, str, Compressor]]:
    """Makes the compressors of these texts, each at all of the widths (bits a coordinate) that it can have.

    Returns:
        (text, width in words, compressor); the width is empty where the compressor has none, or the text gives it.

    Raises:
        ValueError: one cannot be made, at any of the widths.
    """
    made = []
    for text in texts:
        name, fields, own = read(text)
        if "bits" not in fields.keys() - own.keys():
            made.append((text, "", make(name, seed=seed, **own)))
            continue
        possible = [bits for bits in widths if _can_have(name, {**own, "bits": bits})]
        for bits in possible or widths:  # if none is, the first says why
            made.append((text, f"{bits:g} bits", make(name, seed=seed, bits=bits, **own)))
    return made


def _can_have(name: str, values: dict[str, Any]) -> bool:
    try:
        make(name, **values)
    except ValueError:
        return False
    return True
