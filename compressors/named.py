"""Things by name, each imported when it is first asked for; plugins add theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, cast

from compressors import plugins
from compressors.naming import shown, unknown
from compressors.plugins import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def load(place: str) -> Any:
    """Imports and returns what ``module:attribute``, or ``module``, names."""
    module, _, attribute = place.partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


class _Part(NamedTuple):
    """Something that was registered."""

    value: Any
    plugin: Plugin | None
    """The plugin that registered it; None: this project, or the user's own program."""

    @property
    def owner(self) -> str:
        return self.plugin.name if self.plugin else str(getattr(self.value, "__module__", "this program"))


class Named(Mapping[str, T]):
    """Maps names to objects of other modules; listing the names imports none of them.

    There are three kinds of entries: those of this project, by their place; parts that a program, or a plugin when it
    is imported, hands to ``register``; and entry points of installed packages.
    """

    error: ClassVar[type[ValueError]] = ValueError
    """The type of the errors that are raised."""

    def __init__(self, kind: str, places: Mapping[str, str] | None = None, group: str = "", prefix: str = "") -> None:
        """
        Args:
            kind: what an entry is called in messages.
            places: ``module:attribute`` by name, or ``module`` where the entry is a module.
            group: of the entry points that are entries too, such as ``hvd_qgenx.losses``; empty: there are none.
            prefix: what the names of entry points begin with, such as ``gan.`` where a group has several kinds.
        """
        self.kind, self.group, self.prefix = kind, group, prefix
        self._places = dict(places or {})
        self._parts: dict[str, _Part] = {}

    def register(self, name: str) -> Callable[[Any], Any]:
        """Returns a decorator, or a function of an object, that adds it under this name.

        The decorator raises the registry's error if something else has this name.
        """

        def add(value: Any) -> Any:
            part = _Part(value, plugins.importing())
            if name in self._places:
                raise self._twice(name, "hvd-qgenx", part.owner)
            if name in self._parts and self._parts[name].value is not value:
                raise self._twice(name, self._parts[name].owner, part.owner)
            self._parts.setdefault(name, part)
            return value

        return add

    def origin(self, text: str) -> Plugin | None:
        """Returns the plugin that an entry comes from; None: of no plugin. Parameters may follow the name."""
        name = text.partition(":")[0]
        if name in self._entries:
            return plugins.plugin_of(self._entries[name])
        return plugins.settled(self._parts[name].plugin) if name in self._parts else None

    def __getitem__(self, name: str) -> T:
        """Returns the entry of this name.

        Raises:
            ValueError: of the type ``error``; there is none, and the sentence gives the nearest name; or its plugin
                cannot be imported.
        """
        if name in self._places:
            return cast("T", load(self._places[name]))
        if name in self._entries:
            return self._installed(name, self._entries[name])
        if name in self._parts:
            return cast("T", self._parts[name].value)
        raise self.error(unknown(self.kind, name, self))

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._parts or name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter({**self._places, **self._entries, **self._parts})

    def __len__(self) -> int:
        return len({*self._places, *self._entries, *self._parts})

    def _installed(self, name: str, entry: EntryPoint) -> T:
        plugin = plugins.plugin_of(entry)
        value: T = plugins.imported(plugin, entry.load, self.error)
        if name in self._parts and self._parts[name].value is not value:
            raise self._twice(name, self._parts[name].owner, plugin.name)
        return value

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        """The entry points by name.

        Raises:
            ValueError: of the type ``error``; two entries have one name, or a name lacks the prefix of its kind.
        """
        found: dict[str, EntryPoint] = {}
        for entry in plugins.entries(self.group) if self.group else ():
            owner = plugins.plugin_of(entry).name
            if self.prefix and "." not in entry.name:
                raise self.error(
                    f"the {self.kind} {shown(entry.name)} of plugin {owner} does not say of which task it is; "
                    f"call it {self.prefix}{entry.name} or the like in {self.group}"
                )
            if not entry.name.startswith(self.prefix):
                continue
            name = entry.name.removeprefix(self.prefix)
            if name in self._places or name in found:
                raise self._twice(name, plugins.plugin_of(found[name]).name if name in found else "hvd-qgenx", owner)
            found[name] = entry
        return found

    def _twice(self, name: str, first: str, second: str) -> ValueError:
        owners = f"two of {first}" if first == second else f"one of {first}, one of {second}"
        return self.error(f"two entries are called {self.kind} {shown(name)}: {owners}; rename or leave out one")
