"""Shapes, the parameter counts of the literature, statistics at the start, labels, spectral norm."""

import copy
import itertools
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from compressors.random import generator
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.losses import Batch, fill_gradients
from hvd_qgenx.tasks.gan.models import layers
from hvd_qgenx.tasks.gan.models.build import check, initialize, make
from hvd_qgenx.tasks.gan.models.players import Players
from hvd_qgenx.tasks.gan.models.sides import innermost
from hvd_qgenx.tasks.gan.registry import LOSSES, MODELS, NORMS

SIDES = (8, 28, 32, 64)
"""Of the usual data sets."""
VARIANCE = 0.02**2
"""Of a weight at the start."""


def players(model="dcgan", norm="layer", filters=8, latent=16, channels=3, side=32, words=(1,), **more) -> Players:
    made = make(
        model,
        **{"channels": channels, "side": side, "filters": filters, "latent": latent},
        **{"generator_norm": norm, "discriminator_norm": norm, **more},
    )
    initialize(made.generator, *words, 4)
    initialize(made.discriminator, *words, 5)
    return made


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(7))


# Sizes


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize(
    ("model", "filters", "norm_of_discriminator", "sizes"),
    [
        ("dcgan", 64, {}, (1_195_587, 663_745)),
        ("resnet", 128, {"discriminator_norm": "none"}, (1_548_547, 1_053_825)),
    ],
)
def test_parameter_counts_of_the_reference(model, filters, norm_of_discriminator, sizes, norm):
    made = players(model, norm, filters, latent=128, **norm_of_discriminator)
    assert (count(made.generator), count(made.discriminator)) == sizes
    divided = players(model, norm, filters, latent=128, spectral_norm=True, **norm_of_discriminator)
    assert (count(divided.generator), count(divided.discriminator)) == sizes


def test_parameter_counts_of_the_documentation():
    table = Path(__file__).parents[3] / "docs" / "models.md"
    rows = re.findall(
        r"^\| (\w+) \| (\d)x(\d+)x\d+ \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", table.read_text(), re.MULTILINE
    )
    assert {(model, int(side)) for model, _, side, *_ in rows} == set(itertools.product(MODELS, SIDES))
    for model, channels, side, filters, *sizes in rows:
        shape = {"channels": int(channels), "side": int(side), "filters": int(filters), "latent": 128}
        made = players(model, discriminator_norm="none", **shape)
        assert [f"{count(network):,}" for network in made] == sizes


@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("model", MODELS)
def test_shapes_and_range(model, side, norm, classes):
    check(model, side)
    made = players(model, norm, filters=5, channels=2, side=side, classes=classes)
    labels = torch.tensor([0, 9, 9]) if classes else None
    images = made.generator(noise(3, 16), labels)
    assert images.shape == (3, 2, side, side)
    assert images.abs().max() <= 1
    assert made.discriminator(images, labels).shape == (3,)


@pytest.mark.parametrize("model", MODELS)
def test_every_side_from_8_in_steps_of_4_is_made_and_no_other(model):
    for side in range(1, 69):
        if side < 8 or side % 4:
            with pytest.raises(ConfigurationError):
                check(model, side)
            continue
        check(model, side)
        made = players(model, filters=2, channels=1, side=side)
        images = made.generator(noise(2, 16))
        assert images.shape == (2, 1, side, side)
        assert made.discriminator(images).shape == (2,)


@pytest.mark.parametrize(("side", "nearest"), [(30, "28 or 32"), (9, "8 or 12"), (7, "8"), (2, "8"), (65, "64 or 68")])
@pytest.mark.parametrize("model", MODELS)
def test_a_side_that_no_model_makes_is_refused_with_the_nearest(model, side, nearest):
    sentence = (
        f"^{model} takes images of side 8, 12, 16 and so on in steps of 4, not {side}; give --image-size {nearest}$"
    )
    with pytest.raises(ConfigurationError, match=sentence):
        check(model, side)


