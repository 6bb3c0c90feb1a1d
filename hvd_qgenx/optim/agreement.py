"""Compares what all ranks must have in common before they exchange gradients."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from compressors import Compressor, fingerprint
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.buffers import FlatBuffer, gradient_strides
from hvd_qgenx.transport import Transport


def check_agreement(
    names: Mapping[Tensor, str],
    compression: Compressor,
    buffers: Sequence[FlatBuffer],
    slices: Sequence[Sequence[int]],
    transport: Transport,
    name: str,
) -> None:
    """Compares parameters, compressors, slices and the bits that compressors make of the same numbers. Collective.

    Args:
        names: parameters, with their names.
        compression: the compressor of the whole optimizer.
        buffers: where the parameters lie.
        slices: bounds of the slices of every buffer.
        transport: carries what is compared.
        name: names the collective; equal on all ranks.

    Raises:
        ConfigurationError: on all ranks, if two of them differ.
    """
    segments = [(buffer, segment) for buffer in buffers for segment in buffer.codec.segments]
    mine = {
        "given different parameters": [(called, tuple(p.shape), str(p.dtype)) for p, called in names.items()],
        "given parameters of different memory layouts": [gradient_strides(parameter) for parameter in names],
        "given different compression": repr(compression),
        "given different exchanges": repr(slices),
        "found to compress the same numbers to different bits; all need the same versions of the same packages, "
        "numba or triton among them, or none has them": [
            fingerprint(segment.compressor, buffer.vector.dtype, buffer.vector.device) for buffer, segment in segments
        ],
    }
    everyone = transport.all_gather_object(mine, name)
    for problem in mine:
        for rank, theirs in enumerate(everyone):
            if theirs[problem] != everyone[0][problem]:
                raise ConfigurationError(f"ranks 0 and {rank} were {problem}")
