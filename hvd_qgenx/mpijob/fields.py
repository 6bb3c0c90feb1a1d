"""Names and types of the fields of the kinds that are checked, and of their pods, without their definitions.

``fields.json`` is a JSON schema with one type of objects on each line. ``make fields CRD="FILE ..."`` writes it:
``python -m hvd_qgenx.mpijob.compact``.
"""

import json
from importlib import resources

from hvd_qgenx.mpijob.nodes import Schema, mapped

KINDS, TYPES, REFERENCE = "kinds", "$defs", "$ref"
FILE = "fields.json"


def read(kind: str) -> Schema:
    """Returns the package's schema of a kind of resource, like those of ``schema.read``."""
    content = json.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    types = content[TYPES]

    def resolved(schema: Schema, name: str) -> Schema:
        return mapped(types[schema[REFERENCE].rpartition("/")[2]] if REFERENCE in schema else schema, resolved, name)

    return resolved(content[KINDS][kind], "")