def test_feature_maps_are_halved_twice_and_then_to_4_pixels_or_an_odd_side():
    found = {side: innermost(side) for side in (8, 12, 16, 20, 24, 28, 32, 36, 48, 64, 128)}
    assert found == {
        **{8: (2, 2), 12: (3, 2), 16: (4, 2), 20: (5, 2), 24: (3, 3), 28: (7, 2), 32: (4, 3)},
        **{36: (9, 2), 48: (3, 4), 64: (4, 4), 128: (4, 5)},
    }


# Start


@pytest.mark.parametrize("model", MODELS)
def test_weights_follow_the_words_alone_and_every_number_is_set(model):
    before = torch.get_rng_state()
    first, second, other = (
        players(model, "batch", spectral_norm=True, classes=3, words=words) for words in ((1,), (1,), (2,))
    )
    for network in second:
        for value in network.state_dict().values():
            value.fill_(77)
    initialize(second.generator, 1, 4)
    initialize(second.discriminator, 1, 5)
    assert torch.equal(before, torch.get_rng_state())
    for one, same, different in zip(first, second, other, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, same.state_dict()[name]), name
            if value.unique().numel() > 1:
                assert not torch.equal(value, different.state_dict()[name]), name


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_normal_and_biases_zero(model):
    for network in players(model, "layer", filters=32, classes=10):
        for layer in layers.weighted(network):
            sample = layer.weight.detach().flatten()
            assert float(sample.square().mean()) == pytest.approx(VARIANCE, rel=5 * (2 / len(sample)) ** 0.5)
            assert abs(float(sample.mean())) < 5 * 0.02 / len(sample) ** 0.5
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any(), name


class Moments:
    """Second moments of every pixel, over weights and inputs, as a network passes them on. Source: counting taps."""

    def __init__(self, channels: int, maps: torch.Tensor) -> None:
        self.channels, self.maps = channels, maps

    def convolve(self, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> "Moments":
        taps = torch.ones(1, 1, kernel, kernel)
        sums = F.conv2d(self.maps, taps, stride=stride, padding=padding)
        return Moments(channels, VARIANCE * self.channels * sums)

    def double(self, channels: int, kernel: int, padding: int = 0, extra: int = 0) -> "Moments":
        taps = torch.ones(1, 1, kernel, kernel)
        sums = F.conv_transpose2d(self.maps, taps, stride=2, padding=padding, output_padding=extra)
        return Moments(channels, VARIANCE * self.channels * sums)

    def normalize(self, norm: str) -> "Moments":
        return self if norm == "none" else Moments(self.channels, self.maps / self.maps.mean())

    def rectify(self, slope: float = 0.0) -> "Moments":
        return Moments(self.channels, (1 + slope**2) / 2 * self.maps)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.channels, self.maps + other.maps)


def tanh_moment(maps: torch.Tensor) -> float:
    """E tanh(x)^2, x normal with these second moments."""
    x = torch.linspace(-6, 6, 1001)
    density = torch.softmax(-x.square() / 2, 0)
    return float((torch.tanh(maps.sqrt().unsqueeze(-1) * x).square() * density).sum(-1).mean())


def images_moment(model: str, norm: str, filters: int, latent: int) -> float:
    """E G(z)^2 at 32x32."""
    if model == "dcgan":
        x = Moments(4 * filters, torch.full((1, 1, 4, 4), VARIANCE * latent))
        for channels in (2 * filters, filters, 3):
            x = x.normalize(norm).rectify().double(channels, 4, padding=1)
    else:
        x = Moments(filters, torch.full((1, 1, 4, 4), VARIANCE * latent))
        for _ in range(3):
            residue = x.normalize(norm).rectify().double(filters, 4, padding=1)
            residue = residue.normalize(norm).rectify().convolve(filters, 3, padding=1)
            x = x.double(filters, 1, extra=1) + residue
        x = x.normalize(norm).rectify().convolve(3, 3, padding=1)
    return tanh_moment(x.maps)


