"""Autoencoders by name; listing the names imports none of them."""

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.tasks.vae.models.architecture import Architecture

_MODELS = "hvd_qgenx.tasks.vae.models"

MODELS: "Registry[Architecture]" = Registry(
    "model",
    {"mlp": f"{_MODELS}.mlp:mlp", "conv": f"{_MODELS}.conv:conv"},
    group="hvd_qgenx.models",
    prefix="vae.",
)

WIDTHS = {"mlp": 400, "conv": 32}
"""Default widths: of the MLP's hidden layers, and of the outermost feature maps."""
