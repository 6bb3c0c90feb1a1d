"""LeNet-5 (LeCun et al., Proceedings of the IEEE 1998), with ReLU, max pooling and a linear last layer.

Images smaller than 32x32 are put in the middle of 32x32, as the paper does with its 28x28.
"""

from torch import nn

from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

SIDE = 32


def _build(shape: Shape, _: str) -> nn.Module:
    margin = max(0, (SIDE - shape.side + 1) // 2)
    inner = ((shape.side + 2 * margin - 4) // 2 - 4) // 2
    return nn.Sequential(
        *(nn.Conv2d(shape.channels, 6, 5, padding=margin), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * inner**2, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, shape.classes),
    )


lenet = Architecture(_build, smallest=1, norms=())
