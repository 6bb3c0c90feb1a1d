"""Losses and models of GANs by name; listing them imports none."""

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
    group="hvd_qgenx.losses",
)
MODELS: Registry[ModuleType] = Registry(
    "model",
    {
        "dcgan": "hvd_qgenx.tasks.gan.models.dcgan",
        "resnet": "hvd_qgenx.tasks.gan.models.resnet",
    },
    group="hvd_qgenx.models",
    prefix="gan.",
)
"""Modules with a ``Generator`` and a ``Discriminator``, for the sides of images in ``models.sides``."""
NORMS = ("batch", "layer", "none")
