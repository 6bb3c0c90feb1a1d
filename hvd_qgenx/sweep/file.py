"""Reads the file that describes a sweep."""

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training.config import Config

KEYS = ("task", "out", "launch", "presets", "seeds", "options", "modes")


@dataclass(frozen=True)
class Sweep:
    """The runs that a file describes."""

    task: type[Config]
    """The configuration class of the task that every run trains."""
    out: Path
    launch: tuple[str, ...]
    """Words before ``hvd-qgenx``; empty: no launcher."""
    modes: Mapping[str, Mapping[str, Any]]
    """Options of the task's command by the name of the mode."""
    seeds: tuple[int, ...]


def read(path: Path) -> Sweep:
    """Reads a TOML file with the keys ``KEYS``.

    Raises:
        ConfigurationError: there is no such file, it is not TOML, a key is unknown, or a value has the wrong type.
    """
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:  # tomllib.TOMLDecodeError, or a number with thousands of digits
        raise ConfigurationError(f"the sweep {path} cannot be read: {error}") from error
    try:
        return _sweep(found, path.stem)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _sweep(found: dict[str, Any], name: str) -> Sweep:
    for key in found:
        if key not in KEYS:
            raise ConfigurationError(unknown("key", key, KEYS))
    options = _table(found.get("options", {}), "options")
    presets = _list(found.get("presets", []), str, "presets", "names or paths of presets")
    own = {mode: _table(table, f"modes.{mode}") for mode, table in _table(found.get("modes", {}), "modes").items()}
    modes = [(Path(preset).stem, {**options, "preset": preset}) for preset in presets]
    modes += [(mode, {**options, **table}) for mode, table in own.items()]
    if not modes:
        raise ConfigurationError("there is nothing to run; list presets, or add tables [modes.NAME]")
    _check_names([mode for mode, _ in modes])
    seeds = _list(found.get("seeds", [0]), int, "seeds", "whole numbers")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"seeds must be one or more different numbers, not {seeds}")
    return Sweep(
        TASKS[_text(found, "task", "gan")],
        Path(_text(found, "out", f"runs/{name}")),
        _words(_text(found, "launch", "")),
        dict(modes),
        tuple(seeds),
    )


def _check_names(modes: list[str]) -> None:
    for mode in modes:
        if not re.fullmatch(r"\w[\w.+-]*", mode):
            raise ConfigurationError(
                f"the mode {mode!r} cannot be the name of a folder; use letters, digits and . _ + -"
            )
        if modes.count(mode) > 1:
            raise ConfigurationError(f"there are {modes.count(mode)} modes called {mode!r}; rename one")


def _words(launch: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(launch))
    except ValueError as error:
        raise ConfigurationError(f"launch cannot be split into words: {error}; check its quotes") from error


def _text(found: dict[str, Any], key: str, default: str) -> str:
    value = found.get(key, default)
    if not isinstance(value, str):
        raise ConfigurationError(f"{key} must be a string, not {value!r}")
    return value


def _list(value: Any, kind: type, key: str, what: str) -> list[Any]:
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise ConfigurationError(f"{key} must be a list of {what}, not {value!r}")
    return value


def _table(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{key} must be a table, not {value!r}")
    return value
