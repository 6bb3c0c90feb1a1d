"""Writes manifests as YAML, with the command that made them, and reads them without executing anything."""

import shlex
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from compressors.naming import shortened, shown
from hvd_qgenx.errors import ConfigurationError

DEPTH, NODES = 100, 1 << 18
"""The deepest nesting, and the most values in a file, where those that an alias repeats count again."""
SCALAR, SHOWN = 1000, 50
"""The most characters of a value that is no string, and the most that an error repeats."""


def dump(documents: Sequence[dict[str, Any]], command: Sequence[str]) -> str:
    """Returns documents as YAML, with the command in a comment on its first line.

    Raises:
        ConfigurationError: a word of the command holds a line break or another control character, which would end
            the comment.
    """
    for word in command:
        if not word.isprintable():
            raise ConfigurationError(f"{word!r} holds characters that cannot be printed; remove them")
    return f"# {shlex.join(command)}\n" + yaml.safe_dump_all(documents, sort_keys=False, width=1000)


def load(text: str, name: str) -> list[Any]:
    """Returns all documents of a file that are not empty.

    Args:
        text: the file's content.
        name: the file's name, for messages.

    Raises:
        ConfigurationError: it is not YAML, has a tag for anything but plain values, a duplicate key, or more values or
            a deeper nesting than a manifest.
    """
    try:
        _check_size(text)
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name} is not YAML of plain values: {_sentence(error)}") from error


def _check_size(text: str) -> None:
    """Refuses what would take more memory or a deeper recursion than manifests do, before any value is made."""
    open_values: list[tuple[str | None, int]] = []  # the anchors of enclosing values, and the values before them
    sizes: dict[str | None, int] = {}
    count = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_values):
                raise _refused(f"the value {shown(event.anchor)} contains itself", event)
            count += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_values.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_values.pop()
            sizes |= {anchor: count - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        if len(open_values) > DEPTH:
            raise _refused(f"values are nested more than {DEPTH} deep", event)
        if count > NODES:
            raise _refused(f"there are more than {NODES:,} values, those that aliases repeat included", event)


def _refused(text: str, place: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, text, place.start_mark)


def _sentence(error: yaml.YAMLError) -> str:
    """Returns the parser's words without the excerpt of the file, which may be long."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return shortened(" ".join(str(error).split()))
    mark = error.problem_mark or error.context_mark
    words = shortened(", ".join(part for part in (error.context, error.problem) if part))
    return f"{words} in line {mark.line + 1}, column {mark.column + 1}" if mark else words


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A ``SafeLoader`` that refuses duplicate keys in a mapping, as kubectl does; YAML itself takes the last one.

    A value that is not of its type, such as a date that is none, is a ``YAMLError`` with its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        text = isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str"
        if isinstance(node, yaml.ScalarNode) and not text and len(node.value) > SCALAR:
            raise _refused(f"{shown(node.value[:SHOWN])}... is too long for a value that is no string", node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _refused(f"{shown(node.value[:SHOWN])} cannot be read as {shortened(kind)}", node) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refused(f"found {shown(key.value[:SHOWN])} twice", key)
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep))
