"""What tests of manifests share."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import Job
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


def example(schema: Schema, name: str = "") -> Any:
    """A value with everything that a schema allows, each list with one item."""
    if name == "mpiReplicaSpecs":
        return {role: example(schema["additionalProperties"]) for role in ("Launcher", "Worker")}
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        named = {field: example(each, field) for field, each in schema.get("properties", {}).items()}
        return {**named, "any": example(values)} if isinstance(values, dict) else named
    if schema.get("type") == "array":
        return [example(schema["items"])]
    scalars = {"string": "text", "integer": 1, "boolean": True}
    return schema["enum"][0] if "enum" in schema else scalars.get(schema.get("type", ""), 1)


def walk(value: Any, schema: Schema, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Schema]]:
    """The fields of objects in a value, with their paths and schemas; keys of maps are none."""
    if isinstance(value, list):
        for at, each in enumerate(value):
            yield from walk(each, schema["items"], (*path, at))
    elif isinstance(value, dict):
        named = schema.get("properties", {})
        for key, each in value.items():
            inner = named.get(key) or schema.get("additionalProperties") or {}
            if key in named:
                yield (*path, key), inner
            yield from walk(each, inner, (*path, key))


def mistyped(schema: Schema) -> Any:
    """A value of a type that a schema does not allow."""
    wrong = {"string": 7, "integer": "seven", "boolean": "yes", "object": ["text"], "array": {"a": 1}}
    return wrong.get(schema.get("type", ""), [1])
