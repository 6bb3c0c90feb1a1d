"""Autoencoders: shapes, numbers of parameters, first weights, sides that they take."""

import pytest
import torch
from torch import nn

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.vae.models import build
from hvd_qgenx.tasks.vae.models.architecture import Shape
from hvd_qgenx.tasks.vae.models.registry import MODELS, WIDTHS

MNIST_MLP = 2 * 784 * 400 + 400 + 784 + 400 * 40 + 40 + 20 * 400 + 400
"""Weights and biases of 784-400-40 and of 20-400-784."""


def made(model: str, channels: int = 1, side: int = 28, latent: int = 20):
    return build.make(model, Shape(channels, side, WIDTHS[model], latent))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("side", [8, 12, 28, 32, 64])
def test_codes_and_images_have_their_shapes(model, side):
    network = made(model, 3, side, latent=5)
    posterior = network.encode(torch.rand(2, 3, side, side))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 5)
    assert network.decode(posterior.mean).shape == (2, 3, side, side)
    images = network.images(posterior.mean).detach()
    assert -1 <= float(images.min()) <= float(images.max()) <= 1


def test_numbers_of_parameters():
    sizes = {model: sum(parameter.numel() for parameter in made(model).parameters()) for model in MODELS}
    convolutions = 16 * 32 + 32 + 16 * 32 * 64 + 64 + 16 * 64 * 32 + 32 + 16 * 32 + 1
    linear = (64 * 49 * 256 + 256) + (256 * 40 + 40) + (20 * 256 + 256) + (256 * 64 * 49 + 64 * 49)
    assert sizes == {"mlp": MNIST_MLP, "conv": convolutions + linear}


@pytest.mark.parametrize("model", MODELS)
def test_first_weights_are_a_function_of_the_words_and_of_nothing_else(model):
    def weights(*words: int) -> torch.Tensor:
        torch.manual_seed(len(words))
        network = made(model)
        before = torch.get_rng_state()
        build.initialize(network, *words)
        assert torch.equal(torch.get_rng_state(), before)
        return nn.utils.parameters_to_vector(network.parameters())

    assert torch.equal(weights(1, 2), weights(1, 2))
    assert not torch.equal(weights(1, 2), weights(1, 3))
    assert all(not bool(parameter.isnan().any()) for parameter in made(model).parameters())


def test_making_a_model_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    made("conv")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("side", "nearest"), [(4, "8"), (7, "8"), (30, "28 or 32")])
def test_sides_that_convolutions_do_not_take_are_refused_with_the_nearest(side, nearest):
    sentence = f"conv takes images of side 8, 12, 16 .* not {side}; give --image-size {nearest} or choose --model mlp"
    with pytest.raises(ConfigurationError, match=sentence):
        build.check("conv", side)
    build.check("mlp", side)


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigurationError, match="unknown model 'conf'; did you mean 'conv'"):
        build.check("conf", 28)
