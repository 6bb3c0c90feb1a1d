"""What tests of manifests are made from."""

from pathlib import Path

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import fields, schema
from hvd_qgenx.mpijob.nodes import Schema


@pytest.fixture(scope="session")
def crd(data_dir: Path) -> Path:
    """The operator's definition of an MPIJob."""
    path = data_dir / "mpijob-crd.yaml"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


@pytest.fixture(scope="session")
def plain(crd: Path) -> Schema:
    """The operator's schema, as it is."""
    return schema.read(mpijob.load(crd.read_text(), crd.name), crd.name)[mpijob.KIND]


@pytest.fixture(scope="session")
def strict(plain: Schema) -> Schema:
    return schema.strict(plain)


@pytest.fixture(scope="session", params=["packaged", "given"])
def either(request: pytest.FixtureRequest) -> Schema:
    """The strict schema of the package, and that of the operator's definition."""
    if request.param == "given":
        found: Schema = request.getfixturevalue("strict")
        return found
    return schema.strict(fields.read(mpijob.KIND))
