"""Parts from outside this project: entry points of installed packages, and modules that a user names."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from compressors.naming import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

T = TypeVar("T")

PREFIX = "hvd_qgenx."
"""The beginning of the names of our groups of entry points."""


class Plugin(NamedTuple):
    """A package or module that parts come from."""

    name: str
    version: str
    """The package's version; a module's is its ``__version__``, or else a checksum of its source."""
    installed: bool
    """True: a package with entry points; False: a module that the user has named."""


_named: dict[str, Plugin] = {}
_importing: ContextVar[Plugin | None] = ContextVar("importing", default=None)


def load(name: str) -> None:
    """Imports a module that the user names; it registers its parts.

    Raises:
        ValueError: the name is not one of a module, or it cannot be imported; the traceback follows the sentence.
    """
    if name in _named:
        return
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"a plugin is a module, like package.module, not {shown(name)}")
    module: ModuleType = imported(Plugin(name, "", installed=False), lambda: import_module(name))
    _named[name] = Plugin(name, _version(module), installed=False)


def named() -> list[Plugin]:
    """Returns the modules that the user has named, in their order."""
    return list(_named.values())


def packages() -> list[Plugin]:
    """Returns the installed packages with parts, whether these are used or not, by name."""
    return sorted({plugin_of(entry) for entry in entries()})


def entries(group: str | None = None) -> list[EntryPoint]:
    """Returns the entry points of a group, or of all; none of them is imported."""
    found = _entry_points()
    return [entry for each in found.values() for entry in each] if group is None else found.get(group, [])


def plugin_of(entry: EntryPoint) -> Plugin:
    """Returns the package that an entry point comes from."""
    assert entry.dist is not None  # those that are found have one
    return Plugin(entry.dist.name, entry.dist.version, installed=True)


def importing() -> Plugin | None:
    """Returns the plugin that is being imported, whose parts are registered now."""
    return _importing.get()


def settled(plugin: Plugin | None) -> Plugin | None:
    """Returns a plugin with the version that it had not yet while it was imported."""
    return _named.get(plugin.name) if plugin and not plugin.installed else plugin


def imported(plugin: Plugin, find: Callable[[], T], error: type[ValueError] = ValueError) -> T:
    """Returns what ``find`` does, which imports code of a plugin.

    Raises:
        ValueError: of the given type; it cannot be imported. The traceback follows the sentence.
    """
    token = _importing.set(plugin)
    try:
        return find()
    except (Exception, SystemExit) as problem:
        message = (str(problem).splitlines() or [""])[0]
        sentence = f"plugin {plugin.name} cannot be imported: {type(problem).__name__}: {message}"
        raise error(f"{sentence}; {_remedy(plugin, problem)}\n{_traceback(problem)}") from problem
    finally:
        _importing.reset(token)


def _remedy(plugin: Plugin, problem: BaseException) -> str:
    if plugin.installed:
        return "repair or uninstall it"
    if isinstance(problem, ModuleNotFoundError) and f"{plugin.name}.".startswith(f"{problem.name}."):
        return "install it, or put the folder that it is in into PYTHONPATH"
    return "repair it, or leave it out"


def _traceback(problem: BaseException) -> str:
    """Returns the traceback from the plugin's code on, without what imports it."""
    found = traceback.TracebackException.from_exception(problem)
    machinery = ("<frozen importlib", str(Path(import_module.__code__.co_filename).parent), __file__)
    own = [frame for frame in found.stack if not frame.filename.startswith(machinery)]
    found.stack = traceback.StackSummary.from_list(own)
    return "".join(found.format()).rstrip()


def _version(module: ModuleType) -> str:
    package = sys.modules[module.__name__.partition(".")[0]]
    found = getattr(module, "__version__", None) or getattr(package, "__version__", None)
    return str(found) if found else _checksum(module)


def _checksum(module: ModuleType) -> str:
    """Returns a checksum of a module's source, or of all modules in the folder of a package."""
    if module.__file__ is None or not Path(module.__file__).is_file():
        return "unknown"
    file = Path(module.__file__)
    files = sorted(file.parent.rglob("*.py")) if hasattr(module, "__path__") else [file]
    digest = hashlib.sha256()
    for each in files:
        digest.update(f"{each.relative_to(file.parent).as_posix()}\0".encode() + each.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()[:16]}"


@cache
def _entry_points() -> dict[str, list[Any]]:
    """Returns the entry points of all groups of this project, as they are when it is first called."""
    from importlib import metadata  # takes a while to import

    found: dict[str, list[Any]] = {}
    owners: dict[str, metadata.Distribution] = {}
    for package in metadata.distributions():
        for entry in package.entry_points:
            if entry.group.startswith(PREFIX):
                first = owners.setdefault(package.name.lower(), package)  # which hides others of its name
                if first is package:
                    found.setdefault(entry.group, []).append(entry)
    return found
