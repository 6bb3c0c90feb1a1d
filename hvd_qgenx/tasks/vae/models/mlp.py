"""Encoder and decoder with one hidden layer each (Kingma and Welling, 2014), here with ReLU."""

from torch import nn

from hvd_qgenx.tasks.vae.models.architecture import Architecture, Shape


def _encoder(shape: Shape) -> nn.Module:
    pixels = shape.channels * shape.side**2
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, shape.width), nn.ReLU(), nn.Linear(shape.width, 2 * shape.latent)
    )


def _decoder(shape: Shape) -> nn.Module:
    image = (shape.channels, shape.side, shape.side)
    return nn.Sequential(
        *(nn.Linear(shape.latent, shape.width), nn.ReLU()),
        *(nn.Linear(shape.width, shape.channels * shape.side**2), nn.Unflatten(1, image)),
    )


mlp = Architecture(_encoder, _decoder)
