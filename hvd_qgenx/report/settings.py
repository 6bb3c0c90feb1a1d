"""Configurations: what makes runs the same, what they are called, and what should not differ."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training.settings import Role, declared

NOTHING = "-"
"""What stands where there is no value."""

Settings = dict[str, Any]
"""A configuration without nesting, by dotted name."""

NOTES = {"preset", "command", "hosts", "link", "extractor", "class_counts", "versions"}
"""Keys of config.json beside the settings that change no update and no score."""


def flat(config: Mapping[str, Any]) -> Settings:
    """Nested settings under dotted names; lists as text."""
    found: Settings = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found.update({f"{key}.{name}": inner for name, inner in flat(value).items()})
        else:
            found[key] = json.dumps(value) if isinstance(value, list) else value
    return found


def is_neutral(key: str) -> bool:
    """Whether runs that differ in this still make the same updates and scores, or tell of it elsewhere."""
    return _root(key) in NOTES or _role(key) is Role.NEUTRAL


def is_asked_for(key: str) -> bool:
    """Whether runs that differ in this are what a comparison is for."""
    return _root(key) == "compressor_parameters" or _role(key) is Role.STUDIED


def _role(key: str) -> Role:
    """The role of a setting, as any task declares it; keys that are no settings decide the outcome."""
    owners = (declared(config) for config in TASKS.values())
    return next((own[_root(key)].declaration.role for own in owners if _root(key) in own), Role.OUTCOME)


def outcome(config: Mapping[str, Any]) -> Settings:
    """The settings that decide a run's outcome, its seed left out."""
    return {key: value for key, value in flat(config).items() if not is_neutral(key)}


def differing(settings: Sequence[Settings]) -> list[str]:
    """Names of settings that are not the same in all, in order of appearance."""
    names = dict.fromkeys(name for each in settings for name in each)
    return [name for name in names if any(each.get(name) != settings[0].get(name) for each in settings)]


def show(value: Any) -> str:
    """For people: no value is a dash."""
    return NOTHING if value in (None, "") else str(value)


def short(key: str) -> str:
    """A parameter of the compressor by its own name."""
    return key.removeprefix("compressor_parameters.")


def names(settings: Sequence[Settings], presets: Sequence[str | None]) -> list[str]:
    """What each of these is called: its preset if no other has that, else by what sets it apart.

    Args:
        settings: pairwise different outcomes.
        presets: of each, or None.
    """
    described = [_describe(each) for each in settings]
    longer = list(described)
    for index, name in enumerate(described):
        alike = [each for each, other in zip(settings, described, strict=True) if other == name]
        longer[index] = ", ".join([name, *(_say(key, settings[index].get(key)) for key in differing(alike))])
    return [
        preset if preset and presets.count(preset) == 1 else name for preset, name in zip(presets, longer, strict=True)
    ]


def _describe(settings: Settings) -> str:
    bits, coding = settings.get("compressor_parameters.bits"), settings.get("coding", "none")
    name = f"{settings['compressor']}" + (f" {bits:g} bits" if isinstance(bits, int | float) else "")
    return name if coding == "none" else f"{name}, {coding}"


def _say(key: str, value: Any) -> str:
    if key in ("optimizer", "exchange", "loss", "dataset", "model"):
        return str(value)
    return f"{short(key)} {show(value)}"


@dataclass(frozen=True)
class Difference:
    """One setting and its values, with the names of those that have each."""

    key: str
    values: dict[str, list[str]]

    def __str__(self) -> str:
        parts = [f"{value} in {', '.join(owners)}" for value, owners in self.values.items()]
        return f"{short(self.key)} is {' but '.join(parts)}"


def unasked(settings: Mapping[str, Settings]) -> list[Difference]:
    """Differences beyond compression and optimizer, of outcomes by name."""
    keys = (key for key in differing(list(settings.values())) if not is_asked_for(key))
    return [Difference(key, _owners({name: show(each.get(key)) for name, each in settings.items()})) for key in keys]


def _owners(values: Mapping[str, str]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, value in values.items():
        owners.setdefault(value, []).append(name)
    return owners


@dataclass(frozen=True)
class Line:
    """A setting over all groups, for the page."""

    key: str
    values: list[str]
    differs: bool
    unexpected: bool
    """Differs, and makes scores hard to compare."""


def lines(groups: Sequence[Iterable[Mapping[str, Any]]]) -> list[Line]:
    """Every setting but the command; values within a group are listed."""
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
