"""Typed parameters of a compressor: declared once as dataclass fields, checked here.

The command line, ``compressors.make`` and the documentation all read the same fields.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any


def parameter(
    default: Any,
    help: str,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A dataclass field that carries its own help text and limits (both ends included)."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    """The parameters of a compressor class, in order of declaration."""
    return tuple(f for f in dataclasses.fields(cls) if "help" in f.metadata)


def names(cls: type) -> list[str]:
    """The names of the parameters of a compressor class, in order of declaration."""
    return [field.name for field in fields(cls)]


def limits(field: dataclasses.Field[Any]) -> str:
    """The limits of a number in words, with a space before them; empty if it has none."""
    low, high = field.metadata["low"], field.metadata["high"]
    if low is None:
        return ""
    return f" at least {low}" if high is None else f" from {low} to {high}"


def check(instance: Any, name: str) -> None:
    """Raises ValueError, in one sentence, if a parameter of ``instance`` is outside its limits."""
    for field in fields(type(instance)):
        value = getattr(instance, field.name)
        low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
        if choices is not None:
            if value not in choices:
                raise ValueError(f"{name}: {field.name} must be one of {', '.join(choices)}, not {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}: {field.name} must be a whole number, not {value!r}")
        elif (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"{name}: {field.name} must be{limits(field)}, not {value}")
