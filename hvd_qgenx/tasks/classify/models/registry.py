"""Image classifiers by name; listing the names imports none of them."""

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.tasks.classify.models.architecture import Architecture

_MODELS = "hvd_qgenx.tasks.classify.models"

MODELS: "Registry[Architecture]" = Registry(
    "model",
    {
        "mlp": f"{_MODELS}.mlp:mlp",
        "lenet": f"{_MODELS}.lenet:lenet",
        "resnet8": f"{_MODELS}.cifar_resnet:resnet8",
        "resnet20": f"{_MODELS}.cifar_resnet:resnet20",
        "resnet56": f"{_MODELS}.cifar_resnet:resnet56",
        "resnet110": f"{_MODELS}.cifar_resnet:resnet110",
        "resnet8-a": f"{_MODELS}.cifar_resnet:resnet8a",
        "resnet20-a": f"{_MODELS}.cifar_resnet:resnet20a",
        "resnet56-a": f"{_MODELS}.cifar_resnet:resnet56a",
        "resnet110-a": f"{_MODELS}.cifar_resnet:resnet110a",
        "resnet18": f"{_MODELS}.resnet:resnet18",
        "resnet34": f"{_MODELS}.resnet:resnet34",
        "resnet50": f"{_MODELS}.resnet:resnet50",
        "wrn-16-4": f"{_MODELS}.wide_resnet:wrn_16_4",
        "wrn-28-10": f"{_MODELS}.wide_resnet:wrn_28_10",
        "densenet-bc-40-12": f"{_MODELS}.densenet:densenet_bc_40_12",
        "densenet-bc-100-12": f"{_MODELS}.densenet:densenet_bc_100_12",
        "vgg11": f"{_MODELS}.vgg:vgg11",
        "vgg13": f"{_MODELS}.vgg:vgg13",
        "vgg16": f"{_MODELS}.vgg:vgg16",
        "vgg19": f"{_MODELS}.vgg:vgg19",
    },
    group="hvd_qgenx.models",
    prefix="classify.",
)
