"""Schemas of custom resources, made strict.

A cluster drops fields that the schema does not know, or kubectl refuses them; JSON schema lets them pass. Source of the
rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compressors.naming import shortened, shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob.finding import Finding
from hvd_qgenx.mpijob.manifest import KIND
from hvd_qgenx.mpijob.metadata import METADATA, is_open
from hvd_qgenx.mpijob.nodes import PRESERVES, Schema, mapped
from hvd_qgenx.mpijob.place import dotted, unknown_field

VERSIONS = {
    KIND: "v2beta1",
    "TrainJob": "v1alpha1",
    "ClusterTrainingRuntime": "v1alpha1",
    "TrainingRuntime": "v1alpha1",
}
"""The version, of each kind of resource, that is checked."""
SOURCES = (
    "https://raw.githubusercontent.com/kubeflow/mpi-operator/master/manifests/base/kubeflow.org_mpijobs.yaml",
    "https://github.com/kubeflow/trainer/tree/v2.3.0/manifests/base/crds",
)
"""Addresses of the custom resource definitions."""


def read(documents: Sequence[Any], name: str) -> dict[str, Schema]:
    """Returns the schemas in custom resource definitions, unchanged, by the kind of resource.

    Args:
        documents: the parsed YAML documents of the file, or lists of them as kubectl prints.
        name: the file's name, for messages.

    Raises:
        ConfigurationError: it defines none of the kinds that are checked.
    """
    from jsonschema import Draft202012Validator, SchemaError  # takes a while to import

    definitions = {}
    for document in _separate(documents):
        try:
            kind = document["spec"]["names"]["kind"]
            versions = {version["name"]: version for version in document["spec"]["versions"]}
            found: Schema = versions[VERSIONS[kind]]["schema"]["openAPIV3Schema"]
            Draft202012Validator.check_schema(found)
            strict(found)
            definitions[kind] = found
        except (KeyError, TypeError, AttributeError, SchemaError):
            continue
    if not definitions:
        known = ", ".join(f"{kind} {version}" for kind, version in VERSIONS.items())
        raise ConfigurationError(f"{name} does not define any of {known}; use {' or '.join(SOURCES)}")
    return definitions


def _separate(documents: Iterable[Any]) -> Iterable[Any]:
    for document in documents:
        items = document.get("items") if isinstance(document, Mapping) else None
        yield from items if isinstance(items, list) else (document,)


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
