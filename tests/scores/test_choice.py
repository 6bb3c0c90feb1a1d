"""Which extractor is taken, and what is said where none can be."""

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import classifier, inception, make_extractor, resnet
from hvd_qgenx.transport import inprocess
from tests.scores.pictures import CPU, noise

GREY, COLOUR, LARGE = noise(64, 1, 8), noise(64, 3, 32), noise(64, 3, 64)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(classifier, "UPDATES", 2)


@pytest.fixture
def resnet_dir(tmp_path):
    """A folder with weights for ResNet-56."""
    stored = {f"module.{name}": torch.ones(shape) for name, shape in resnet._shapes().items()}
    torch.save({"state_dict": stored}, tmp_path / resnet.FILE)
    return tmp_path


def choose(name, images, data_dir, ranks=1, **settings):
    settings = {"device": CPU, "data_dir": data_dir, **settings}
    made = inprocess.run(ranks, lambda transport: make_extractor(name, images, transport=transport, **settings))
    assert len({each.fingerprint for each in made}) == 1
    return made[0]


def test_auto_takes_what_is_at_hand(resnet_dir, inception_weights, tmp_path):
    given = tmp_path / "inception.pth"
    torch.save(inception_weights, given)
    assert choose("auto", GREY, resnet_dir, ranks=3).name == "noise_classifier"
    assert choose("auto", COLOUR, resnet_dir, ranks=2).name == "resnet56"
    assert choose("auto", GREY, resnet_dir, inception_weights=given).name == "inception"
    inception.cached().parent.mkdir(parents=True)
    given.rename(inception.cached())
    assert choose("auto", COLOUR, resnet_dir).name == "inception"
    assert choose("auto", GREY, resnet_dir).name == "noise_classifier"


@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_an_extractors_own_name_makes_it_again(resnet_dir, images):
    chosen = choose("auto", images, resnet_dir)
    assert choose(chosen.name, images, resnet_dir).fingerprint == chosen.fingerprint


def test_without_torch_fidelity_auto_looks_further(monkeypatch, resnet_dir):
    monkeypatch.setattr(inception, "installed", lambda: False)
    inception.cached().parent.mkdir(parents=True)
    inception.cached().touch()
    assert choose("auto", COLOUR, resnet_dir, download=True).name == "resnet56"


@pytest.mark.parametrize("ranks", [1, 2])
def test_nothing_at_hand_is_an_error_that_names_every_way_out(tmp_path, ranks):
    message = rf"(?s)extractor for noise \(3x32x32\).*--download.*--inception-weights FILE.*{resnet.FILE} into"
    with pytest.raises(ConfigurationError, match=message):
        choose("auto", COLOUR, tmp_path, ranks)
    with pytest.raises(ConfigurationError) as caught:
        choose("auto", LARGE, tmp_path)
    assert resnet.FILE not in str(caught.value)


def test_images_must_suit_the_extractor(resnet_dir):
    with pytest.raises(ConfigurationError, match="takes images of 3x32x32, not the 1x8x8 of noise"):
        choose("resnet56", GREY, resnet_dir)
    with pytest.raises(ConfigurationError, match="noise has no classes"):
        choose("classifier", noise(64, 3, 64, classes=0), resnet_dir)


def test_other_names_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no extractor resnet; choose --features auto, inception, resnet56"):
        choose("resnet", COLOUR, tmp_path)
