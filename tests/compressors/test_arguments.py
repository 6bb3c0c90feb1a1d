"""Arguments that kernels would take at their word are refused before a byte is read or written."""

import pytest
import torch

import compressors
from compressors import Coded, Compressor, Context, Exempt
from compressors.base import checked
from compressors.coding import frame
from compressors.kernels import cpu, reference
from compressors.quantizer import BucketQuantizer
from compressors.scaled import as_contraction
from hvd_qgenx.exchange.codec import Codec

GUARD = 4096
LENGTH = 1000


def compressors_of_every_kind() -> dict[str, Compressor]:
    found = {name: compressors.make(name) for name in compressors.names()}
    coded = {f"coded-{name}": Coded(each) for name, each in found.items() if isinstance(each, BucketQuantizer)}
    scaled = {f"scaled-{name}": as_contraction(found[name]) for name in ("minmax", "variable")}
    return {**found, **coded, **scaled, "exempt": Exempt(found["minmax"])}


every = pytest.mark.parametrize("compressor", compressors_of_every_kind().values(), ids=compressors_of_every_kind())


def payload_of(compressor: Compressor, vector: torch.Tensor) -> torch.Tensor:
    payload = torch.empty(compressor.payload_bytes(len(vector), vector.dtype), dtype=torch.uint8)
    return payload[: compressor.encode(vector, payload, key=1)]


