"""A cache of the tests' own."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from hvd_qgenx.scores import Extractor, classifier, inception
from hvd_qgenx.transport.inprocess import InProcess
from tests.scores.pictures import Pictures, digits


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scores are kept; nothing is there, nor in torch hub's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def real_digits() -> Pictures:
    return digits()


@pytest.fixture(scope="session")
def fidelity() -> Callable[[str], Any]:
    """Imports a module of torch-fidelity; without it, tests that compare with it are skipped."""
    if not inception.installed():
        pytest.skip("torch-fidelity is not installed")
    return inception.fidelity


@pytest.fixture(scope="session")
def inception_weights(fidelity) -> dict[str, torch.Tensor]:
    """Random weights of torch-fidelity's Inception."""
    make = fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with mock.patch.object(make, "load_state_dict"):
        network = make("random", ["2048"], feature_extractor_weights_path=empty)
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, generator=random)
    return network.state_dict()


@pytest.fixture(scope="session")
def real_classifier(real_digits: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    """Trained on 1400 digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("classifier")))
        return classifier.make(real_digits.part(0, 1400), InProcess(), torch.device("cpu"))
