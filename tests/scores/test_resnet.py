"""ResNet-56 from its public weights."""

import pytest
import torch

from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.cifar_resnet import CifarResNet
from hvd_qgenx.scores import resnet
from tests.scores.pictures import CPU, noise


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """Random ones, with batch norms that do something."""
    random = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=random) / 10 for name, shape in resnet._shapes().items()}
    return {name: value.abs() + 0.5 if "running_var" in name else value for name, value in state.items()}


def test_it_recognizes_cifar10(data_dir):
    cifar = torchvision().datasets.CIFAR10(data_dir, train=False)
    images = torch.from_numpy(cifar.data[:300]).permute(0, 3, 1, 2)
    found = resnet.ResNet56(resnet.load(data_dir, download=False), CPU)(images)
    assert found.logits is not None
    assert found.features.shape == (300, 64)
    assert (found.logits.argmax(1) == torch.tensor(cifar.targets[:300])).float().mean() > 0.9


def test_folding_batch_norm_changes_nothing(weights):
    images = noise(3, 3, 32).images
    plain = CifarResNet(56, channels=3, classes=10, norm="batch").eval()
    plain.load_state_dict(weights, strict=False)
    extractor = resnet.ResNet56(weights, CPU)
    scaled = (images / 255 - torch.tensor(resnet.MEAN).view(3, 1, 1)) / torch.tensor(resnet.DEVIATION).view(3, 1, 1)
    with torch.no_grad():
        features, logits = plain.features(scaled), plain(scaled)
    found = extractor(images)
    torch.testing.assert_close(found.features, features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("folder", [".", "cifar10-resnet"])
def test_weights_are_found_in_either_place(weights, tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    stored = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"best_prec1": 93.0, "state_dict": stored}, tmp_path / folder / resnet.FILE)
    found = resnet.load(tmp_path, download=False)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"state_dict": {"module.conv1.weight": torch.ones(2)}}])
def test_other_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / resnet.FILE)
    with pytest.raises(ConfigurationError, match="does not hold the weights of ResNet-56; fetch it again from https"):
        resnet.load(tmp_path, download=False)


def test_missing_weights_are_a_clear_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=f"no {resnet.FILE} in .*add --download, or fetch it from https"):
        resnet.load(tmp_path, download=False)
    monkeypatch.setattr(resnet, "URL", (tmp_path / "nowhere.th").as_uri())
    with pytest.raises(ConfigurationError, match=r"cannot download .*put the file there by hand"):
        resnet.load(tmp_path, download=True)
