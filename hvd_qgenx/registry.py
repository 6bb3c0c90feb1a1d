"""Things by name, each imported when it is first asked for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar, cast

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError

T = TypeVar("T")


def load(place: str) -> Any:
    """Imports and returns what ``module:attribute``, or ``module``, names."""
    module, _, attribute = place.partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


class Registry(Mapping[str, T]):
    """Maps names to objects of other modules; listing the names imports none of them.

    >>> optimizers = Registry[type]("optimizer", {"adam": "torch.optim:Adam"})
    >>> list(optimizers)
    ['adam']
    """

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        """
        Args:
            kind: what an entry is called in messages.
            places: ``module:attribute`` by name, or ``module`` where the entry is a module.
        """
        self.kind, self._places = kind, dict(places)

    def __getitem__(self, name: str) -> T:
        """Returns the entry of this name.

        Raises:
            ConfigurationError: there is none; the sentence gives the nearest name.
        """
        if name not in self._places:
            raise ConfigurationError(unknown(self.kind, name, self))
        return cast("T", load(self._places[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