@every
@pytest.mark.parametrize("part", ["all but a byte", "half", "nothing"])
def test_a_payload_without_room_is_refused_before_a_byte_is_written(compressor, part):
    room = compressor.payload_bytes(LENGTH)
    given = {"all but a byte": room - 1, "half": room // 2, "nothing": 0}[part]
    buffer = torch.full((room + GUARD,), 0xA5, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"need room for {room} bytes, not {given}"):
        compressor.encode(torch.randn(LENGTH), buffer[:given], key=1)
    assert (buffer == 0xA5).all()


@every
def test_a_payload_of_another_length_is_refused(compressor):
    payload = payload_of(compressor, torch.randn(LENGTH))
    for other in (payload[:-1], payload[: len(payload) // 2], payload[:0], torch.cat([payload, payload[:1]])):
        vector = torch.full((LENGTH,), 7.0)
        with pytest.raises(ValueError, match="payload"):
            compressor.decode(other, vector)
        assert (vector == 7).all()
        with pytest.raises(ValueError, match="payload"):
            compressor.decompress(other, Context(torch.Size((LENGTH,)), torch.float32))
        if compressor.exact_size:
            with pytest.raises(ValueError, match="payload"):
                compressor.is_finite(other, LENGTH)


@every
@pytest.mark.parametrize(
    "dtype", [torch.int32, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2], ids=str
)
def test_vectors_of_other_dtypes_are_refused(compressor, dtype):
    payload, vector = payload_of(compressor, torch.randn(LENGTH)), torch.zeros(LENGTH, dtype=dtype)
    step = compressor.stream.step
    for refused in (
        lambda: compressor.compress(vector),
        lambda: compressor.encode(vector, torch.empty(1 << 16, dtype=torch.uint8), key=1),
        lambda: compressor.decode(payload, vector),
        lambda: compressor.decompress(payload, Context(vector.shape, dtype)),
        lambda: Codec([(compressor, LENGTH)], dtype),
    ):
        with pytest.raises(TypeError, match=f"only floating-point tensors of 16, 32 or 64 bits .*, not {dtype}"):
            refused()
    assert compressor.stream.step == step


@every
def test_payloads_of_other_dtypes_are_refused(compressor):
    payload = payload_of(compressor, torch.randn(LENGTH))
    for refused in (
        lambda: compressor.encode(torch.randn(LENGTH), torch.empty(1 << 16, dtype=torch.int32), key=1),
        lambda: compressor.decode(payload.view(torch.int8), torch.zeros(LENGTH)),
        lambda: compressor.decompress(payload.to(torch.int32), Context(torch.Size((LENGTH,)), torch.float32)),
        lambda: compressor.is_finite(payload.view(torch.int8), LENGTH),
    ):
        with pytest.raises(TypeError, match="a payload is uint8, not"):
            refused()


@every
def test_memory_that_is_not_contiguous_is_refused(compressor):
    payload, room = payload_of(compressor, torch.randn(LENGTH)), compressor.payload_bytes(LENGTH)
    memory = torch.zeros(2 * LENGTH)
    for vector in (memory[::2], memory[:1].expand(LENGTH), memory[:LENGTH].view(10, 100)):
        with pytest.raises(ValueError, match="a vector must be 1-D and contiguous"):
            compressor.decode(payload, vector)
        with pytest.raises(ValueError, match="a vector must be 1-D and contiguous"):
            compressor.encode(vector, torch.empty(room, dtype=torch.uint8), key=1)
    assert (memory == 0).all()
    with pytest.raises(ValueError, match="a payload must be 1-D and contiguous"):
        compressor.encode(torch.randn(LENGTH), torch.empty(2 * room, dtype=torch.uint8)[::2], key=1)
    with pytest.raises(ValueError, match="a payload must be 1-D and contiguous"):
        compressor.decode(torch.stack([payload, payload], dim=1)[:, 0], torch.zeros(LENGTH))


def test_two_devices_are_refused():
    with pytest.raises(ValueError, match="on one device, not on cpu and meta"):
        compressors.make("minmax").decode(torch.empty(8, dtype=torch.uint8, device="meta"), torch.zeros(3))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
def test_one_element_may_have_any_stride(compressor, dtype):
    value = torch.arange(1, 11, dtype=dtype)[::10]
    assert value.stride() == (10,)
    payloads = [compressor.for_rank(0).compress(each)[0] for each in (value, value.clone())]
    assert torch.equal(*payloads)
    assert compressor.decompress(payloads[0], Context(value.shape, dtype)).shape == (1,)
    target = torch.zeros(10, dtype=dtype)
    compressor.decode(payload_of(compressor, value), target[::10])
    assert (target[1:] == 0).all()


@every
def test_no_memory_is_taken_for_a_vector_that_a_payload_cannot_hold(compressor):
    payload = payload_of(compressor, torch.randn(LENGTH))
    if compressor.exact_size:
        with pytest.raises(ValueError, match="cannot hold"):
            compressor.decompress(payload, Context(torch.Size((1 << 20, 1 << 20)), torch.float32))


@pytest.mark.parametrize("name", ["huffman", "elias-gamma"])
def test_a_frame_holds_at_least_a_bit_for_every_block(name):
    coded = Coded(compressors.make("terngrad", bucket_size=1 << 40), name)
    payload = payload_of(coded, torch.ones(LENGTH))
    with pytest.raises(ValueError, match=f"does not hold {1 << 39} coordinates"):
        frame.read(payload.numpy(), coded._symbols(1 << 39), name)


def test_half_a_payload_is_not_taken_for_another_dtype():
    none = compressors.make("none")
    payload, context = none.compress(torch.randn(LENGTH))
    with pytest.raises(ValueError, match="a payload of 2000 bytes cannot hold 1000 coordinates"):
        none.decompress(payload.view(torch.uint8)[:2000], context)
    with pytest.raises(ValueError, match="a payload of 2000 bytes cannot hold 1000 coordinates"):
        none.decode(payload.view(torch.uint8)[:2000], torch.zeros(LENGTH))


def test_an_exchange_adds_up_halves_in_float32():
    """The one place where a vector is wider than that which was encoded; the length is still that of halves."""
    codec, half = Codec([(compressors.make("none"), 3)], torch.float16), torch.tensor([1.0, 2.0, 3.0]).half()
    total = torch.ones(3)
    codec.decode(half.view(torch.uint8), 0, total, add=True)
    assert total.tolist() == [2, 3, 4]
    for wrong in (half.float().view(torch.uint8), half.view(torch.uint8)[:3]):
        with pytest.raises(ValueError, match="cannot hold the coordinates 0 to 3"):
            codec.decode(wrong, 0, total)
        with pytest.raises(ValueError, match="cannot hold the coordinates 0 to 3"):
            codec.is_finite(wrong, 0, 3)


@pytest.mark.parametrize("kernel", [cpu, reference], ids=["cpu", "reference"])
def test_widths_of_buckets_are_held_against_the_payload(monkeypatch, kernel):
    monkeypatch.setattr(compressors.kernels, "for_device", lambda device: kernel)
    variable = compressors.make("variable", bits=1, bucket_size=256)
    payload = payload_of(variable, torch.ones(LENGTH))
    for widths in (0x88, 0x11 * 9, 0x15, 0x0E):
        damaged = payload.clone()
        damaged[8:10] = widths
        for refused in (
            lambda damaged=damaged: variable.decode(damaged, torch.zeros(LENGTH)),
            lambda damaged=damaged: variable.is_finite(damaged, LENGTH),
        ):
            with pytest.raises(ValueError, match="wider buckets than its 154 bytes can hold"):
                refused()
    payload[8:10] = 0xFF  # Inf or NaN in every bucket, for which no bytes are sent
    assert not variable.is_finite(payload, LENGTH)
    decoded = torch.zeros(LENGTH)
    variable.decode(payload, decoded)
    assert decoded.isnan().all()


@pytest.mark.parametrize("name", ["intsgd", "vote"])
def test_sums_are_held_to_the_same(name):
    one = compressors.make(name)
    if one.integers is not None:
        one.integers.set_scales([1.0])
    message = one.add_up([payload_of(one, torch.randn(LENGTH))], LENGTH)
    with pytest.raises(TypeError, match="floating-point"):
        one.decode_mean(message, torch.zeros(LENGTH, dtype=torch.int32))
    with pytest.raises(ValueError, match="1-D and contiguous"):
        one.decode_mean(message, torch.zeros(2 * LENGTH)[::2])


@every
@pytest.mark.parametrize("kernel", [cpu, reference], ids=["cpu", "reference"])
def test_a_vector_may_be_empty(monkeypatch, compressor, kernel):
    monkeypatch.setattr(compressors.kernels, "for_device", lambda device: kernel)
    payload = payload_of(compressor, torch.empty(0))
    compressor.decode(payload, torch.empty(0))
    assert compressor.is_finite(payload, 0)


def test_nothing_is_copied_where_nothing_is_wrong():
    vector, payload = torch.randn(5), torch.empty(9, dtype=torch.uint8)
    assert all(a is b for a, b in zip(checked(vector, payload), (vector, payload), strict=True))


def test_a_factor_that_is_no_number_is_not_called_finite():
    scaled = as_contraction(compressors.make("minmax"))
    payload = payload_of(scaled, torch.randn(LENGTH))
    assert scaled.is_finite(payload, LENGTH)
    for factor, is_finite in ((torch.nan, False), (torch.inf, False), (3e38, False), (100.0, True), (-1.0, True)):
        payload[:4] = torch.tensor([factor]).view(torch.uint8)
        assert scaled.is_finite(payload, LENGTH) == is_finite


def test_sums_stop_at_blocks_that_an_encoder_found_not_finite():
    """By their first code, in every kernel: what a damaged payload holds elsewhere is a number to all."""
    one = compressors.make("intsgd")
    one.set_scales([1.0])
    payload = payload_of(one, torch.randn(3000))
    for place, is_finite in ((5, True), (1024, False)):
        damaged = payload.clone()
        damaged[place] = 2 * one.most + 1
        sums = [torch.zeros(3000, dtype=torch.int32) for _ in range(2)]
        for kernel, total in zip((cpu, reference), sums, strict=True):
            assert kernel.add_integers(damaged, 8, one.most, total) == is_finite
        assert torch.equal(*sums)
        assert one.is_finite(damaged, 3000) == is_finite
