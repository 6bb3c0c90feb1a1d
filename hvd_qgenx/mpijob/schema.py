"""The operator's own schema of an MPIJob, made strict.

A cluster drops fields that the schema does not know, or kubectl refuses them; JSON schema lets them pass. Source of the
rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Sequence
from typing import Any

from compressors.naming import shortened, shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob.finding import Finding
from hvd_qgenx.mpijob.manifest import KIND
from hvd_qgenx.mpijob.metadata import METADATA, is_open
from hvd_qgenx.mpijob.nodes import PRESERVES, Schema, mapped
from hvd_qgenx.mpijob.place import dotted, unknown_field

SOURCE = "https://raw.githubusercontent.com/kubeflow/mpi-operator/master/manifests/base/kubeflow.org_mpijobs.yaml"
"""Address of the custom resource definition."""


def read(documents: Sequence[Any], name: str) -> Schema:
    """Returns the schema in a custom resource definition, unchanged.

    Args:
        documents: the parsed YAML documents of the file.
        name: the file's name, for messages.

    Raises:
        ConfigurationError: there is no schema of an MPIJob v2beta1 in it.
    """
    from jsonschema import Draft202012Validator, SchemaError  # takes a while to import

    for document in documents:
        try:
            if document["spec"]["names"]["kind"] == KIND:
                versions = {version["name"]: version for version in document["spec"]["versions"]}
                found: Schema = versions["v2beta1"]["schema"]["openAPIV3Schema"]
                Draft202012Validator.check_schema(found)
                strict(found)
                return found
        except (KeyError, TypeError, AttributeError, SchemaError):
            continue
    raise ConfigurationError(f"{name} does not define MPIJob v2beta1; use {SOURCE}")


def strict(schema: Schema) -> Schema:
    """Returns the same schema, closed to fields that it does not list; open metadata is that of Kubernetes objects."""
    closed = _closed(schema, "")
    return {**closed, "properties": {**closed.get("properties", {}), "metadata": METADATA}}


def _closed(schema: Schema, name: str) -> Schema:
    if is_open(name, schema):
        return METADATA
    closed = mapped(schema, _closed, name)
    if schema.get("type") == "object" and not schema.get(PRESERVES):
        closed.setdefault("additionalProperties", False)
    return closed


def findings(document: Any, schema: Schema) -> list[Finding]:
    """Returns the deviations of a document from the schema."""
    from jsonschema import Draft202012Validator  # takes a while to import

    errors = Draft202012Validator(schema).iter_errors(document)
    return list(dict.fromkeys(finding for error in errors for finding in _findings(error, schema)))


def _findings(error: Any, schema: Schema) -> list[Finding]:
    path = dotted(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        extra = [name for name in error.instance if name not in known]
        return [Finding(_under(path, name), unknown_field(name, known, error.absolute_path, schema)) for name in extra]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [Finding(_under(path, name), "must be there") for name in missing]
    return [Finding(path, _sentence(error))]


def _sentence(error: Any) -> str:
    value = error.instance
    if error.validator == "type":
        return f"must be of type {error.validator_value}, not {shown(value)}"
    if error.validator == "enum":
        return f"must be one of {', '.join(map(str, error.validator_value))}, not {shown(value)}"
    if error.validator == "anyOf":
        types = " or ".join(str(each.get("type")) for each in error.validator_value)
        return f"must be of type {types}, not {shown(value)}"
    if error.validator == "pattern":
        return f"{shown(value)} is not of the form {error.validator_value}"
    return shortened(str(error.message))


def _under(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")
