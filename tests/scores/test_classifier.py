"""The classifier of the real images: it works, it is the same everywhere, it is trained once."""

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import classifier
from hvd_qgenx.transport import inprocess
from tests.scores.pictures import CPU, noise


def test_it_tells_digits_apart_that_it_has_not_seen(real_classifier, real_digits):
    """It has seen the first 1400; the others are by other writers."""
    images, labels = real_digits.take(range(1400, 1797))
    found = real_classifier(images)
    assert (found.logits.argmax(1) == labels).float().mean() > 0.9
    assert found.features.shape == (397, real_classifier.dimensions)
    assert (found.features.std(0) > 0).all()


@pytest.mark.parametrize("ranks", [1, 3])
def test_it_is_a_function_of_the_images_alone(monkeypatch, tmp_path, ranks):
    monkeypatch.setattr(classifier, "UPDATES", 20)

    def trained(images) -> list[str]:
        made = inprocess.run(ranks, lambda transport: classifier.make(images, transport, CPU))
        return [each.fingerprint for each in made]

    before = torch.get_rng_state()
    first = trained(noise(100, 1, 12))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    torch.manual_seed(1)
    assert set(first + trained(noise(100, 1, 12))) == {first[0]}
    assert trained(noise(100, 1, 12, seed=1))[0] != first[0]
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_trained_once(monkeypatch):
    monkeypatch.setattr(classifier, "UPDATES", 5)
    images = noise(100, 1, 12)
    first = classifier.make(images, inprocess.InProcess(), CPU)
    monkeypatch.setattr(classifier, "UPDATES", 0)
    assert classifier.make(images, inprocess.InProcess(), CPU).fingerprint == first.fingerprint


def test_images_without_classes_are_refused():
    with pytest.raises(ConfigurationError, match="noise has no classes"):
        classifier.make(noise(50, 1, 8, classes=0), inprocess.InProcess(), CPU)
