"""Schemas as Kubernetes nests them: objects with fields, lists with items, maps with values, scalars."""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

PRESERVES = "x-kubernetes-preserve-unknown-fields"
INNER = ("items", "additionalProperties")
"""Keys of the schema of a list's items and of a map's values."""


def mapped(schema: Schema, change: Callable[[Schema, str], Schema], name: str) -> Schema:
    """Returns a schema whose fields, items and values of a map are changed.

    Args:
        schema: the schema of an object, a list, a map or a scalar.
        change: makes another schema of one of them; its second argument is the name of the field.
        name: the field that the schema belongs to, which is also that of its items and values.
    """
    inner = {key: change(schema[key], name) for key in INNER if isinstance(schema.get(key), dict)}
    if "properties" in schema:
        inner["properties"] = {field: change(each, field) for field, each in schema["properties"].items()}
    return {**schema, **inner}
