"""Presets: settings of a run under a name, one TOML file each.

A file's keys are settings (``hvd_qgenx.training.settings``). ``extends = "NAME"`` takes over those of another preset.
The first comment says what the preset is.
"""

import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.training.settings import Settings, merge, read

SUFFIX = ".toml"
EXTENDS = "extends"


@dataclass(frozen=True)
class Preset:
    """One file, read."""

    name: str
    """As it was asked for."""
    about: str
    """Its first comment."""
    settings: Settings
    """Its own."""
    parent: "Preset | None"

    def lineage(self) -> "list[Preset]":
        """This preset, the one that it extends, and so on."""
        return [self, *(self.parent.lineage() if self.parent else ())]

    def merged(self) -> Settings:
        """Its settings and those that it takes over."""
        return merge(preset.settings for preset in reversed(self.lineage()))


def names() -> tuple[str, ...]:
    """The presets that come with this package."""
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in _own().iterdir() if file.name.endswith(SUFFIX)))


def describe(name: str) -> str:
    """What a preset is, in a line.

    Raises:
        ConfigurationError: as ``load`` does.
    """
    return load(name).about


def load(name: str) -> Preset:
    """A preset and all that it extends.

    Args:
        name: one of ``names()``, or the path of a file that ends in .toml.

    Raises:
        ConfigurationError: there is no such preset or one that it extends, or presets extend each other in a circle;
            a file is not TOML, has an unknown key or a value of another type.
    """
    return _load(name, Path(), ())


def _load(name: str, folder: Path, seen: tuple[Path, ...]) -> Preset:
    """Paths are taken from ``folder``; ``seen`` are the files of the presets that extend this one."""
    file = _find(name, folder)
    text, found = _parse(file)
    place = Path(str(file)).resolve()
    try:
        if place in seen:
            raise ConfigurationError("it extends itself by way of these presets; let one of them extend another")
        settings = {key: value for key, value in found.items() if key != EXTENDS}
        own, parent = read(settings, f"preset {name}"), found.get(EXTENDS)
        if not isinstance(parent, str | None):
            raise ConfigurationError(f"{EXTENDS} must be the name of one preset, not {parent!r}")
        above = _load(parent, place.parent, (*seen, place)) if parent is not None else None
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    return Preset(name, _first_comment(text), own, above)


def _find(name: str, folder: Path) -> Traversable:
    if name.endswith(SUFFIX):
        return folder / name
    if name not in names():
        raise ConfigurationError(unknown("preset", name, names()))
    return _own() / f"{name}{SUFFIX}"


def _parse(file: Traversable) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the preset {file} cannot be read: {error}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number with thousands of digits
        last = text.count("\n") + 1
        where = str(error).replace("at end of document", f"at line {last}, the end")
        raise ConfigurationError(f"{file} is not TOML: {where}") from error
    except OSError as error:
        raise ConfigurationError(f"the preset {file} cannot be read: {error.strerror}") from error


def _first_comment(text: str) -> str:
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _own() -> Traversable:
    return resources.files("hvd_qgenx.presets") / "gan"