def features_moment(model: str, norm: str, filters: int) -> torch.Tensor:
    """E of the squares before the last layer, of standard normal noise of 3x32x32."""
    x = Moments(3, torch.ones(1, 1, 32, 32))
    if model == "dcgan":
        x = x.convolve(filters, 4, 2, 1).rectify(0.01)
        for channels in (2 * filters, 4 * filters):
            x = x.convolve(channels, 4, 2, 1).normalize(norm).rectify(0.01)
        return x.maps
    x = x.convolve(filters, 1, 2) + x.convolve(filters, 3, 1, 1).rectify().convolve(filters, 3, 2, 1)
    for stride in (2, 1, 1):
        residue = x.normalize(norm).rectify().convolve(filters, 3, 1, 1)
        residue = residue.normalize(norm).rectify().convolve(filters, 3, stride, 1)
        x = (x.convolve(filters, 1, 2) if stride == 2 else x) + residue
    return x.rectify().maps


DRAWS, FILTERS, LATENT = 24, 32, 64

RECORDED = {
    ("dcgan", "batch"): (0.152528, 0.594922),
    ("dcgan", "layer"): (0.154360, 0.625744),
    ("dcgan", "none"): (1.59649e-3, 1.08491e-2),
    ("resnet", "batch"): (0.228731, 2.02183e-2),
    ("resnet", "layer"): (0.213152, 2.64649e-2),
    ("resnet", "none"): (1.08583e-5, 2.91049e-4),
}
"""Root mean squares of images and of scores over the draws."""


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", MODELS)
def test_outputs_at_the_start(model, norm):
    """Second moments as in theory for networks of infinite width, means zero; and all as they ever were."""
    made = players(model, norm, FILTERS, LATENT)
    draws = []
    for draw in range(DRAWS):
        initialize(made.generator, draw, 4)
        initialize(made.discriminator, draw, 5)
        random = generator(draw)
        with torch.no_grad():
            images = made.generator(torch.randn(6, LATENT, generator=random))
            features = made.discriminator.downsample(torch.randn(6, 3, 32, 32, generator=random))
            scores = made.discriminator.score(features.flatten(1) if model == "dcgan" else features.mean((2, 3)), None)
        draws.append([value for x in (images, features, scores) for value in (x.mean(), x.square().mean())])
    image_mean, images, _, features, score_mean, scores = torch.tensor(draws).mean(0).tolist()
    theory = features_moment(model, norm, FILTERS)
    assert images == pytest.approx(images_moment(model, norm, FILTERS, LATENT), rel=0.15)
    assert features == pytest.approx(float(theory.mean()), rel=0.05)
    if model == "dcgan":  # in the ResNet the mean over space hangs on how pixels correlate
        assert scores == pytest.approx(VARIANCE * 4 * FILTERS * float(theory.sum()), rel=3 * (2 / DRAWS) ** 0.5)
    assert abs(image_mean) < 4 * (images / (3 * DRAWS)) ** 0.5
    assert abs(score_mean) < 4 * (scores / DRAWS) ** 0.5
    assert (images**0.5, scores**0.5) == pytest.approx(RECORDED[model, norm], rel=1e-3)


# Labels


@pytest.mark.parametrize("model", MODELS)
def test_labels_grow_the_first_and_last_layer_only(model):
    plain, conditional = players(model), players(model, classes=10)
    widths = [layers.weighted(network)[0].weight.shape[0] for network in plain]
    features = plain.discriminator.score.linear.in_features
    assert count(conditional.generator) - count(plain.generator) == 10 * widths[0]
    assert count(conditional.discriminator) - count(plain.discriminator) == 10 * features


