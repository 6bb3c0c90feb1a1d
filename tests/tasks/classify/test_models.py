"""Parameter counts of the literature, shapes and sides, weights at the start, norms, public weights."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from torch import nn

from compressors.random import generator
from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.registry import NORMS
from hvd_qgenx.scores.weights import read
from hvd_qgenx.tasks.classify.models.architecture import Shape
from hvd_qgenx.tasks.classify.models.build import check, initialize, make
from hvd_qgenx.tasks.classify.models.registry import MODELS

GIANTS = ("resnet34", "resnet50", "wrn-28-10", "vgg19")
"""Models that take long or much memory; they are built without weights."""
PLAIN = ("mlp", "lenet")
"""Models without norms."""
CHOICES = [(model, norm) for model in MODELS for norm in (NORMS if model not in PLAIN else (None,))]
SMALL = [(model, norm) for model, norm in CHOICES if model not in GIANTS]
FAMILIES = ("mlp", "lenet", "resnet8-a", "resnet8", "resnet18", "wrn-16-4", "densenet-bc-40-12", "vgg11")
"""A small model of every kind of network."""
IMAGES = ((1, 8, 10), (1, 28, 10), (3, 32, 100), (3, 64, 2))
"""Channels, side, classes."""


def outline(model: str, norm: str | None = None, channels: int = 3, side: int = 32, classes: int = 10) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return MODELS[model].build(Shape(channels, side, classes), norm or "batch")


def classifier(model: str, norm: str | None = None, words: tuple[int, ...] = (1,)) -> nn.Module:
    """A network with weights, for the smallest images that it takes, but at least those of digits."""
    made = make(model, channels=1, side=smallest(model), classes=3, norm=norm)
    initialize(made, *words)
    return made


def smallest(model: str) -> int:
    return max(8, MODELS[model].smallest)


def images(model: str, count: int = 4) -> torch.Tensor:
    return torch.randn(count, 1, smallest(model), smallest(model), generator=generator(7))


# Sizes


def conv(kernel: int, narrow: int, wide: int) -> int:
    return kernel * kernel * narrow * wide


def norms(*channels: int) -> int:
    return 2 * sum(channels)


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def cifar(blocks: int, projections: bool = False) -> int:
    """The count by He et al. (CVPR 2016), section 4.2: three stages of ``blocks`` pairs of convolutions."""
    total = conv(3, 3, 16) + norms(16) + linear(64, 10)
    for narrow, wide in ((16, 16), (16, 32), (32, 64)):
        total += conv(3, narrow, wide) + (2 * blocks - 1) * conv(3, wide, wide) + 2 * blocks * norms(wide)
        total += projections * (narrow < wide) * (conv(1, narrow, wide) + norms(wide))
    return total


def wide(blocks: int, factor: int) -> int:
    """The count by Zagoruyko and Komodakis (BMVC 2016), table 1: norms before convolutions, one more at the end."""
    total, narrow = conv(3, 3, 16) + norms(64 * factor) + linear(64 * factor, 10), 16
    for out in (16 * factor, 32 * factor, 64 * factor):
        total += conv(1, narrow, out) + conv(3, narrow, out) + norms(narrow)
        total += (2 * blocks - 1) * (conv(3, out, out) + norms(out))
        narrow = out
    return total


def dense(layers: int, growth: int) -> int:
    """The count by Huang et al. (CVPR 2017), section 3: bottlenecks of 4 k, transitions that halve the channels."""
    channels = 2 * growth
    total = conv(3, 3, channels)
    for stage in range(3):
        if stage:
            total += norms(channels) + conv(1, channels, channels // 2)
            channels //= 2
        for _ in range(layers):
            total += norms(channels, 4 * growth) + conv(1, channels, 4 * growth) + conv(3, 4 * growth, growth)
            channels += growth
    return total + norms(channels) + linear(channels, 10)


def residual(imagenet: int, features: int) -> int:
    """The count with the stem and the last layer of CIFAR-10 instead of ImageNet's."""
    return imagenet - conv(7, 3, 64) + conv(3, 3, 64) - linear(features, 1000) + linear(features, 10)


def vgg(imagenet: int) -> int:
    """The count with one linear layer, 512 to 10, instead of ImageNet's three."""
    return imagenet - linear(512 * 7 * 7, 4096) - linear(4096, 4096) - linear(4096, 1000) + linear(512, 10)


