"""Presets: settings of a run under a name, one TOML file each.

A file's keys are settings of its task. ``extends = "NAME"`` takes over those of another preset. The first comment
says what the preset is. Those that come with the package lie in ``jobs/presets``, a folder for each task.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import SETTINGS, line_of_key, naming, parse_toml, read_text
from hvd_qgenx.training.asked import Settings, merge, read
from hvd_qgenx.training.config import Config

SUFFIX = ".toml"
EXTENDS = "extends"


@dataclass(frozen=True)
class Preset:
    """One file, read."""

    name: str
    """The name that was asked for."""
    about: str
    """Its first comment."""
    settings: Settings
    """Its own."""
    parent: "Preset | None"
    task: type[Config]

    def lineage(self) -> "list[Preset]":
        """This preset, the one that it extends, and so on."""
        return [self, *(self.parent.lineage() if self.parent else ())]

    def merged(self) -> Settings:
        """Its settings and those that it takes over."""
        return merge(self.task, (preset.settings for preset in reversed(self.lineage())))


def names(task: type[Config]) -> tuple[str, ...]:
    """Returns the names of the task's presets in this package; a plugin's task has none."""
    folder = _own(task)
    files = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)))


def describe(task: type[Config], name: str) -> str:
    """Returns the one-line description of a preset; raises as ``load`` does."""
    return load(task, name).about


def load(task: type[Config], name: str) -> Preset:
    """Loads a preset and those it extends.

    Args:
        task: the task's configuration class.
        name: one of ``names(task)``, or the path of a file that ends in .toml.

    Raises:
        ConfigurationError: there is no such preset or one that it extends, or presets extend each other in a circle;
            a file is not TOML, has an unknown key or a value of another type.
    """
    return _load(task, name, Path(), ())


def _load(task: type[Config], name: str, folder: Path, seen: tuple[Path, ...]) -> Preset:
    """Reads paths from ``folder``; ``seen`` are the files of the presets that extend this one."""
    file = _find(task, name, folder)
    text = read_text(file, SETTINGS)
    found = parse_toml(text, str(file))
    place = Path(str(file)).resolve()
    with naming(file):
        if place in seen:
            raise ConfigurationError("it extends itself by way of these presets; let one of them extend another")
        settings = {key: value for key, value in found.items() if key != EXTENDS}
        own, parent = _read(task, settings, f"preset {name}", text), found.get(EXTENDS)
        if not isinstance(parent, str | None):
            raise ConfigurationError(f"{EXTENDS} must be the name of one preset, not {shown(parent)}")
        above = _load(task, parent, place.parent, (*seen, place)) if parent is not None else None
    return Preset(name, _first_comment(text), own, above, task)


def _read(task: type[Config], settings: dict[str, Any], origin: str, text: str) -> Settings:
    """Reads settings as ``asked.read`` does; errors name the line."""
    own: Settings = {}
    for key, value in settings.items():
        number = line_of_key(text, key)
        with naming(f"line {number}") if number else nullcontext():
            own |= read(task, {key: value}, origin)
    return own


def _find(task: type[Config], name: str, folder: Path) -> Traversable:
    if name.endswith(SUFFIX):
        return folder / name
    if name not in names(task):
        raise ConfigurationError(_unknown(task, name))
    return _own(task) / f"{name}{SUFFIX}"


def _unknown(task: type[Config], name: str) -> str:
    """Returns the error text for an unknown preset."""
    owners = [other for other, config in task.tasks.items() if name in names(config)]
    if owners:
        return f"{task.task} has no preset {name!r}; it is one of {', '.join(owners)}"
    return unknown("preset", name, names(task))


def _first_comment(text: str) -> str:
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _own(task: type[Config]) -> Traversable:
    return resources.files("hvd_qgenx.presets") / task.task
