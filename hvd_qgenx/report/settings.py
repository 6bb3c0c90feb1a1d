"""Compares configurations: which runs belong together, and unexpected differences."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hvd_qgenx.captions import clip
from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training.settings import Role, declared

NOTHING = "-"
"""Text in place of a missing value."""

FEW, MOST_VALUES, VALUE = 2, 3, 40
"""The most groups and values that a sentence on a difference names, and characters of a value."""

Settings = dict[str, Any]
"""A configuration without nesting, by dotted name."""

NOTES = {"preset", "command", "hosts", "link", "extractor", "class_counts", "versions", "plugins"}
"""Keys of config.json that are not settings and change no update and no score."""
NOT_TRAINED_ON = re.compile(r"images\.((train|test)\.)?(skipped|damaged)(\.|$)")
"""Names of the files in a folder of images that are none, or that were left out."""


def flat(config: Mapping[str, Any]) -> Settings:
    """Flattens nested settings to dotted names; lists become text."""
    found: Settings = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found.update({f"{key}.{name}": inner for name, inner in flat(value).items()})
        else:
            found[key] = json.dumps(value) if isinstance(value, list) else value
    return found


def is_neutral(key: str) -> bool:
    """Returns whether runs that differ in this still have the same updates and scores, or show it elsewhere."""
    return _root(key) in NOTES or bool(NOT_TRAINED_ON.match(key)) or _role(key) is Role.NEUTRAL


def is_asked_for(key: str) -> bool:
    """Returns whether a comparison is about this setting."""
    return _root(key) == "compressor_parameters" or _role(key) is Role.STUDIED


def _role(key: str) -> Role:
    """Returns the role of a setting, as any task declares it; an unknown key counts as deciding the outcome."""
    owners = (declared(config) for config in TASKS.values())
    return next((own[_root(key)].declaration.role for own in owners if _root(key) in own), Role.OUTCOME)


def outcome(config: Mapping[str, Any]) -> Settings:
    """Returns the settings that decide a run's outcome, without its seed."""
    return {key: value for key, value in flat(config).items() if not is_neutral(key)}


def differing(settings: Sequence[Settings]) -> list[str]:
    """Returns the names of the settings that differ, in order of appearance."""
    names = dict.fromkeys(name for each in settings for name in each)
    return [name for name in names if any(each.get(name) != settings[0].get(name) for each in settings)]


def show(value: Any) -> str:
    """Formats a value; a missing one is a dash."""
    return NOTHING if value in (None, "") else str(value)


def short(key: str) -> str:
    """Returns the short name of a compressor's parameter; other names are unchanged."""
    return key.removeprefix("compressor_parameters.")


@dataclass(frozen=True)
class Difference:
    """One setting and its values, with the names of the modes that have each."""

    key: str
    values: dict[str, list[str]]

    def __str__(self) -> str:
        ordered = sorted(self.values.items(), key=lambda value: -len(value[1]))
        parts = [f"{clip(value, VALUE)} in {_some(owners)}" for value, owners in ordered[:MOST_VALUES]]
        rest = [f"{len(ordered) - len(parts)} other values in others"] if len(ordered) > len(parts) else []
        return f"{short(self.key)} is {' but '.join([*parts, *rest])}"


def _some(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) <= FEW else f"{len(names)} groups"


def unasked(settings: Mapping[str, Settings]) -> list[Difference]:
    """Returns the differences between outcomes, given by name, beyond compression and optimizer."""
    keys = (key for key in differing(list(settings.values())) if not is_asked_for(key))
    return [Difference(key, _owners({name: show(each.get(key)) for name, each in settings.items()})) for key in keys]


def _owners(values: Mapping[str, str]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, value in values.items():
        owners.setdefault(value, []).append(name)
    return owners


@dataclass(frozen=True)
class Line:
    """A setting and its values in all groups, for the page."""

    key: str
    values: list[str]
    differs: bool
    unexpected: bool
    """True if it differs in a way that makes scores hard to compare."""


def lines(groups: Sequence[Iterable[Mapping[str, Any]]]) -> list[Line]:
    """Returns all settings but the command; different values within a group are listed."""
    configs = [[flat(config) for config in group] for group in groups]
    keys = dict.fromkeys(key for group in configs for config in group for key in config)
    found = []
    for key in keys:
        if key != "command":
            values = [", ".join(dict.fromkeys(show(config.get(key)) for config in group)) for group in configs]
            differs = len(set(values)) > 1
            found.append(Line(short(key), values, differs, differs and not (is_neutral(key) or is_asked_for(key))))
    return found


def _root(key: str) -> str:
    return key.split(".")[0]
