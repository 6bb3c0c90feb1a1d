"""Extracts names and types of fields from definitions: ``cat FILE ... | python -m hvd_qgenx.mpijob.compact``."""

import json
import sys
from collections.abc import Mapping

from hvd_qgenx.mpijob.fields import KINDS, REFERENCE, TYPES
from hvd_qgenx.mpijob.files import load
from hvd_qgenx.mpijob.nodes import INNER, PRESERVES, Schema, mapped
from hvd_qgenx.mpijob.schema import read
from hvd_qgenx.reading import read_stream

KEPT = ("type", "properties", "required", *INNER, "anyOf", "enum", "pattern", PRESERVES)
SHARED = ("properties", "pattern")
"""Keys of schemas that are named, and written once however often they occur."""


def stripped(schema: Schema, name: str = "") -> Schema:
    """Returns a schema without descriptions, defaults and formats."""
    return mapped({key: schema[key] for key in KEPT if key in schema}, stripped, name)


def compact(schemas: Mapping[str, Schema]) -> str:
    """Returns the text of ``fields.json``: stripped schemas, by the kind of resource, in which equal types are one.

    A type is called by the first field that has it, with a number if others have taken the name.
    """
    names: dict[str, str] = {}

    def shared(schema: Schema, name: str) -> Schema:
        text = json.dumps(mapped(schema, shared, name), separators=(",", ":"))
        if not any(key in schema for key in SHARED):
            found: Schema = json.loads(text)
            return found
        taken = sum(each.rstrip("0123456789") == name for each in names.values())
        names.setdefault(text, f"{name}{taken + 1}" if taken else name)
        return {REFERENCE: f"#/{TYPES}/{names[text]}"}

    kinds = json.dumps({kind: shared(stripped(schemas[kind]), kind) for kind in sorted(schemas)}, separators=(",", ":"))
    types = ",\n".join(f'"{name}":{text}' for text, name in names.items())
    return f'{{"{KINDS}":{kinds},"{TYPES}":{{\n{types}\n}}}}\n'


if __name__ == "__main__":
    documents = load(read_stream(sys.stdin.buffer, "standard input"), "standard input")
    print(compact(read(documents, "standard input")), end="")
