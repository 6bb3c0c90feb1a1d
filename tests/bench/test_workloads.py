"""Gradients to exchange: known shapes, and numbers that all ranks can make again."""

import torch

from hvd_qgenx.bench.registry import MODELS
from hvd_qgenx.bench.workloads import Workload, vector
from hvd_qgenx.data.vision import torchvision


def test_resnet18_is_that_of_torchvision():
    with torch.device("meta"):
        theirs = torchvision().models.resnet18(num_classes=10)
    shapes = MODELS["resnet18"]()
    assert shapes == tuple(tuple(parameter.shape) for parameter in theirs.parameters())
    assert len(shapes) == 62
    assert Workload("resnet18", shapes).numel == 11_181_642


def test_the_gan_has_both_players():
    assert 2.6e6 < Workload("gan", MODELS["gan"]()).numel < 2.65e6


def test_gradients_are_those_of_the_rank():
    workload = Workload("two", ((300, 400), (5000,)))
    first, again, other = workload.gradients(0), workload.gradients(0), workload.gradients(1)
    assert [gradient.shape for gradient in first] == [(300, 400), (5000,)]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    for one, two in zip(first, other, strict=True):
        assert not torch.equal(one, two)
        torch.testing.assert_close(one.std(), two.std(), rtol=0.05, atol=0)  # the layer's scale is shared
    assert not torch.isclose(first[0].std(), first[1].std(), rtol=0.05)


def test_a_vector_is_compressed():
    assert vector(1000).shapes == ((1, 1000),)
