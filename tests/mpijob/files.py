"""What tests of manifests share."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import Job, schema
from hvd_qgenx.mpijob.nodes import Schema

ROOT = Path(__file__).parents[2]
JOBS = ("jobs/mpijob/cpu-demo.yaml", "jobs/mpijob/paper.yaml", "jobs/mpijob/elastic.yaml")
DEMO, _, ELASTIC = JOBS

WORKER = "spec.mpiReplicaSpecs.Worker"
LAUNCHER = "spec.mpiReplicaSpecs.Launcher"
BOX = "template.spec.containers.0"
GONE = object()
COMMAND = ("gan", "--expect-ranks", "3")


def container(job: dict[str, Any], role: str) -> dict[str, Any]:
    """The container of a role."""
    found: dict[str, Any] = job["spec"]["mpiReplicaSpecs"][role]["template"]["spec"]["containers"][0]
    return found


def good(**settings: Any) -> dict[str, Any]:
    return mpijob.manifest(Job(**{"command": COMMAND, "name": "job", "gpus": 1, "data_claim": "data", **settings}))


def parts(path: str) -> tuple[str | int, ...]:
    """The keys and indices of a path like ``containers.0.name``."""
    return tuple(int(part) if part.isdecimal() else part for part in path.split("."))


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good manifest with another value at one place, or without it."""
    document = copy.deepcopy(good())
    *way, last = parts(path)
    place: Any = document
    for part in way:
        place = place[part] if isinstance(place, list) else place.setdefault(part, {})
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return document


def definition(kind: str, found: Schema) -> dict[str, Any]:
    """A custom resource definition with a schema."""
    version = {"name": schema.VERSIONS[kind], "schema": {"openAPIV3Schema": found}}
    return {"kind": "CustomResourceDefinition", "spec": {"names": {"kind": kind}, "versions": [version]}}


def example(found: Schema, name: str = "") -> Any:
    """A value with everything that a schema allows, each list with one item."""
    if name == "mpiReplicaSpecs":
        return {role: example(found["additionalProperties"]) for role in ("Launcher", "Worker")}
    if found.get("type") == "object":
        values = found.get("additionalProperties")
        named = {field: example(each, field) for field, each in found.get("properties", {}).items()}
        return {**named, "any": example(values)} if isinstance(values, dict) else named
    if found.get("type") == "array":
        return [example(found["items"])]
    scalars = {"string": "text", "integer": 1, "boolean": True}
    return found["enum"][0] if "enum" in found else scalars.get(found.get("type", ""), 1)


def walk(value: Any, found: Schema, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Schema]]:
    """The fields of objects in a value, with their paths and schemas; keys of maps are none."""
    if isinstance(value, list):
        for at, each in enumerate(value):
            yield from walk(each, found["items"], (*path, at))
    elif isinstance(value, dict):
        named = found.get("properties", {})
        for key, each in value.items():
            inner = named.get(key) or found.get("additionalProperties") or {}
            if key in named:
                yield (*path, key), inner
            yield from walk(each, inner, (*path, key))


def mistyped(found: Schema) -> Any:
    """A value of a type that a schema does not allow."""
    wrong = {"string": 7, "integer": "seven", "boolean": "yes", "object": ["text"], "array": {"a": 1}}
    return wrong.get(found.get("type", ""), [1])
