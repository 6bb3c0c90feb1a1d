"""Shapes, the parameter counts of the literature, and reproducible weights."""

import pytest
import torch

from hvd_qgenx.gan.models import NORMS, initialize
from hvd_qgenx.gan.models.dcgan import SMALLEST, Discriminator, Generator


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_parameter_counts_at_32x32_with_64_filters(norm):
    assert count(Generator(3, 32, 64, 128, norm)) == 1_195_587
    assert count(Discriminator(3, 32, 64, norm)) == 663_745


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("side", SMALLEST)
def test_shapes_and_range(side, norm):
    images = Generator(2, side, 4, 16, norm)(torch.randn(3, 16))
    assert images.shape == (3, 2, side, side)
    assert images.abs().max() <= 1
    assert Discriminator(2, side, 4, norm)(images).shape == (3,)


def test_weights_follow_the_seed_alone():
    first, second, other = (Generator(1, 8, 16, 32, "layer") for _ in range(3))
    before = torch.get_rng_state()
    initialize(first, 1)
    initialize(second, 1)
    initialize(other, 2)
    assert torch.equal(before, torch.get_rng_state())
    weights = [model.project[0].weight for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert float(weights[0].detach().std()) == pytest.approx(0.02, rel=0.1)
