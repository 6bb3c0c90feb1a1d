"""What tests of manifests are made from."""

from pathlib import Path

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import schema


@pytest.fixture(scope="session")
def crd(data_dir: Path) -> Path:
    """The operator's definition of an MPIJob."""
    path = data_dir / "mpijob-crd.yaml"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


@pytest.fixture(scope="session")
def plain(crd: Path) -> schema.Schema:
    """The operator's schema, as it is."""
    return schema.read(mpijob.load(crd.read_text(), crd.name), crd.name)


@pytest.fixture(scope="session")
def strict(plain: schema.Schema) -> schema.Schema:
    return schema.strict(plain)
