"""Names and types of the fields of an MPIJob v2beta1 and its pods, for checks without the operator's definition.

``fields.json`` is a JSON schema with one type of objects on each line. ``make fields CRD=FILE`` writes it:
``python -m hvd_qgenx.mpijob.compact``.
"""

import json
from importlib import resources

from hvd_qgenx.mpijob.nodes import Schema, mapped

TYPES, REFERENCE = "$defs", "$ref"
FILE = "fields.json"


def read() -> Schema:
    """Returns the schema of the package, like that of ``schema.read``."""
    found: Schema = json.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    types = found.pop(TYPES)

    def resolved(schema: Schema, name: str) -> Schema:
        return mapped(types[schema[REFERENCE].rpartition("/")[2]] if REFERENCE in schema else schema, resolved, name)

    return resolved(found, "")
