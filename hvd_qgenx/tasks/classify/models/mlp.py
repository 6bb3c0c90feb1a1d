"""Multilayer perceptron: 512 and 256 hidden units with ReLU."""

from torch import nn

from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

HIDDEN = (512, 256)


def _build(shape: Shape, _: str) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(shape.channels * shape.side**2, HIDDEN[0]), nn.ReLU()),
        *(nn.Linear(*HIDDEN), nn.ReLU()),
        nn.Linear(HIDDEN[1], shape.classes),
    )


mlp = Architecture(_build, smallest=1, norms=())
