"""Gradient compressors: flat float tensors in, one payload out.

>>> import compressors, torch
>>> q = compressors.make("minmax", bits=4)
>>> payload, context = q.compress(torch.randn(3, 1000))
>>> payload.dtype, len(payload) == q.payload_bytes((3, 1000))
(torch.uint8, True)
>>> q.decompress(payload, context).shape
torch.Size([3, 1000])
"""

from compressors.adaptive import AdaptiveLevels, CoordinateDescent, GradientDescent, Multiplier
from compressors.base import Compressor, Context, Reduction
from compressors.coded import Coded
from compressors.coded_integers import CodedIntegers, with_coding
from compressors.coding import CorruptPayloadError
from compressors.dgc import DGC
from compressors.dither import Dither
from compressors.dynamiq import DynamiQ
from compressors.exempt import Exempt
from compressors.fingerprint import fingerprint
from compressors.half import Half
from compressors.hint import Hint
from compressors.identity import Identity
from compressors.integers import IntegerCompressor, IntegerCounts, SummedCompressor
from compressors.intsgd import IntSGD
from compressors.layerwise import LayerWise
from compressors.learning import Learner, LevelUpdate
from compressors.leveled import Exponential, LevelQuantizer, Levels, Ternary
from compressors.microscaled import MXFP4, MXFP8
from compressors.minmax import MinMax
from compressors.natural import Natural
from compressors.powersgd import PowerSGD
from compressors.quantizer import BucketQuantizer
from compressors.randomk import RandomK
from compressors.registry import get, make, names, register
from compressors.rotated import Rotated, RotatedDither
from compressors.rounds import RoundsCompressor
from compressors.sign import Sign
from compressors.sparsifier import Sparsifier
from compressors.text import parse
from compressors.topk import TopK
from compressors.uniform import Uniform
from compressors.variable import Variable
from compressors.vote import Vote

__all__ = [
    "DGC",
    "MXFP4",
    "MXFP8",
    "AdaptiveLevels",
    "BucketQuantizer",
    "Coded",
    "CodedIntegers",
    "Compressor",
    "Context",
    "CoordinateDescent",
    "CorruptPayloadError",
    "Dither",
    "DynamiQ",
    "Exempt",
    "Exponential",
    "GradientDescent",
    "Half",
    "Hint",
    "Identity",
    "IntSGD",
    "IntegerCompressor",
    "IntegerCounts",
    "LayerWise",
    "Learner",
    "LevelQuantizer",
    "LevelUpdate",
    "Levels",
    "MinMax",
    "Multiplier",
    "Natural",
    "PowerSGD",
    "RandomK",
    "Reduction",
    "Rotated",
    "RotatedDither",
    "RoundsCompressor",
    "Sign",
    "Sparsifier",
    "SummedCompressor",
    "Ternary",
    "TopK",
    "Uniform",
    "Variable",
    "Vote",
    "fingerprint",
    "get",
    "make",
    "names",
    "parse",
    "register",
    "with_coding",
]
