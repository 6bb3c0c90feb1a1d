"""What a run remembers of the plugins that it was started with, and what it needs to be read again.

A file never makes a command import code: installed packages are found by the names of their entry points, and modules
are imported only where the command line names them, with --plugin.
"""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compressors.naming import shown
from compressors.plugins import Plugin, load, named, packages
from hvd_qgenx.errors import ConfigurationError, configuration_errors

__all__ = ["CHANGED", "OPTION", "named", "prepare", "record", "require", "versions", "words"]

KINDS = {"name": str, "version": str, "installed": bool}
"""Types of the entries of a plugin in config.json."""
OPTION, CHANGED = "--plugin", "--changed-plugins"

_accepts_changes = False


def prepare(modules: Sequence[str], accept_changes: bool = False) -> None:
    """Imports the modules that the user names.

    Args:
        modules: their names.
        accept_changes: runs may go on, or be evaluated, with other versions of plugins than theirs.

    Raises:
        ConfigurationError: one cannot be imported, or registers a name that there is already.
    """
    global _accepts_changes
    _accepts_changes = accept_changes
    with configuration_errors():
        for module in modules:
            load(module)


def words() -> list[str]:
    """Returns the options that give another command the same plugins."""
    return [*(word for plugin in named() for word in (OPTION, plugin.name)), *([CHANGED] if _accepts_changes else [])]


def versions() -> dict[str, str]:
    """Returns the versions of all plugins that there are, by name."""
    return {f"plugin {plugin.name}": plugin.version for plugin in (*packages(), *named())}


def record(used: Iterable[Plugin | None]) -> list[dict[str, Any]]:
    """Returns what a run's config.json says of plugins: all that were named, and the installed ones it uses."""
    return [plugin._asdict() for plugin in dict.fromkeys((*named(), *filter(None, used)))]


def require(config: Mapping[str, Any], run: Path) -> None:
    """Requires the plugins that a run's config.json lists; imports none.

    Raises:
        ConfigurationError: one is not there, or of another version, or the list is damaged.
    """
    recorded = config.get("plugins", [])
    if not isinstance(recorded, list):
        raise ConfigurationError(f"{run / 'config.json'}: plugins cannot be {shown(recorded)}")
    for each in recorded:
        _require(_read(each, run), run)


def _read(entry: Any, run: Path) -> Plugin:
    if not isinstance(entry, dict) or {name: type(value) for name, value in entry.items()} != KINDS:
        raise ConfigurationError(f"{run / 'config.json'}: plugins cannot hold {shown(entry)}")
    return Plugin(**entry)


def _require(wanted: Plugin, run: Path) -> None:
    there = {plugin.name: plugin for plugin in (packages() if wanted.installed else named())}
    found = there.get(wanted.name)
    if found is None:
        raise ConfigurationError(_missing(wanted, run))
    if found.version != wanted.version and not _accepts_changes:
        raise ConfigurationError(
            f"{run} has {_described(wanted)}, but this is {shown(found.version)}: put back the version that it has, or "
            f"accept the changes with {CHANGED}, like {_command(CHANGED)}"
        )


def _missing(wanted: Plugin, run: Path) -> str:
    if wanted.installed:
        return f"{run} needs {_described(wanted)}, which is not installed; install it, and give the command again"
    return (
        f"{run} needs {_described(wanted)}, which no file may import; "
        f"if you trust it, name it: {_command(OPTION, wanted.name)}"
    )


def _described(plugin: Plugin) -> str:
    return f"the plugin {shown(plugin.name)} of version {shown(plugin.version)}"


def _command(*more: str) -> str:
    return shlex.join(["hvd-qgenx", *sys.argv[1:], *more])
