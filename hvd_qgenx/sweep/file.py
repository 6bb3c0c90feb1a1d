"""Reads the file that describes a sweep."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import SETTINGS, naming, parse_toml, read_text
from hvd_qgenx.report import published
from hvd_qgenx.report.published import Published
from hvd_qgenx.sweep.options import check
from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.settings import declared

OF_RUNS = ("task", "presets", "seeds", "diverging", "options", "modes", "published")
KEYS = ("out", "launch", "commands", *OF_RUNS)
FAILS, ALLOWED = DIVERGING = ("fails", "allowed")


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
    may_diverge: bool = False
    """Tells whether a run that diverges is a result rather than a failure."""
    published: Published | None = None
    """Values to compare the results with."""


@dataclass(frozen=True)
class Commands:
    """The commands that a file describes, which train no task."""

    out: Path
    launch: tuple[str, ...]
    """Words before ``hvd-qgenx``; empty: no launcher."""
    words: Mapping[str, tuple[str, ...]]
    """Words after ``hvd-qgenx``, by name."""


def read(path: Path) -> Sweep | Commands:
    """Reads a TOML file with the keys ``KEYS``.

    Raises:
        ConfigurationError: there is no such file, it is not TOML, a key is unknown, or a value has the wrong type.
    """
    text = read_text(path, SETTINGS)
    found = parse_toml(text, str(path))
    with naming(path):
        return _sweep(found, path.stem, text)


def _sweep(found: dict[str, Any], name: str, text: str) -> Sweep | Commands:
    for key in found:
        if key not in KEYS:
            raise ConfigurationError(unknown("key", key, KEYS))
    out, launch = Path(_text(found, "out", f"runs/{name}")).expanduser(), _words(_text(found, "launch", ""), "launch")
    if "commands" in found:
        return Commands(out, launch, _commands(found))
    task = TASKS[_text(found, "task", "gan")]
    modes = _modes(found, task, text)
    seeds = _list(found.get("seeds", [0]), int, "seeds", "whole numbers")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"seeds must be one or more different numbers, not {shown(seeds)}")
    for seed in seeds:
        declared(task)["seed"].check(seed)
    diverging = _text(found, "diverging", FAILS)
    if diverging not in DIVERGING:
        raise ConfigurationError(unknown("value of diverging", diverging, DIVERGING))
    return Sweep(
        task,
        out,
        launch,
        modes,
        tuple(seeds),
        diverging == ALLOWED,
        published.parse(found["published"], modes) if "published" in found else None,
    )


def _modes(found: dict[str, Any], task: type[Config], text: str) -> dict[str, Mapping[str, Any]]:
    options = _table(found.get("options", {}), "options")
    check(task, options, "options", text)
    presets = _list(found.get("presets", []), str, "presets", "names or paths of presets")
    own = {mode: _table(table, f"modes.{mode}") for mode, table in _table(found.get("modes", {}), "modes").items()}
    for mode, table in own.items():
        check(task, table, f"modes.{mode}", text)
    modes = [(Path(preset).stem, {**options, "preset": preset}) for preset in presets]
    modes += [(mode, {**options, **table}) for mode, table in own.items()]
    if not modes:
        raise ConfigurationError("there is nothing to run; list presets, or add tables [modes.NAME]")
    _check_names([mode for mode, _ in modes], "mode")
    return dict(modes)


def _commands(found: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    for key in OF_RUNS:
        if key in found:
            raise ConfigurationError(f"{key} is for training runs; [commands] goes with out and launch alone")
    commands = _table(found["commands"], "commands")
    _check_names(list(commands), "command")
    if "report" in commands:
        raise ConfigurationError("a command cannot be called 'report', as the folder of the page is; rename it")
    words = {name: _words(_text(commands, name, "", "commands."), f"commands.{name}") for name in commands}
    if not words or not all(words.values()):
        raise ConfigurationError("[commands] needs words after hvd-qgenx for each name, like 'logistic --data a5a'")
    return words


def _check_names(names: list[str], what: str) -> None:
    for name in names:
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ConfigurationError(
                f"the {what} {shown(name)} cannot be the name of a folder; use letters, digits and . _ + -"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"there are {names.count(name)} {what}s called {shown(name)}; rename one")


def _words(text: str, key: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigurationError(f"{key} cannot be split into words: {error}; check its quotes") from error


def _text(found: Mapping[str, Any], key: str, default: str, prefix: str = "") -> str:
    value = found.get(key, default)
    if not isinstance(value, str):
        raise ConfigurationError(f"{prefix}{key} must be a string, not {shown(value)}")
    if "\0" in value:
        raise ConfigurationError(f"{prefix}{key} holds the character \\0, which no path or word can hold")
    return value


def _list(value: Any, kind: type, key: str, what: str) -> list[Any]:
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise ConfigurationError(f"{key} must be a list of {what}, not {shown(value)}")
    return value


def _table(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{key} must be a table, not {shown(value)}")
    return value
