"""Metadata of Kubernetes objects (ObjectMeta), which custom resource definitions leave open."""

from hvd_qgenx.mpijob.nodes import Schema

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "integer"}
_TIME: Schema = {}  # null, text, or what YAML makes of a date
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_MAP: Schema = {"type": "object", "additionalProperties": _TEXT}
_OWNER: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _TEXT),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), _FLAG),
    },
    "required": ["apiVersion", "kind", "name", "uid"],
    "additionalProperties": False,
}

METADATA: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _TEXT),
        **dict.fromkeys(("labels", "annotations"), _MAP),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _NUMBER),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        "finalizers": _TEXTS,
        "ownerReferences": {"type": "array", "items": _OWNER},
        "managedFields": {"type": "array", "items": {"type": "object"}},
    },
    "additionalProperties": False,
}
"""Strict schema of the metadata that every Kubernetes object may have."""


def is_open(name: str, schema: Schema) -> bool:
    """Returns True for a field that holds metadata whose fields a definition does not list."""
    return name == "metadata" and schema.get("type") == "object" and "properties" not in schema