@pytest.mark.parametrize("model", MODELS)
def test_labels_choose_a_column_and_a_projection(model):
    """The first layer sees latent and one-hot; scores of two classes differ by <V[a] - V[b], features>."""
    made = players(model, "none", classes=3)
    first, a, b = layers.weighted(made.generator)[0], torch.tensor([0, 0]), torch.tensor([2, 2])
    seen = []
    first.register_forward_hook(lambda layer, inputs, output: seen.append(output.detach()))
    latents = noise(2, 16)
    images = made.generator(latents, a)
    made.generator(latents, b)
    columns = first.weight.detach()[:, 16:]
    torch.testing.assert_close(seen[0] - seen[1], (columns[:, 0] - columns[:, 2]).expand(2, -1), rtol=1e-4, atol=1e-6)
    heads = []
    made.discriminator.score.linear.register_forward_hook(lambda layer, inputs, output: heads.append(inputs[0]))
    difference = made.discriminator(images, a) - made.discriminator(images, b)
    rows = made.discriminator.score.classes.weight
    torch.testing.assert_close(difference, heads[0] @ (rows[0] - rows[2]), rtol=1e-3, atol=1e-8)
    assert difference.abs().min() > 0


# Layout


@pytest.mark.parametrize("model", MODELS)
def test_layout_in_memory_changes_nothing(model, monkeypatch):
    made = players(model, classes=2)
    labels = torch.tensor([0, 1])
    images = made.generator(noise(2, 16), labels)
    scores = made.discriminator(images, labels)
    monkeypatch.setattr(layers, "memory_format", lambda kind, mixed: torch.channels_last)
    assert layers.laid_out(images).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made.generator(noise(2, 16), labels), images, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(made.discriminator(images, labels), scores, rtol=1e-4, atol=1e-6)


def test_channels_last_is_for_bfloat16_on_a_gpu():
    wanting = [kind for kind in itertools.product(("cpu", "cuda"), (False, True)) if is_channels_last(*kind)]
    assert wanting == [("cuda", True)]


def is_channels_last(kind: str, mixed: bool) -> bool:
    return layers.memory_format(kind, mixed) == torch.channels_last


# Spectral norm


@pytest.mark.parametrize("model", MODELS)
def test_spectral_norm_divides_by_the_largest_singular_value(model):
    """Weights drawn are those without it; after many power iterations every matrix has norm one."""
    plain = players(model, "none", classes=4).discriminator
    divided = players(model, "none", classes=4, spectral_norm=True).discriminator
    for one, other in zip(layers.weighted(plain), layers.weighted(divided), strict=True):
        assert torch.equal(one.weight, layers.original_weight(other))
    for layer in layers.weighted(divided):
        for _ in range(300):
            layer.parametrizations.weight()
    for one, other in zip(layers.weighted(plain), layers.weighted(divided), strict=True):
        largest = torch.linalg.matrix_norm(one.weight.flatten(1), 2)
        torch.testing.assert_close(other.weight, one.weight / largest, rtol=2e-3, atol=0)


def test_spectral_norm_at_the_start_is_near():
    for layer in layers.weighted(players("resnet", filters=32, spectral_norm=True).discriminator):
        assert 0.95 < float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) < 1.15


def test_spectral_norm_goes_on_bit_for_bit_from_its_state():
    def moves(made: Players, numbers: range) -> None:
        for number in numbers:
            made.discriminator.zero_grad()
            batch = Batch(
                noise(2, 3, 8, 8), None, noise(2, 16) + number, torch.rand(2, 1, 1, 1, generator=generator(3))
            )
            fill_gradients(made, LOSSES["hinge"], batch, 0.0, 1.0)
            with torch.no_grad():
                for parameter in made.discriminator.parameters():
                    parameter -= 0.1 * parameter.grad

    straight, resumed = (players(side=8, spectral_norm=True) for _ in range(2))
    moves(straight, range(2))
    for network, middle in zip(resumed, copy.deepcopy([network.state_dict() for network in straight]), strict=True):
        network.load_state_dict(middle)
    moves(straight, range(2, 4))
    moves(resumed, range(2, 4))
    for (name, value), other in zip(
        straight.discriminator.state_dict().items(), resumed.discriminator.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name
