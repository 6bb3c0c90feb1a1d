"""Signs at the mean magnitude: the wire by hand, bytes, the error, zeros, numbers that are not finite."""

import math
import struct

import pytest
import torch

import compressors


def decoded(compressor: compressors.Compressor, vector: torch.Tensor) -> torch.Tensor:
    return compressor.decompress(*compressor.compress(vector))


def test_the_wire_by_hand():
    """Twice the mean magnitude of each bucket, then a bit for every coordinate, set where it is not negative."""
    compressor = compressors.Sign(bucket_size=4)
    payload, context = compressor.compress(torch.tensor([1.0, -2.0, 3.0, 0.0, -1.0, -3.0]))
    assert bytes(payload.tolist()) == struct.pack("<2f2B", 3.0, 4.0, 0b1101, 0b00)
    assert compressor.decompress(payload, context).tolist() == [1.5, -1.5, 1.5, 1.5, -2.0, -2.0]


@pytest.mark.parametrize(
    ("numel", "bucket", "size"), [(0, 8, 0), (1, 8, 5), (4096, 1024, 16 + 512), (1030, 1024, 8 + 129)]
)
def test_bytes(numel, bucket, size):
    assert compressors.Sign(bucket_size=bucket).payload_bytes(numel) == size


def test_the_error_is_the_bound_and_least_among_magnitudes():
    vector = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    compressor = compressors.Sign(bucket_size=1000)
    found = decoded(compressor, vector).double()
    error = float((found - vector).square().sum())
    assert error == pytest.approx(compressor.variance_bound(vector), rel=1e-5)
    assert error / float(vector.square().sum()) == pytest.approx(1 - 2 / math.pi, abs=0.02)
    for factor in (0.99, 1.01):
        assert float((factor * found - vector).square().sum()) > error


def test_zeros_stay_zero_where_there_is_nothing_else():
    compressor = compressors.Sign(bucket_size=8)
    assert decoded(compressor, torch.zeros(20)).tolist() == [0.0] * 20


def test_the_key_does_not_matter():
    vector = torch.randn(3000)
    one = compressors.Sign()
    assert torch.equal(one.compress(vector)[0], one.for_rank(2, seed=7).compress(vector)[0])
    assert not one.unbiased


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found(bad):
    compressor, vector = compressors.Sign(bucket_size=100), torch.randn(350)
    vector[150] = bad
    payload, context = compressor.compress(vector)
    assert not compressor.is_finite(payload, 350)
    found = compressor.decompress(payload, context)
    assert found[100:200].isnan().all()
    assert found[:100].isfinite().all()
    assert found[200:].isfinite().all()


def test_it_has_no_width():
    with pytest.raises(ValueError, match="sign has no parameter 'bits'; it takes bucket_size"):
        compressors.make("sign", bits=1)
