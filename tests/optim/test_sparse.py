"""Rows that ranks send are held against the length of their message."""

import pytest
import torch

import compressors
from hvd_qgenx.optim.sparse import _decode


@pytest.mark.parametrize("count", [3, 1 << 40, -1, -(1 << 62)])
@pytest.mark.parametrize("coding", ["none", "huffman"])
def test_more_rows_than_a_message_holds_are_refused(count, coding):
    compressor = compressors.make("minmax")
    compressor = compressor if coding == "none" else compressors.Coded(compressor, coding)
    message = torch.cat([torch.tensor([count, 0, 1]).view(torch.uint8), torch.zeros(5, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="29 bytes, which do not hold the numbers"):
        _decode(message, torch.zeros(10, 4), compressor)
    with pytest.raises(ValueError, match="5 bytes, which do not hold the numbers"):
        _decode(message[-5:], torch.zeros(10, 4), compressor)
