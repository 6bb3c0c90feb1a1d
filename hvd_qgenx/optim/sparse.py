"""Sparse gradients, as of embeddings: rows and values are exchanged, in place of all the zeros between."""

from collections.abc import Sequence

import torch
from torch import Tensor

from compressors import Compressor, Context, Identity, SummedCompressor
from hvd_qgenx.exchange import Report
from hvd_qgenx.transport import Transport

COUNT_BYTES = 8
"""Bytes of the number of rows, and of the number of every row."""


def mean_of_rows(
    gradient: Tensor | None,
    parameter: Tensor,
    compression: Compressor,
    scale: float,
    transport: Transport,
    name: str,
    report: Report,
) -> Tensor:
    """Returns the mean over ranks of sparse gradients, sparse too: the same bits on all ranks. Collective.

    Every rank sends its rows' numbers, 8 bytes each, and their values as one compressed tensor to every other.

    Args:
        gradient: this rank's, of the parameter's shape, with or without zeros in between; None stands for zeros.
        parameter: the parameter.
        compression: compresses the values, as it would compress the whole parameter; they stay as they are if it needs
            rounds among all ranks, since a gathering has none.
        scale: factor on the mean.
        transport: carries the rows.
        name: names the collective; equal on all ranks.
        report: gets the bytes and seconds.
    """
    compressor = _for_rows(compression.route(parameter.shape))
    rows, values = _rows(gradient, parameter)
    with report.clock("encode"):
        payload = compressor.compress(values)[0] if len(rows) else values.flatten()
        parts = (torch.tensor([len(rows)]), rows.cpu(), payload.cpu())
        message = torch.cat([part.contiguous().view(torch.uint8) for part in parts])
    messages = report.wait(transport.all_gather(message, None, name))
    with report.clock("decode"):
        decoded = [_decode(each, parameter, compressor) for each in messages]
        return _mean(decoded, parameter, scale)


def _for_rows(compressor: Compressor) -> Compressor:
    """Returns the compressor of rows, which ranks compress on their own."""
    if isinstance(compressor, SummedCompressor):
        alone = compressor.integers is not None and not compressor.measures
    else:
        alone = compressor.reduction != "rounds"
    return compressor if alone else Identity()


def _mean(everyone: Sequence[tuple[Tensor, Tensor]], parameter: Tensor, scale: float) -> Tensor:
    """Adds up the ranks' rows, each rank's once and in rank order, so that sums have the same bits everywhere."""
    rows = torch.cat([numbers for numbers, _ in everyone]).unique()
    total = parameter.new_zeros((len(rows), *parameter.shape[1:]))
    for numbers, values in everyone:
        total.index_add_(0, torch.searchsorted(rows, numbers).to(total.device), values.to(total.device))
    total.mul_(scale / len(everyone))
    places = rows.to(total.device)[None]
    return torch.sparse_coo_tensor(places, total, parameter.shape, is_coalesced=True, check_invariants=True)


def _rows(gradient: Tensor | None, parameter: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the numbers of a gradient's rows, each once, and their values."""
    if gradient is None:
        return torch.empty(0, dtype=torch.int64), parameter.new_empty((0, *parameter.shape[1:]))
    if not gradient.is_sparse or gradient.sparse_dim() > 1:
        gradient = gradient.to_dense().to_sparse(1)
    gradient = gradient.coalesce()
    return gradient.indices()[0], gradient.values()


def _decode(message: Tensor, parameter: Tensor, compressor: Compressor) -> tuple[Tensor, Tensor]:
    count = int(message[:COUNT_BYTES].clone().view(torch.int64)) if len(message) >= COUNT_BYTES else -1
    stop = COUNT_BYTES * (1 + count)
    if count < 0 or stop > len(message):
        raise ValueError(f"a rank sent {len(message)} bytes, which do not hold the numbers of {max(count, 0)} rows")
    rows = message[COUNT_BYTES:stop].clone().view(torch.int64)
    shape = torch.Size((count, *parameter.shape[1:]))
    if not count:
        return rows, parameter.new_empty(shape)
    payload = message[stop:].clone().view(compressor.payload_dtype(parameter.dtype))
    return rows, compressor.decompress(payload, Context(shape, parameter.dtype))
