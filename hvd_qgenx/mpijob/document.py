"""Reads values of manifests in which anything may be missing or of a wrong type."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

Place = tuple[str, Mapping[str, Any]]
"""The path of a mapping, and the mapping."""


class Document:
    """A mapping of a manifest, or a manifest."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def at(self, path: str, kind: type[T]) -> T | None:
        """Returns the value at a dotted path if it is of this type, else None."""
        found: Any = self.document
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, kind) and not (kind is int and isinstance(found, bool)) else None

    def sub(self, path: str) -> "Document":
        """Returns the mapping at a dotted path; an empty one if there is none."""
        return Document(self.at(path, dict) or {})

    def listed(self, path: str) -> list[Place]:
        """Returns the mappings in a list at this path, each with its own path."""
        found = self.at(path, list) or []
        return [(f"{path}[{at}]", each) for at, each in enumerate(found) if isinstance(each, Mapping)]


def words(container: Mapping[str, Any]) -> list[str]:
    """Returns the command line of a container; empty if the image decides."""
    parts = [container.get("command"), container.get("args")]
    return [str(word) for part in parts if isinstance(part, list) for word in part]
