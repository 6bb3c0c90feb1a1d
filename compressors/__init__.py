"""Gradient compressors: flat float tensors in, one payload out.

>>> import compressors, torch
>>> q = compressors.make("minmax", bits=4)
>>> payload, context = q.compress(torch.randn(3, 1000))
>>> payload.dtype, len(payload) == q.payload_bytes((3, 1000))
(torch.uint8, True)
>>> q.decompress(payload, context).shape
torch.Size([3, 1000])
"""

from compressors.base import Compressor, Context
from compressors.exempt import Exempt
from compressors.half import Half
from compressors.identity import Identity
from compressors.minmax import MinMax
from compressors.registry import get, make, names, register
from compressors.uniform import Uniform

__all__ = [
    "Compressor",
    "Context",
    "Exempt",
    "Half",
    "Identity",
    "MinMax",
    "Uniform",
    "get",
    "make",
    "names",
    "register",
]