@pytest.mark.parametrize(
    ("model", "parameters", "derived", "tensors"),
    [
        # He et al., table 6: 0.27, 0.85 and 1.7 million. The tensors: 1 for each convolution, 2 for each norm
        # (6 n + 1 of both), 2 for the linear layer
        ("resnet8-a", 75_290, cifar(1), 3 * 7 + 2),
        ("resnet20-a", 269_722, cifar(3), 3 * 19 + 2),
        ("resnet56-a", 853_018, cifar(9), 3 * 55 + 2),
        ("resnet110-a", 1_727_962, cifar(18), 3 * 109 + 2),
        # CHOCO-SGD (Koloskova et al., ICLR 2020): ResNet-8 of 78 thousand, ResNet-20 of 1.04 MiB in float32
        ("resnet8", 78_042, cifar(1, projections=True), 3 * 9 + 2),
        ("resnet20", 272_474, cifar(3, projections=True), 65),
        ("resnet56", 855_770, cifar(9, projections=True), 3 * 57 + 2),
        ("resnet110", 1_730_714, cifar(18, projections=True), 3 * 111 + 2),
        # from the counts that torchvision's documentation gives for ImageNet
        ("resnet18", 11_173_962, residual(11_689_512, 512), 62),
        ("resnet34", 21_282_122, residual(21_797_672, 512), 3 * 36 + 2),
        ("resnet50", 23_520_842, residual(25_557_032, 2048), 3 * 53 + 2),
        ("vgg11", 9_231_114, vgg(132_868_840), 4 * 8 + 2),
        ("vgg13", 9_416_010, vgg(133_053_736), 4 * 10 + 2),
        ("vgg16", 14_728_266, vgg(138_365_992), 4 * 13 + 2),
        ("vgg19", 20_040_522, vgg(143_678_248), 4 * 16 + 2),
        # Zagoruyko and Komodakis, tables 4 and 5: 36.5 and 2.7 million
        ("wrn-16-4", 2_748_890, wide(2, 4), 16 + 2 * 13 + 2),
        ("wrn-28-10", 36_479_194, wide(4, 10), 28 + 2 * 25 + 2),
        # Huang et al., table 2: 0.8 million
        ("densenet-bc-40-12", 176_122, dense(6, 12), 3 * 39 + 2),
        ("densenet-bc-100-12", 769_162, dense(16, 12), 3 * 99 + 2),
        ("lenet", 62_006, 25 * 3 * 6 + 6 + 25 * 6 * 16 + 16 + linear(400, 120) + linear(120, 84) + linear(84, 10), 10),
        ("mlp", 1_707_274, linear(3072, 512) + linear(512, 256) + linear(256, 10), 6),
    ],
)
def test_parameter_counts_of_the_literature(model, parameters, derived, tensors):
    found = list(outline(model).parameters())
    assert (sum(parameter.numel() for parameter in found), len(found)) == (parameters, tensors)
    assert parameters == derived


def test_lenet_has_the_same_parameters_for_all_images_up_to_32():
    counts = {sum(p.numel() for p in outline("lenet", channels=1, side=side).parameters()) for side in (1, 8, 28, 32)}
    assert counts == {61_706}  # the paper: 60,000


# Images


@pytest.mark.parametrize(
    ("model", "norm", "shape"),
    [(model, None, shape) for model in MODELS for shape in IMAGES if shape[1] >= MODELS[model].smallest]
    + [(model, norm, (3, 32, 10)) for model, norm in CHOICES if model in GIANTS],
)
def test_images_become_logits(model, norm, shape):
    channels, side, classes = shape
    network = outline(model, norm, *shape)
    assert network(torch.empty(5, channels, side, side, device="meta")).shape == (5, classes)


@pytest.mark.parametrize("model", ["mlp", "lenet", "resnet8-a", "resnet20-a", "wrn-16-4", "densenet-bc-40-12"])
def test_digits_are_large_enough(model):
    check(model, 8)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in PLAIN])
def test_at_the_smallest_side_and_no_sooner_convolutions_see_more_than_one_pixel(model):
    def fewest_pixels(side: int) -> int:
        seen: list[int] = []
        network = outline(model, side=side)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
        network(torch.empty(2, 3, side, side, device="meta"))
        return min(seen)

    assert fewest_pixels(MODELS[model].smallest) == 2
    assert fewest_pixels(MODELS[model].smallest - 1) == 1


@pytest.mark.parametrize("model", [model for model in MODELS if model not in PLAIN])
def test_a_side_that_is_too_small_is_refused(model):
    least = MODELS[model].smallest
    check(model, least)
    with pytest.raises(ConfigurationError, match=f"^{model} takes images of side {least} or more, not {least - 1}; "):
        check(model, least - 1)


# Other implementations


def resnet_of_torchvision(name: str) -> nn.Module:
    network = torchvision().models.get_model(name, num_classes=10)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return network


def vgg_of_torchvision(name: str) -> nn.Module:
    network = torchvision().models.get_model(name, num_classes=10)
    network.avgpool, network.classifier = nn.Identity(), nn.Linear(512, 10)
    return network


def densenet_of_torchvision(layers: int) -> nn.Module:
    network = torchvision().models.DenseNet(12, (layers,) * 3, num_init_features=24, num_classes=10)
    network.features.conv0 = nn.Conv2d(3, 24, 3, 1, 1, bias=False)
    network.features.norm0 = network.features.relu0 = network.features.pool0 = nn.Identity()
    return network


@pytest.mark.parametrize(
    ("model", "reference", "argument"),
    [
        ("resnet18", resnet_of_torchvision, "resnet18"),
        ("resnet50", resnet_of_torchvision, "resnet50"),
        ("vgg11", vgg_of_torchvision, "vgg11_bn"),
        ("vgg16", vgg_of_torchvision, "vgg16_bn"),
        ("densenet-bc-40-12", densenet_of_torchvision, 6),
    ],
)
def test_logits_are_those_of_torchvision_with_the_ends_for_small_images(model, reference, argument):
    expected, found = reference(argument), make(model, channels=3, side=32, classes=10)
    found.load_state_dict(dict(zip(found.state_dict(), expected.state_dict().values(), strict=True)))
    pixels = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found(pixels), expected(pixels), rtol=1e-4, atol=1e-4)


