"""The checks of a user's own topologies, games, losses and models pass what is right, and find what is broken."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from compressors.random import generator
from hvd_qgenx import testing
from hvd_qgenx.games.base import Game
from hvd_qgenx.gossip.family import Family, any_number
from hvd_qgenx.gossip.graphs import RING
from hvd_qgenx.gossip.topology import Cycle, Links
from hvd_qgenx.tasks.classify.models.architecture import Architecture
from hvd_qgenx.tasks.classify.models.mlp import mlp
from hvd_qgenx.tasks.classify.models.registry import MODELS as CLASSIFIERS
from hvd_qgenx.tasks.gan.losses import Loss
from hvd_qgenx.tasks.gan.models import dcgan
from hvd_qgenx.tasks.gan.registry import LOSSES, MODELS
from hvd_qgenx.tasks.language.models.registry import MODELS as LANGUAGE_MODELS
from hvd_qgenx.tasks.vae.models.registry import MODELS as AUTOENCODERS


def test_every_name_is_a_check():
    assert all(callable(getattr(testing, name)) for name in testing.__all__)


class Deaf(Cycle):
    """Rank 0 tells nobody, but is heard."""

    def links(self, rank, step):
        found = super().links(rank, step)
        return found if rank else Links(found.own, found.heard, [])


class Lenient(Family):
    """Makes a topology for every number of ranks."""

    def make(self, request):
        return self.build(request)


def family(matrix, kind=Cycle):
    return Family("", any_number, lambda request: kind("own", [matrix(request.ranks)]))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (family(lambda n: np.full((n, n), 1 / n) + np.eye(n) * 1e-6), "adds up to 1 only up to 1e-06"),
        (family(lambda n: np.roll(np.full((n, n), 1 / n), 1, 0) - np.eye(n) + np.roll(np.eye(n), 1, 0)), "a weight is"),
        (family(np.eye), "2 ranks: they do not come to consensus"),
        (family(lambda n: np.full((n + 1, n + 1), 1 / (n + 1))), "size is 3"),
        (family(lambda n: np.full((n, n), 1 / n), Deaf), "disagree whether one hears"),
        (Lenient("", lambda n: n != 3, RING.build), "3 ranks are made"),
    ],
    ids=["sums", "negative", "apart", "size", "links", "refusal"],
)
def test_broken_topologies_are_found(made, sentence):
    with pytest.raises(AssertionError, match=sentence):
        testing.check_topology(made, range(2, 5))


class Pull(Game):
    """Pulls two players to 0, who also turn about each other; spoilt in one respect."""

    def __init__(self, fault=""):
        start = torch.ones(2, dtype=torch.float32 if fault == "float32" else torch.float64)
        shifted = torch.tensor([0.0, 1.0 if fault == "solution" else 0.0], dtype=torch.float64)
        super().__init__({"a": 1, "b": 2 if fault == "players" else 1}, start, shifted)
        self.fault, self.calls = fault, 0

    def operator(self, point):
        self.calls += 1
        turned = torch.stack([point[1], -point[0]])
        if self.fault == "noisy":
            return turned + 0.1 * self.calls
        if self.fault == "in place":
            return point.mul_(0.5)
        return turned + (-0.1 if self.fault == "not monotone" else 0.1) * point

    def oracle(self, seed, rank):
        random = generator(seed, 0 if self.fault == "shared" else rank)
        shift = 0.5 if self.fault == "biased" else 0.0
        return lambda point: self.operator(point) + torch.randn(2, generator=random, dtype=torch.float64) + shift

    def project(self, point):
        if self.fault == "projection":
            point.mul_(2)

    def gap(self, point):
        return float(point.norm()) - (1 if self.fault == "gap" else 0)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("float32", "the start is torch.float32"),
        ("players", "players have 3 coordinates"),
        ("noisy", "the operator of one point has two values"),
        ("in place", "changes the point"),
        ("not monotone", "not monotone"),
        ("biased", "the oracle is biased"),
        ("shared", "oracles of two ranks make the same errors"),
        ("projection", "the start is not an allowed point"),
        ("gap", "a gap is -"),
        ("solution", "the gap at the solution"),
    ],
)
def test_broken_games_are_found(fault, sentence):
    with pytest.raises(AssertionError, match=sentence):
        testing.check_game(lambda: Pull(fault))


def test_a_game_that_is_right_passes():
    testing.check_game(Pull)
    testing.check_game(lambda: Pull("not monotone"), monotone=False)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_keep_the_contract(name):
    testing.check_loss(LOSSES[name])


@pytest.mark.parametrize(
    ("generate", "sentence"),
    [
        (lambda fake: -fake.sum(), "that of two ranks with half of it"),
        (lambda fake: -fake, "no 0-d tensor"),
        (lambda fake: -torch.log(torch.sigmoid(fake)).mean(), "Inf or NaN|is inf"),
        (lambda fake: -fake[:3].mean(), "that of two ranks"),
        (lambda fake: F.relu(-fake - 100).mean(), "have no gradient"),
    ],
    ids=["sum", "vector", "overflow", "part", "flat"],
)
def test_broken_losses_are_found(generate, sentence):
    with pytest.raises(AssertionError, match=sentence):
        testing.check_loss(Loss(generate, LOSSES["wgan"].discriminator))


@pytest.mark.parametrize("name", MODELS)
def test_models_of_gans_keep_the_contract(name):
    testing.check_model("gan", MODELS[name])


@pytest.mark.parametrize("name", ["mlp", "lenet", "resnet8", "densenet-bc-40-12"])
def test_classifiers_keep_the_contract(name):
    testing.check_model("classify", CLASSIFIERS[name])


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_language_models_keep_the_contract(name):
    testing.check_model("language", LANGUAGE_MODELS[name])


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_autoencoders_keep_the_contract(name):
    testing.check_model("vae", AUTOENCODERS[name])


class Gain(nn.Module):
    """A layer whose weight nothing initializes."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.randn(10))

    def forward(self, logits):
        return logits * self.gain


class Idle(nn.Sequential):
    """A model with a layer that it does not use."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.used, self.idle = layers[0], nn.Linear(2, 2)

    def forward(self, images):
        return self.used(images)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda shape, norm: nn.Sequential(mlp.build(shape, norm), Gain()), "gain is not a function of the seed"),
        (lambda shape, norm: nn.Sequential(mlp.build(shape, norm), nn.Linear(10, 9)), "shape"),
        (lambda shape, norm: Idle(mlp.build(shape, norm)), "idle.weight gets no gradient"),
        (lambda shape, norm: mlp.build(shape, norm).double(), "Double|double|float64"),
    ],
    ids=["weights", "shape", "idle", "double"],
)
def test_broken_classifiers_are_found(build, sentence):
    with pytest.raises((AssertionError, RuntimeError), match=sentence):
        testing.check_model("classify", Architecture(build, smallest=1, norms=()))


def test_a_broken_player_is_found():
    class Flat(dcgan.Discriminator):
        def forward(self, images, labels=None):
            return super().forward(images, labels).unsqueeze(1)

    with pytest.raises(AssertionError, match=r"discriminator .* shape \(4, 1\), not \(4,\)"):
        testing.check_model("gan", SimpleNamespace(Generator=dcgan.Generator, Discriminator=Flat))


def test_an_unknown_task():
    with pytest.raises(ValueError, match="did you mean 'gan'"):
        testing.check_model("gann", None)
