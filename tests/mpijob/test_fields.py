"""Misspelt, misplaced and mistyped fields, with the operator's definition and without."""

import copy
import json
import random
import subprocess
import sys
from typing import Any

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import compact, fields, schema
from hvd_qgenx.mpijob.nodes import PRESERVES, Schema
from hvd_qgenx.mpijob.place import dotted
from tests.mpijob.broken import MISPLACED, MISSPELT, MISTYPED
from tests.mpijob.files import JOBS, ROOT, changed, definition, example, good, mistyped, parts, walk


def errors(document: Any, strict: Schema) -> dict[str, str]:
    return {each.path: each.text for each in mpijob.check(document, strict) if each.kind == mpijob.ERROR}


def test_the_package_has_the_fields_of_the_definition(plain):
    assert fields.read(mpijob.KIND) == compact.stripped(plain)


def test_equal_types_are_written_once():
    text = (ROOT / "hvd_qgenx/mpijob" / fields.FILE).read_text()
    assert text == compact.compact({kind: fields.read(kind) for kind in schema.VERSIONS})
    assert len(text) < 60_000
    assert " " not in text, "no sentence of the definition is in it"


def test_types_that_preserve_fields_stay_open():
    open_type = {"type": "object", PRESERVES: True, "description": "anything"}
    assert compact.stripped(open_type) == {"type": "object", PRESERVES: True}


def test_the_file_is_written_from_standard_input(crd):
    others = [definition(kind, fields.read(kind)) for kind in schema.VERSIONS if kind != mpijob.KIND]
    text = "\n---\n".join([crd.read_text(), *map(json.dumps, others)])
    command = [sys.executable, "-m", "hvd_qgenx.mpijob.compact"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == (ROOT / "hvd_qgenx/mpijob" / fields.FILE).read_text()


@pytest.mark.parametrize("path", MISSPELT)
def test_a_misspelt_field_is_named_with_the_one_that_is_meant(either, path):
    value, meant = MISSPELT[path]
    name = path.rpartition(".")[2]
    found = errors(changed(path, value), either)
    assert found[dotted(parts(path))] == f"unknown field {name!r}; did you mean {meant!r}?"


@pytest.mark.parametrize("path", MISPLACED)
def test_a_misplaced_field_is_named_with_its_place(either, path):
    value, home = MISPLACED[path]
    name = path.rpartition(".")[2]
    found = errors(changed(path, value), either)
    assert found[dotted(parts(path))] == f"unknown field {name!r}; it is a field of {dotted(parts(home))}"


@pytest.mark.parametrize("path", MISTYPED)
def test_a_value_of_a_wrong_type_is_found(either, path):
    assert dotted(parts(path)) in errors(changed(path, MISTYPED[path]), either)


def test_every_field_at_every_depth_is_known(either):
    """Misspells all fields of one depth at once."""
    for depth in depths(either):
        document = example(either)
        level = [path for path, _ in walk(document, either) if len(path) == depth]
        for *way, name in level:
            place = inside(document, way)
            place[f"{name}x"] = place.pop(name)
        assert {f"{dotted(path)}x" for path in level} <= set(errors(document, either))


def test_the_type_of_every_field_is_known(either):
    """Mistypes all fields of one depth at once."""
    for depth in depths(either):
        document = example(either)
        level = [(path, inner) for path, inner in walk(document, either) if len(path) == depth and inner]
        for (*way, name), inner in level:
            inside(document, way)[name] = mistyped(inner)
        assert {dotted(path) for path, _ in level} <= set(errors(document, either))


def test_a_manifest_with_every_field_passes(either):
    document = example(either)
    assert schema.findings(document, either) == []
    assert len(list(walk(document, either))) > 2000


def depths(strict: Schema) -> list[int]:
    return sorted({len(path) for path, _ in walk(example(strict), strict)})


def inside(document: Any, path: Any) -> Any:
    for part in path:
        document = document[part]
    return document


def letters(name: str, draw: random.Random) -> str:
    """A name with one letter left out, doubled, replaced, or in the other case."""
    at = draw.randrange(len(name))
    head, letter, tail = name[:at], name[at], name[at + 1 :]
    return draw.choice([head + tail, head + 2 * letter + tail, f"{head}0{tail}", head + letter.swapcase() + tail])


@pytest.mark.parametrize("seed", range(60))
def test_fields_misspelt_by_chance_are_found(either, seed):
    draw = random.Random(seed)
    document = good(elastic=draw.choice([None, (2, 3)]), namespace="research")
    *way, name = draw.choice([path for path, _ in walk(document, either)])
    place = inside(document, way)
    wrong = letters(name, draw)
    place[wrong] = place.pop(name)
    assert dotted([*way, wrong]) in errors(document, either)


@pytest.mark.parametrize("seed", range(60))
def test_fields_moved_by_chance_are_found(either, seed):
    draw = random.Random(seed)
    document = good()
    nodes = dict(walk(document, either))
    homes = {(): either, **{path: inner for path, inner in nodes.items() if "properties" in inner}}
    path = draw.choice(list(nodes))
    name, value = path[-1], copy.deepcopy(inside(document, path))
    wrong = draw.choice([home for home in homes if name not in homes[home]["properties"]])
    inside(document, wrong)[name] = value
    assert dotted([*wrong, name]) in errors(document, either)


@pytest.mark.parametrize("seed", range(60))
def test_types_changed_by_chance_are_found(either, seed):
    draw = random.Random(seed)
    document = good()
    path, inner = draw.choice(list(walk(document, either)))
    inside(document, path[:-1])[path[-1]] = mistyped(inner)
    assert any(found.startswith(dotted(path)) for found in errors(document, either))


METADATA = {
    "name": "job",
    "labels": {"team": "a"},
    "annotations": {"example.com/b": "c"},
    "finalizers": ["example.com/d"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "e", "uid": "f", "controller": True}],
    "creationTimestamp": None,
    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    "generation": 2,
}


def test_metadata_of_kubernetes_objects_is_known(either):
    assert errors(changed("metadata", METADATA), either) == {}
    wrong = {**METADATA, "generation": "two", "ownerReferences": [{**METADATA["ownerReferences"][0], "blocks": 1}]}
    assert set(errors(changed("metadata", wrong), either)) == {
        "metadata.generation",
        "metadata.ownerReferences[0].blocks",
    }


def test_metadata_that_a_definition_leaves_open_is_known_in_templates_too():
    template = {"type": "object", "properties": {"metadata": {"type": "object"}}}
    strict = schema.strict({"type": "object", "properties": {"template": template}})
    assert schema.findings({"template": {"metadata": {"labels": {"a": "b"}}}}, strict) == []
    (found,) = schema.findings({"template": {"metadata": {"lables": {}}}}, strict)
    assert str(found) == "error: template.metadata.lables: unknown field 'lables'; did you mean 'labels'?"


@pytest.mark.parametrize("path", JOBS)
def test_jobs_of_this_repository_pass(either, path):
    (document,) = mpijob.load((ROOT / path).read_text(), path)
    assert mpijob.check(document, either) == []
    assert mpijob.check(document) == []


def test_without_a_schema_the_package_s_is_used():
    found = errors(changed("spec.slotPerWorker", 2), None)
    assert found == {"spec.slotPerWorker": "unknown field 'slotPerWorker'; did you mean 'slotsPerWorker'?"}
