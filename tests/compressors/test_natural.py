"""Natural compression: codes by hand, kernels against their definition, probabilities, variance, the window's ends."""

import math

import pytest
import torch

import compressors
from compressors.kernels import cpu, natural
from compressors.kernels.layout import packed_bytes
from compressors.kernels.natural import Window

KEY = 0xFEDC_BA98_7654_3210
SIZES = (1, 5, 16, 1000, 1024, 1500, 5000)
widths = pytest.mark.parametrize("bits", [8, 9])


def every_scale(numel: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of all magnitudes, with zeros, Inf and NaN where there is room."""
    vector = torch.randn(numel, generator=torch.Generator().manual_seed(numel)) * torch.logspace(-44, 38, numel)
    if numel >= 1000:
        vector[300:305] = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0])
    return vector.to(dtype)


def roundtrip(vector: torch.Tensor, bits: int = 9, key: int = KEY) -> torch.Tensor:
    compressor = compressors.Natural(bits=bits)
    payload = torch.empty(compressor.payload_bytes(len(vector)), dtype=torch.uint8)
    compressor.encode(vector, payload, key)
    decoded = torch.empty_like(vector)
    compressor.decode(payload, decoded)
    return decoded


@widths
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_kernels_agree_with_the_reference(bits, dtype):
    for numel in SIZES:
        vector = every_scale(numel, dtype)
        ours, theirs = (torch.full((packed_bytes(bits, 1024, numel),), 0xA5, dtype=torch.uint8) for _ in range(2))
        cpu.encode_natural(vector, bits, KEY, ours)
        natural.encode_natural(vector, bits, KEY, theirs)
        assert torch.equal(ours, theirs)
        for add in (False, True):
            found, expected = vector.clone(), vector.clone()
            cpu.decode_natural(ours, bits, found, add)
            natural.decode_natural(ours, bits, expected, add)
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_the_wire_by_hand():
    """Powers of two are exact: their exponents, with float32's bias or less 33, and the signs."""
    vector = torch.tensor([1.0, -2.0, 0.5, 0.0, -(2.0**32), math.nan, 2.0**-93, 4.0, -8.0])
    wide, _ = compressors.Natural(bits=9).compress(vector)
    assert wide.tolist() == [127, 128, 126, 0, 159, 255, 34, 129, 130, *[0] * 7, 0b00010100, 0b00000001]
    narrow, _ = compressors.Natural(bits=8).compress(vector)
    assert narrow.tolist() == [94, 95 | 128, 93, 0, 126 | 128, 127, 1, 96, 97 | 128, *[0] * 7]
    for bits in (8, 9):
        decoded = roundtrip(vector, bits)
        assert decoded[5].isnan()
        assert torch.equal(decoded[[0, 1, 2, 3, 4, 6, 7, 8]], vector[[0, 1, 2, 3, 4, 6, 7, 8]])


@pytest.mark.parametrize(("bits", "numel", "size"), [(9, 2048, 2304), (8, 2048, 2048), (9, 1030, 1152 + 9), (8, 3, 8)])
def test_bytes(bits, numel, size):
    assert compressors.Natural(bits=bits).payload_bytes(numel) == size


@widths
def test_every_number_becomes_a_neighbouring_power_of_two(bits):
    vector = every_scale(5000)
    decoded, window = roundtrip(vector, bits), Window(bits)
    inside = vector.isfinite() & (vector.abs() >= window.least) & (vector.abs() <= window.greatest)
    lower = torch.exp2(vector[inside].double().abs().log2().floor())
    assert inside.sum() > 2000
    assert ((decoded[inside].abs() == lower) | (decoded[inside].abs() == 2 * lower)).all()
    assert torch.equal(decoded[inside].sign(), vector[inside].sign())
    below = vector.abs() < window.least
    assert set(decoded[below].abs().tolist()) <= {0.0, window.least}
    assert torch.equal(decoded.isnan(), ~vector.isfinite())


@widths
def test_probabilities_are_exact_to_the_last_random_bit(bits, monkeypatch):
    """Of the 2^23 random numbers the largest round up, as many as the mantissa says."""
    cases = {1.0: 0, 1.5: 2**22, -(1 + 2**-23): 1, 3.75: 7 * 2**20, 2 - 2**-23: 2**23 - 1}
    cases |= {Window(bits).least * share: int(share * 2**23) for share in (0.0, 0.25, 0.5, 2**-20)}
    for value, ups in cases.items():
        random = torch.tensor([0, 2**23 - ups - 1, min(2**23 - ups, 2**23 - 1), 2**23 - 1])
        monkeypatch.setattr(natural, "chances", lambda *_, random=random: random.view(1, -1) * 2.0**-23)
        packed = torch.empty(packed_bytes(bits, 1024, 4), dtype=torch.uint8)
        natural.encode_natural(torch.full((4,), value), bits, 0, packed)
        decoded = torch.empty(4)
        natural.decode_natural(packed, bits, decoded)
        assert (decoded.abs() > abs(value)).tolist() == [False, False, ups > 0, ups > 0]


@widths
def test_largest_variance_is_an_eighth(bits):
    """At 4/3 of a power of two, where the bound is met; the mean is the number."""
    vector = torch.full((200_000,), -4 / 3 * 2.0**-9)
    decoded = roundtrip(vector, bits).double()
    assert float((decoded / vector - 1).square().mean()) == pytest.approx(1 / 8, rel=0.02)
    assert float((decoded / vector).mean()) == pytest.approx(1.0, abs=5 / math.sqrt(8 * 200_000))
    bound = compressors.Natural(bits=bits).variance_bound(vector)
    assert bound == pytest.approx(float(vector.double().square().sum()) / 8)


def test_error_of_normal_numbers():
    vector = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    error = (roundtrip(vector) - vector).square().sum() / vector.square().sum()
    assert 0.07 < error < 1 / 8


@widths
def test_below_the_window(bits):
    """Many small numbers keep their sum, and the variance is under its bound."""
    least, numel = Window(bits).least, 1 << 16
    vector = torch.full((numel,), least / 64)
    decoded = roundtrip(vector, bits).double() / least
    ups = float(decoded.sum())
    assert ups == pytest.approx(numel / 64, abs=5 * math.sqrt(numel / 64))
    bound = compressors.Natural(bits=bits).variance_bound(vector) / least**2 / numel
    assert bound == pytest.approx(1 / 64, rel=1e-5)
    errors = (decoded - 1 / 64).square()
    assert float(errors.mean()) <= bound + 5 * float(errors.std()) / math.sqrt(numel)


def test_above_the_window_of_8_bits():
    vector = torch.tensor([1e10, -1e30, 2.0**32, -(2.0**31)])
    assert roundtrip(vector, 8).tolist() == [2.0**32, -(2.0**32), 2.0**32, -(2.0**31)]
    bound = compressors.Natural(bits=8).variance_bound(vector)
    assert bound >= float((roundtrip(vector, 8).double() - vector.double()).square().sum())


@widths
@pytest.mark.parametrize("numel", [0, 1, 700, 1024, 3000])
def test_what_is_not_finite_is_found(bits, numel):
    compressor = compressors.Natural(bits=bits)
    for place in {0, numel // 2, numel - 1} if numel else ():
        for bad in (math.nan, math.inf, -math.inf):
            vector = torch.randn(numel)
            vector[place] = bad
            payload, context = compressor.compress(vector)
            assert not compressor.is_finite(payload, numel)
            assert compressor.decompress(payload, context).isnan().nonzero().tolist() == [[place]]
    assert compressor.is_finite(compressor.compress(torch.randn(numel))[0], numel)


def test_numbers_too_large_for_sums_are_found():
    compressor = compressors.Natural()
    assert compressor.is_finite(compressor.compress(torch.tensor([2.0**109]))[0], 1)
    assert not compressor.is_finite(compressor.compress(torch.tensor([2.0**110]))[0], 1)


@widths
def test_the_key_decides_every_bit(bits):
    vector = torch.randn(3000)
    assert torch.equal(roundtrip(vector, bits), roundtrip(vector, bits))
    assert not torch.equal(roundtrip(vector, bits), roundtrip(vector, bits, KEY + 1))


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="natural: bits must be one of 8, 9, not 4"):
        compressors.make("natural", bits=4)
