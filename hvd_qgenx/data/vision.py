"""Imports torchvision, also where its build does not match torch's."""

import importlib
import threading
import types

import torch


def torchvision() -> types.ModuleType:
    """Returns torchvision, also where a build for CUDA stands beside a torch for CPU.

    There its operators are not registered, and declaring them is all that the import lacks. Packages that
    import torchvision themselves can be imported once this has been called.
    """
    with _one_at_a_time:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError:
            for operator in ("nms", "qnms"):
                _declarations.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            return importlib.import_module("torchvision")


_one_at_a_time = threading.Lock()  # an operator can be declared once
_declarations = torch.library.Library("torchvision", "FRAGMENT")  # they last as long as this object
