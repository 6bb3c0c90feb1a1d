"""ResNets of 6 n + 2 layers (He et al., CVPR 2016, section 4.2).

Shortcuts are projections (option B), as in the experiments of CHOCO-SGD (Koloskova et al., ICLR 2020), or in those
called ``a`` have no parameters (option A), as in the paper and its public weights.
"""

from torch import nn

from hvd_qgenx.nets.cifar_resnet import CifarResNet
from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

DEPTHS = (8, 20, 56, 110)


def _architecture(depth: int, projections: bool) -> Architecture:
    def build(shape: Shape, norm: str) -> nn.Module:
        return CifarResNet(depth, shape.channels, shape.classes, norm, projections)

    return Architecture(build, smallest=5)  # 5, 3, 2


resnet8, resnet20, resnet56, resnet110 = (_architecture(depth, projections=True) for depth in DEPTHS)
resnet8a, resnet20a, resnet56a, resnet110a = (_architecture(depth, projections=False) for depth in DEPTHS)
