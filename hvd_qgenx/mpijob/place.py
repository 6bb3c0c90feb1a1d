"""Names the places of fields: the path of one, and where an unknown one may belong."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from compressors.naming import shown, unknown
from hvd_qgenx.mpijob.nodes import Schema

ALIKE = 0.8
"""Names at least this similar are taken for a misspelling, before other places of the name are looked for."""
DEPTH = 3
"""Levels of objects, below each object around a field, in which its place is looked for."""

Place = tuple[str, Schema]
"""The path and the schema of an object."""


def unknown_field(name: object, known: Sequence[str], path: Iterable[Any], schema: Schema) -> str:
    """Returns the sentence about an unknown field: the nearest known one, or the object that has one of this name.

    Args:
        name: the field.
        known: the fields of the object that it is in.
        path: keys and indices of this object.
        schema: the strict schema of the whole document.
    """
    misspelt = difflib.get_close_matches(str(name), known, cutoff=ALIKE)
    home = None if misspelt else _home(name, _around(path, schema))
    return f"unknown field {shown(name)}; it is a field of {home}" if home else unknown("field", name, known)


def dotted(parts: Iterable[Any]) -> str:
    """Joins the parts of a path, like ``spec.containers[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _around(path: Iterable[Any], schema: Schema) -> list[Place]:
    """Returns the objects with fields that a place is in, the innermost first."""
    parts: list[Any] = []
    found = [("", schema)]
    for part in path:
        parts.append(part)
        named = schema.get("properties", {})
        schema = schema["items"] if isinstance(part, int) else named.get(part) or schema["additionalProperties"]
        found.append((dotted(parts), schema))
    return [place for place in reversed(found) if "properties" in place[1]]


def _home(name: object, around: Iterable[Place]) -> str | None:
    """Returns the path of the nearest object with such a field, by steps up and down; None if there is none."""
    places = [
        (up + down, up, where)
        for up, place in enumerate(around)
        for down, (where, schema) in _below(place)
        if name in schema["properties"] and where
    ]
    return min(places)[2] if places else None


def _below(place: Place, down: int = 0) -> Iterator[tuple[int, Place]]:
    """Yields an object and those in it, through lists and maps, each with its distance."""
    yield down, place
    where, schema = place
    for name, inner in schema["properties"].items() if down < DEPTH else ():
        path = f"{where}.{name}".lstrip(".")
        while "properties" not in inner and (values := inner.get("items") or inner.get("additionalProperties")):
            path, inner = path + ("[]" if "items" in inner else ".*"), values
        if "properties" in inner:
            yield from _below((path, inner), down + 1)
