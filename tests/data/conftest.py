"""What tests of data sets share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's cache, which is empty."""
    path = tmp_path_factory.mktemp("user") / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    return path
