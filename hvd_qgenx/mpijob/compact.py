"""Extracts names and types of fields from the operator's definition: ``python -m hvd_qgenx.mpijob.compact < FILE``."""

import json
import sys

from hvd_qgenx.mpijob.fields import REFERENCE, TYPES
from hvd_qgenx.mpijob.files import load
from hvd_qgenx.mpijob.manifest import KIND
from hvd_qgenx.mpijob.nodes import INNER, PRESERVES, Schema, mapped
from hvd_qgenx.mpijob.schema import read
from hvd_qgenx.reading import read_stream

KEPT = ("type", "properties", "required", *INNER, "anyOf", "enum", "pattern", PRESERVES)
SHARED = ("properties", "pattern")
"""Keys of schemas that are named, and written once however often they occur."""


def stripped(schema: Schema, name: str = "") -> Schema:
    """Returns a schema without descriptions, defaults and formats."""
    return mapped({key: schema[key] for key in KEPT if key in schema}, stripped, name)


def compact(schema: Schema) -> str:
    """Returns the text of ``fields.json``: a stripped schema in which equal types are one.

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

    root = shared(stripped(schema), KIND)
    types = ",\n".join(f'"{name}":{text}' for text, name in names.items())
    return f'{{"{REFERENCE}":"{root[REFERENCE]}","{TYPES}":{{\n{types}\n}}}}\n'


if __name__ == "__main__":
    document = load(read_stream(sys.stdin.buffer, "standard input"), "standard input")
    print(compact(read(document, "standard input")), end="")