# Names


def test_names_are_listed_without_importing_a_model():
    code = (
        "import sys; from hvd_qgenx.tasks.classify.models.registry import MODELS; list(MODELS); "
        "print(*(name for name in sys.modules if name.startswith('hvd_qgenx.tasks.classify.models.')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["hvd_qgenx.tasks.classify.models.registry"]


def test_an_unknown_model_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown model 'resnet21'; did you mean 'resnet20'"):
        make("resnet21", channels=3, side=32, classes=10)


# Norms


@pytest.mark.parametrize("model", [model for model in MODELS if model not in PLAIN])
def test_the_norm_is_the_one_asked_for(model):
    kinds = {"batch": {"BatchNorm2d"}, "group": {"GroupNorm"}, "layer": {"GroupNorm"}}
    for norm in NORMS:
        names = {type(module).__name__ for module in outline(model, norm).modules()}
        assert {name for name in names if name.endswith("Norm") or name.startswith("BatchNorm")} == kinds[norm]
    layer = [module.num_groups for module in outline(model, "layer").modules() if isinstance(module, nn.GroupNorm)]
    assert set(layer) == {1}


def test_the_default_norm_is_batch():
    default, batch = (make("resnet8-a", channels=1, side=8, classes=3, norm=norm) for norm in (None, "batch"))
    assert str(default) == str(batch)
    assert "BatchNorm2d" in str(default)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", PLAIN)
def test_a_norm_for_a_model_without_norms_is_refused(model, norm):
    with pytest.raises(ConfigurationError, match=f"^{model} has no norm layers; .*leave out the norm '{norm}'$"):
        make(model, channels=1, side=8, classes=3, norm=norm)


def test_an_unknown_norm_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown norm 'batsh'; did you mean 'batch'"):
        check("resnet8-a", 8, "batsh")


# Start


@pytest.mark.parametrize(("model", "norm"), [(model, norm) for model, norm in CHOICES if model in FAMILIES])
def test_weights_follow_the_words_alone_and_every_number_is_set(model, norm):
    before = torch.get_rng_state()
    first, second, other = (classifier(model, norm, words) for words in ((1, 2), (1, 2), (2, 1)))
    for value in second.state_dict().values():
        value.fill_(77)
    initialize(second, 1, 2)
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
        if value.unique().numel() > 1:
            assert not torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("model", FAMILIES)
def test_weights_have_the_variances_of_their_sources(model):
    for layer in classifier(model).modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        sample = layer.weight.detach().flatten()
        if isinstance(layer, nn.Linear):
            variance = 1 / (3 * layer.in_features)
            assert sample.abs().max() <= layer.in_features**-0.5
        else:
            variance = 2 / (layer.out_channels * layer.kernel_size[0] ** 2)
        assert float(sample.square().mean()) == pytest.approx(variance, rel=5 * (2 / len(sample)) ** 0.5)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize(("model", "norm"), SMALL)
def test_first_logits_are_of_sensible_scale_and_gradients_reach_every_parameter(model, norm):
    network = classifier(model, norm)
    logits = network(images(model))
    assert logits.isfinite().all()
    assert 0.01 < logits.detach().std() < 10
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        vanishes = norm == "batch" and model.startswith("vgg") and name.startswith("features") and name.endswith("bias")
        assert parameter.grad.any() or vanishes, name  # batch norm takes the bias of a convolution away


@pytest.mark.parametrize("model", ["mlp", "lenet", "resnet8-a", "resnet8"])
def test_digits_are_learned(model):
    digits = load_digits()
    pixels, labels = torch.tensor(digits.images[:96] / 16).float().unsqueeze(1), torch.tensor(digits.target[:96])
    network = make(model, channels=1, side=8, classes=10)
    initialize(network, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(network(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 < 1.5 < losses[0]


# Public weights


@pytest.mark.parametrize(
    ("model", "file"), [("resnet20-a", "resnet20-12fca82f.th"), ("resnet56-a", "resnet56-4bfd9763.th")]
)
def test_public_weights_recognize_cifar10(data_dir, model, file):
    network = make(model, channels=3, side=32, classes=10).eval()
    stored = read(data_dir / "cifar10-resnet" / file)["state_dict"]
    absent, unexpected = network.load_state_dict(
        {name.removeprefix("module."): value for name, value in stored.items()}, strict=False
    )
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in absent)
    cifar10 = torchvision().datasets.CIFAR10(data_dir, train=False)
    pixels = torch.from_numpy(cifar10.data[:1000]).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)]).view(2, 3, 1, 1)
    with torch.no_grad():
        found = network((pixels - mean) / deviation).argmax(1)
    assert (found == torch.tensor(cifar10.targets[:1000])).float().mean() > 0.91
