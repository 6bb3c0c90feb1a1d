"""Latents and labels that generators are sampled and scored with."""

import torch

from hvd_qgenx.data import InMemory
from hvd_qgenx.tasks.gan.generation import Inputs
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.transport.inprocess import InProcess

IMAGES = InMemory("two", torch.zeros(600, 1, 8, 8, dtype=torch.uint8), torch.arange(600) % 10 // 9)
"""Of the first class nine times as many as of the second."""


def test_labels_are_as_frequent_as_in_the_data():
    _, labels = Inputs(4, (540, 60)).draw(20_000, 1, 2)
    assert labels is not None
    share = float(labels.double().mean())
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5


def test_a_class_without_images_is_never_drawn():
    _, labels = Inputs(4, (5, 0, 3)).draw(1000, 1)
    assert labels is not None
    assert set(labels.tolist()) == {0, 2}


def test_labels_leave_the_latents_as_they_are():
    with_labels, without = (Inputs(4, counts).draw(9, 3)[0] for counts in ((1, 2), ()))
    assert torch.equal(with_labels, without)


def test_a_conditional_run_draws_labels_as_its_images_have_them():
    config = GanConfig(conditional=True, filters=4, latent=8, batch_size=4).completed()
    task = GanTask(config, IMAGES, InProcess())
    assert task.inputs == Inputs(8, (540, 60))
    assert task.state_dict()["images"]["counts"] == [540, 60]
    assert GanTask(GanConfig(filters=4, latent=8).completed(), IMAGES, InProcess()).inputs == Inputs(8)
