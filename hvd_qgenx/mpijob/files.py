"""Writes manifests as YAML, with the command that made them, and reads them without executing anything."""

import shlex
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from hvd_qgenx.errors import ConfigurationError


def dump(document: dict[str, Any], command: Sequence[str]) -> str:
    """Returns one document as YAML, with the command in a comment on its first line.

    Raises:
        ConfigurationError: a word of the command holds a line break or another control character, which would end
            the comment.
    """
    for word in command:
        if not word.isprintable():
            raise ConfigurationError(f"{word!r} holds characters that cannot be printed; remove them")
    return f"# {shlex.join(command)}\n" + yaml.safe_dump(document, sort_keys=False, width=1000)


def load(text: str, name: str) -> list[Any]:
    """Returns all documents of a file that are not empty.

    Args:
        text: the file's content.
        name: the file's name, for messages.

    Raises:
        ConfigurationError: it is not YAML, has a tag for anything but plain values, or a duplicate key.
    """
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        sentence = " ".join(str(error).split())
        raise ConfigurationError(f"{name} is not YAML of plain values: {sentence}") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A ``SafeLoader`` that refuses duplicate keys in a mapping, as kubectl does; YAML itself takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"found {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep))
