"""Values that a paper published, as a sweep's file lists them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError

DIVERGES = "diverges"
"""The value of a mode that diverged in the paper."""
KEYS = ("title", "source", "note", "score", "values")
VALUE_KEYS = ("value", "spread", "megabytes")


@dataclass(frozen=True)
class Value:
    """The published result of one mode."""

    score: float | None
    """None: it diverged."""
    spread: float | None = None
    """The published deviation over seeds."""
    megabytes: float | None = None
    """The published MB of one update."""


@dataclass(frozen=True)
class Published:
    """A published table."""

    title: str
    source: str
    note: str
    scores: tuple[str, ...]
    """The columns ``SCORE/WEIGHTS`` that the values are about: the first one that a run has."""
    values: Mapping[str, Value]
    """By mode of the sweep, in the order of the file."""


def parse(found: Any, modes: Collection[str]) -> Published:
    """Reads the table ``[published]`` of a sweep with these modes.

    Raises:
        ConfigurationError: a key or a mode is unknown, or a value has the wrong type; names the key.
    """
    table = _table(found, "published", KEYS)
    for key in ("title", "source"):
        if key not in table:
            raise ConfigurationError(f"published.{key} is missing; say where the values are from")
    values = _table(table.get("values", {}), "published.values")
    for mode in values:
        if mode not in modes:
            raise ConfigurationError(f"published.values: {unknown('mode', mode, list(modes))}")
    if not values:
        raise ConfigurationError("published.values is empty; list values by mode")
    return Published(
        _text(table, "title"),
        _text(table, "source"),
        _text(table, "note"),
        _scores(table.get("score")),
        {mode: _value(value, f"published.values.{mode}") for mode, value in values.items()},
    )


def _scores(found: Any) -> tuple[str, ...]:
    columns = tuple(found) if isinstance(found, list) else (found,)
    if not columns or not all(isinstance(column, str) and "/" in column for column in columns):
        raise ConfigurationError(
            f"published.score must be a column of scores.csv like 'top1/raw', or a list of columns, not {shown(found)}"
        )
    return columns


def _value(found: Any, key: str) -> Value:
    if not isinstance(found, dict):
        return Value(_score(found, key))
    table = _table(found, key, VALUE_KEYS)
    if "value" not in table:
        raise ConfigurationError(f"{key}.value is missing")
    spread, megabytes = (_size(table, name, key) for name in VALUE_KEYS[1:])
    return Value(_score(table["value"], f"{key}.value"), spread, megabytes)


def _score(found: Any, key: str) -> float | None:
    if found == DIVERGES:
        return None
    if not _is_number(found):
        raise ConfigurationError(f"{key} must be a number or {DIVERGES!r}, not {shown(found)}")
    return float(found)


def _size(table: Mapping[str, Any], name: str, key: str) -> float | None:
    found = table.get(name)
    if found is None:
        return None
    if not _is_number(found) or found < 0:
        raise ConfigurationError(f"{key}.{name} must be a number of at least 0, not {shown(found)}")
    return float(found)


def _is_number(found: Any) -> bool:
    return type(found) in (int, float) and math.isfinite(found)


def _text(table: Mapping[str, Any], key: str) -> str:
    found = table.get(key, "")
    if not isinstance(found, str):
        raise ConfigurationError(f"published.{key} must be a string, not {shown(found)}")
    return found


def _table(found: Any, key: str, keys: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Returns a table, after a check of its keys if ``keys`` are given."""
    if not isinstance(found, dict):
        raise ConfigurationError(f"{key} must be a table, not {shown(found)}")
    for name in found:
        if keys and name not in keys:
            raise ConfigurationError(f"{key}: {unknown('key', name, keys)}")
    return found
