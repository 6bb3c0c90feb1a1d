"""Losses and models of a GAN by name. Listing them imports none."""

from types import ModuleType
from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.tasks.gan.losses import Loss

LOSSES: "Registry[Loss]" = Registry(
    "loss",
    {
        "wgan-gp": "hvd_qgenx.tasks.gan.losses:WGAN_GP",
        "wgan": "hvd_qgenx.tasks.gan.losses:WGAN",
        "hinge": "hvd_qgenx.tasks.gan.losses:HINGE",
        "ns-gan": "hvd_qgenx.tasks.gan.losses:NON_SATURATING",
        "gan": "hvd_qgenx.tasks.gan.losses:MINIMAX",
    },
)
MODELS: Registry[ModuleType] = Registry(
    "model",
    {
        "dcgan": "hvd_qgenx.tasks.gan.models.dcgan",
        "resnet": "hvd_qgenx.tasks.gan.models.resnet",
    },
)
"""Each has a ``Generator``, a ``Discriminator``, and in ``SMALLEST`` the sides of images that they take."""
NORMS = ("batch", "layer", "none")
