"""The network is torch-fidelity's; its file of weights is the one it should be."""

import pickle
import sys
from pathlib import Path

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import inception
from tests.scores.pictures import CPU, noise


def test_features_are_torch_fidelitys(fidelity, inception_weights, tmp_path):
    path = tmp_path / "inception.pth"
    torch.save(inception_weights, path)
    make = fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    theirs = make("theirs", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    before = torch.get_rng_state()
    ours = inception.Inception(inception.load(path, download=False), CPU)
    assert torch.equal(torch.get_rng_state(), before)
    grey = noise(2, 1, 8).images
    features, logits = theirs(grey.repeat(1, 3, 1, 1))
    found = ours(grey)
    assert found.logits is not None
    assert torch.equal(found.features, features)
    assert torch.equal(found.logits, logits)
    assert found.features.shape == (2, ours.dimensions) == (2, 2048)


@pytest.mark.usefixtures("fidelity")
def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.ones(3)}, path)
    with pytest.raises(ConfigurationError, match="do not fit torch-fidelity's network; fetch https://"):
        inception.Inception(inception.load(path, download=False), CPU)


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.usefixtures("fidelity")
@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"weight": Malicious()}, 2), pickle.dumps([1, 2], 2)])
def test_files_that_hold_no_weights_are_refused_unrun(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"bad\.pth (cannot be read as a file of|holds no) weights"):
        inception.load(path, download=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("fidelity")
def test_missing_weights_are_a_clear_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"no Inception weights at .*add --download, or fetch https://"):
        inception.load(None, download=False)
    with pytest.raises(ConfigurationError, match=r"no Inception weights at .*given\.pth"):
        inception.load(tmp_path / "given.pth", download=True)
    monkeypatch.setattr(inception, "URL", (tmp_path / "nowhere.pth").as_uri())
    with pytest.raises(ConfigurationError, match=r"cannot download .*--inception-weights FILE"):
        inception.load(None, download=True)
    assert not inception.cached().exists()


@pytest.mark.usefixtures("fidelity")
def test_another_file_than_was_asked_for_is_not_kept(tmp_path, monkeypatch):
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.ones(3)}, other)
    monkeypatch.setattr(inception, "URL", other.as_uri())
    with pytest.raises(ConfigurationError, match=r"cannot download .*hash"):
        inception.load(None, download=True)
    assert not inception.cached().exists()


def test_without_torch_fidelity_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[scores\]'"):
        inception.load(None, download=False)
