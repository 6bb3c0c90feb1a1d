"""Typed parameters of a compressor: declared once as dataclass fields, checked here.

The command line, ``compressors.make`` and the documentation all read the same fields.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from compressors.naming import shown


def parameter(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | Sequence[int] | None = None,
) -> Any:
    """Makes a dataclass field that carries its own help text and limits (both ends included).

    Its type is the type of the default: a whole number, a float (whole numbers are taken too), or text.
    """
    metadata = {"help": help, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    """Returns the parameters of a compressor class, in order of declaration."""
    return tuple(f for f in dataclasses.fields(cls) if "help" in f.metadata)


def names(cls: type) -> list[str]:
    """Returns the names of the parameters of a compressor class, in order of declaration."""
    return [field.name for field in fields(cls)]


def limits(field: dataclasses.Field[Any]) -> str:
    """Returns the limits of a number in words, with a space before them; empty if it has none."""
    low, high = field.metadata["low"], field.metadata["high"]
    if low is None:
        return ""
    return f" at least {low}" if high is None else f" from {low} to {high}"


def values(field: dataclasses.Field[Any]) -> str:
    """Returns the values that a parameter can have, in words; empty if any will do."""
    choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
    if choices is None:
        return str(low) if low is not None and low == high else limits(field).strip()
    return f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else str(choices[0])


def check(instance: Any, name: str) -> None:
    """Raises ValueError, in one sentence, if a parameter of ``instance`` is outside its limits."""
    for field in fields(type(instance)):
        value = getattr(instance, field.name)
        choices = field.metadata["choices"]
        if choices is not None:
            if value not in choices:
                listing = ", ".join(map(str, choices))
                raise ValueError(f"{name}: {field.name} must be one of {listing}, not {shown(value)}")
        elif isinstance(field.default, str):
            if not isinstance(value, str):
                raise ValueError(f"{name}: {field.name} must be text, not {shown(value)}")
        else:
            _check_number(f"{name}: {field.name}", value, field)


def _check_number(what: str, value: Any, field: dataclasses.Field[Any]) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    takes: tuple[type, ...] = (int, float) if isinstance(field.default, float) else (int,)
    if isinstance(value, bool) or not isinstance(value, takes):
        kind = "number" if float in takes else "whole number"
        raise ValueError(f"{what} must be a {kind}, not {shown(value)}")
    if not ((low is None or value >= low) and (high is None or value <= high)):
        raise ValueError(f"{what} must be{limits(field)}, not {value}")
