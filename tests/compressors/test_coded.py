"""Coded payloads: what is decoded, how long they are, and what happens to those that were damaged."""

import struct
import zlib

import numpy as np
import pytest
import torch
from torch import Tensor

import compressors
from compressors import Context, Exempt, coding
from compressors.coded import Coded
from compressors.coding import CODES, CorruptPayloadError, expected, huffman
from compressors.quantizer import BucketQuantizer

SYMBOLIC = [name for name in compressors.names() if issubclass(compressors.get(name), BucketQuantizer)]
FRAME = 17
"""Bytes before the head: length, CRC-32, mode, length of the head."""


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linf4() -> BucketQuantizer:
    return compressors.make("uniform", bits=4, norm="linf", seed=3)


def bits(tensor: Tensor) -> Tensor:
    """So that NaN equals NaN."""
    return tensor.view(torch.int32)


@pytest.mark.parametrize("name", SYMBOLIC)
@pytest.mark.parametrize("code", CODES)
def test_decodes_what_the_inner_compressor_decodes(name, code):
    alone = compressors.make(name, seed=5)
    coded = Coded(compressors.make(name, seed=5), code)
    for size in (0, 1, 7, 8, 9, 1000, 1025, 20_011):
        tensor = gaussian(size) ** 3
        payload, context = coded.compress(tensor)
        assert torch.equal(bits(coded.decompress(payload, context)), bits(alone.decompress(*alone.compress(tensor))))
        assert payload.dtype == torch.uint8
        assert payload.dim() == 1
        assert len(payload) <= coded.payload_bytes(size)


@pytest.mark.parametrize("values", [{"bits": b} for b in range(1, 9)], ids=str)
@pytest.mark.parametrize("code", CODES)
def test_every_width_and_unusual_values(values, code):
    alone = compressors.make("minmax", bucket_size=100, **values)
    coded = Coded(compressors.make("minmax", bucket_size=100, **values), code)
    spike, broken = torch.zeros(900), gaussian(900)
    spike[17], broken[450] = 3, float("nan")
    for tensor in (torch.zeros(900), torch.ones(900), spike, broken, gaussian(30, 30).double(), gaussian(900).half()):
        payload, context = coded.compress(tensor)
        decoded = coded.decompress(payload, context)
        wanted = alone.decompress(*alone.compress(tensor))
        assert decoded.dtype == tensor.dtype
        assert decoded.shape == tensor.shape
        assert torch.equal(decoded.nan_to_num(7e7), wanted.nan_to_num(7e7))


def test_layout_of_a_payload():
    """Length, CRC-32, mode (0 fixed, 1 Huffman, 2 omega, 3 gamma, 4 delta), head length; head, table, stream."""
    for mode, code in enumerate(CODES, 1):
        inner = linf4()
        payload = bytes(Coded(linf4(), code).compress(100 * gaussian(5000) ** 5)[0].tolist())
        length, checksum, found, head_bytes = struct.unpack_from("<QIBI", payload)
        assert (length, checksum) == (len(payload), zlib.crc32(payload[12:]))
        assert (found, head_bytes) == (mode, 4 * 5)
        head = payload[FRAME : FRAME + 20]
        assert head == bytes(inner.compress(100 * gaussian(5000) ** 5)[0][:20].tolist())


def test_huffman_payload_made_by_hand():
    """Buckets 0 2 -2 0 0 0 0 0 with 31 levels each side and norm linf have the symbols 31 62 0 31 ...: levels
    0 31 31 0 ..., of which 0 has the codeword 0 and 31 has 1. So a bucket is 0 10 11 00000.
    """
    tensor = torch.tensor([0.0, 2, -2, 0, 0, 0, 0, 0]).repeat(64)
    inner = compressors.make("uniform", bits=6, norm="linf", bucket_size=8)
    head, _ = inner.split(inner.compress(tensor)[0], 512)
    payload, _ = Coded(inner).compress(tensor)
    stream = np.packbits(np.tile([0, 1, 0, 1, 1, 0, 0, 0, 0, 0], 64)).tolist()
    streams = [len(stream) // 4, 0, 0, 0] * 4 + stream  # each of sixteen buckets, 160 bits
    assert payload[FRAME:].tolist() == [*head.tolist(), 0x01, *[0] * 14, 0x10, *streams]


class TestLength:
    """Bits of a coordinate of a Gaussian vector, without frame, head, table and the lengths of the streams."""

    N = 1 << 18
    SLACK = 16 * 8 / N
    """Up to 16 streams, each of which ends in a byte begun."""

    def measure(self, inner: BucketQuantizer, name: str) -> tuple[float, np.ndarray, float]:
        """Length, frequencies of the levels, and signs for every coordinate."""
        vector = gaussian(self.N)
        head, symbols = inner.split(inner.for_rank(0).compress(vector)[0], self.N)
        code = coding.make(name, inner.bits, inner.alphabet, inner.center)
        payload = Coded(inner.for_rank(0), name).compress(vector)[0]
        streams = 4 * -(-self.N // (code.block << 16))
        stream = len(payload) - FRAME - len(head) - code.table_bytes - 4 * streams
        levels = np.bincount(code.levels[symbols.numpy()]) / self.N
        return 8 * stream / self.N, levels, 0.0 if inner.center is None else 1 - levels[0]

    @pytest.mark.parametrize("bits", [2, 3, 4, 8])
    @pytest.mark.parametrize(
        ("name", "values"),
        [("uniform", {"norm": "linf"}), ("uniform", {}), ("minmax", {}), ("dither", {}), ("rotated", {})],
        ids=str,
    )
    def test_huffman_is_within_3_percent_of_the_entropy(self, name, values, bits):
        """Wherever levels carry more than a bit; else within what a block's fraction of a bit may cost."""
        inner = compressors.make(name, bits=bits, **values)
        length, p, signs = self.measure(inner, "huffman")
        least = expected.entropy(p) + signs
        assert 0.999 * least < length
        if expected.entropy(p) > 1:
            assert length <= 1.03 * least
        else:
            assert length <= least + 1 / coding.make("huffman", inner.bits, inner.alphabet, inner.center).block

    def test_huffman_has_its_expected_length(self):
        inner = compressors.make("uniform", bits=8, norm="linf")
        length, p, signs = self.measure(inner, "huffman")
        assert length == pytest.approx(huffman.lengths(p, 11) @ p + signs, abs=self.SLACK)
        assert length < 1.002 * (expected.huffman_length(p) + signs)  # without the limit

    @pytest.mark.parametrize(("name", "kind"), [("elias", "omega"), ("elias-gamma", "gamma"), ("elias-delta", "delta")])
    def test_elias_has_its_expected_length(self, name, kind):
        length, p, signs = self.measure(compressors.make("uniform", bits=4), name)
        assert length == pytest.approx(expected.elias_length(p, kind) + signs, abs=self.SLACK)

    def test_uniform_l2_on_a_gaussian_bucket_of_1024(self):
        """A level is 1 with probability E|x| / unit = sqrt(2 / pi) / (32 / 7) = 0.1745, else hardly ever more
        than 0. One by one levels take at least a bit, pairs take 0.75: with 0.17 signs 0.92 bits, where
        the entropy is 0.84 and codewords for single levels of a fixed code take 1.35.
        """
        length, p, signs = self.measure(compressors.make("uniform", bits=4), "huffman")
        one = (2 / np.pi) ** 0.5 * 7 / 32
        assert signs == pytest.approx(one, rel=0.02)
        assert length == pytest.approx(expected.huffman_length([1 - one, one], block=2) + one, rel=0.01)
        assert expected.entropy(p) + signs < length < expected.bound(p)


def test_the_symbols_are_sent_as_they_are_where_that_is_shorter():
    vector = torch.rand(5000, generator=torch.Generator().manual_seed(1))
    inner = compressors.make("minmax", bits=4, seed=3)
    fixed = inner.for_rank(0).compress(vector)[0]
    for code in ("elias", "elias-gamma", "elias-delta"):
        coded = Coded(inner.for_rank(0), code)
        payload, context = coded.compress(vector)
        assert len(payload) == coded.payload_bytes(5000) == len(fixed) + FRAME
        assert torch.equal(payload[FRAME:], fixed)
        assert torch.equal(coded.decompress(payload, context), inner.decompress(fixed, context))
    few = Coded(inner.for_rank(0))
    assert len(few.compress(vector[:10])[0]) == few.payload_bytes(10)


@pytest.mark.parametrize("code", ["huffman", "elias-gamma"])
class TestDamage:
    """Damage is found by length and checksum; with these repaired too, by what the bytes say, or never."""

    def make(self, code: str) -> tuple[Coded, Tensor, Context]:
        coded = Coded(compressors.make("uniform", bits=4, seed=1), code)
        return coded, *coded.compress(gaussian(3000))

    def test_cut_short_or_added_to(self, code):
        coded, payload, context = self.make(code)
        for length in (0, 1, 16, 17, 100, len(payload) - 1):
            with pytest.raises(CorruptPayloadError, match=r"too short|but had"):
                coded.decompress(payload[:length], context)
        with pytest.raises(CorruptPayloadError, match=f"has {len(payload) + 1} bytes but had {len(payload)}"):
            coded.decompress(torch.cat([payload, payload[:1]]), context)

    def test_one_bit_changed(self, code):
        coded, payload, context = self.make(code)
        for position in range(8, len(payload)):
            damaged = payload.clone()
            damaged[position] ^= 1 << position % 8
            with pytest.raises(CorruptPayloadError, match="checksum"):
                coded.decompress(damaged, context)

    def test_payload_of_another_size(self, code):
        coded, payload, context = self.make(code)
        for size in (0, 1, 2900, 3100, 5000):
            with pytest.raises(CorruptPayloadError):
                coded.decompress(payload, Context(torch.Size([size]), context.dtype))

    def test_unknown_mode(self, code):
        coded, payload, context = self.make(code)
        with pytest.raises(CorruptPayloadError, match="unknown mode 9"):
            coded.decompress(repaired(payload[12:], {0: 9}), context)

    def test_head_length(self, code):
        coded, payload, context = self.make(code)
        for low, high in ((0, 0), (11, 0), (13, 0), (255, 255)):
            with pytest.raises(CorruptPayloadError):
                coded.decompress(repaired(payload[12:], {1: low, 2: high, 3: high, 4: high}), context)

    def test_part_left_out_or_doubled(self, code):
        coded, payload, context = self.make(code)
        for cut in (5, 20, 40, len(payload) - 13):
            for content in (payload[12 : 12 + cut], torch.cat([payload[12:], payload[-cut:]])):
                with pytest.raises(CorruptPayloadError):
                    coded.decompress(repaired(content), context)

    def test_any_content_is_decoded_or_refused(self, code):
        """Signs and norms cannot be told from others; whatever is decoded has the right shape."""
        coded, payload, context = self.make(code)
        random = np.random.default_rng(7)
        refused = 0
        for _ in range(1500):
            content = payload[12:].clone()
            for position in random.integers(5, len(content), random.integers(1, 20)):
                content[position] = int(random.integers(0, 256))
            try:
                assert coded.decompress(repaired(content), context).shape == (3000,)
            except CorruptPayloadError:
                refused += 1
        assert refused > 1000

    def test_random_bytes_of_every_mode(self, code):
        coded, _, context = self.make(code)
        random = np.random.default_rng(8)
        for trial in range(1500):
            content = torch.from_numpy(random.integers(0, 256, random.integers(0, 2000)).astype(np.uint8))
            start = {0: trial % 5, 1: 12, 2: 0, 3: 0, 4: 0}
            with pytest.raises(CorruptPayloadError):
                coded.decompress(repaired(content, {k: v for k, v in start.items() if k < len(content)}), context)


def repaired(content: Tensor, changes: dict[int, int] | None = None) -> Tensor:
    """The payload with this content, some of its bytes changed, and the right length and checksum."""
    content = content.clone()
    for position, value in (changes or {}).items():
        content[position] = value
    data = bytes(content.tolist())
    return torch.tensor(list(struct.pack("<QI", 12 + len(data), zlib.crc32(data)) + data), dtype=torch.uint8)


def test_symbols_sent_as_they_are_must_be_in_the_alphabet():
    """Four bits hold a 15 that the quantizer with 15 values never sends."""
    inner = compressors.make("uniform", bits=4)
    fixed, context = inner.compress(torch.zeros(64))
    content = torch.cat([torch.tensor([0, 4, 0, 0, 0], dtype=torch.uint8), fixed])
    coded = Coded(inner)
    assert (coded.decompress(repaired(content), context) == 0).all()
    with pytest.raises(CorruptPayloadError, match="symbol 15 where only 0 to 14 can be"):
        coded.decompress(repaired(content, {20: 0xF7}), context)


def test_a_rank_without_coding_configured_alike_can_decode_any_code():
    """The mode travels: ranks that are told other codes still understand each other."""
    vector = gaussian(4000)
    for code in CODES:
        payload, context = Coded(linf4(), code).compress(vector)
        for other in CODES:
            wanted = linf4().decompress(linf4().compress(vector)[0], context)
            assert torch.equal(Coded(linf4(), other).decompress(payload, context), wanted)


class TestCombinator:
    def test_bad_arguments(self):
        with pytest.raises(ValueError, match=r"none has no symbols to code; .* are .*minmax.*uniform"):
            Coded(compressors.make("none"))
        with pytest.raises(ValueError, match="exempt has no symbols to code"):
            Coded(Exempt(linf4()))
        with pytest.raises(ValueError, match="coded: code must be one of huffman, elias, elias-gamma, elias-delta"):
            Coded(linf4(), "zip")

    def test_promises_are_those_of_the_inner_compressor(self):
        inner = compressors.make("minmax", bits=3, bucket_size=77)
        coded = Coded(inner)
        vector = gaussian(500)
        assert not coded.exact_size
        assert coded.reduction == "gather"
        assert coded.alignment == 77
        assert coded.learner is inner.learner
        assert coded.unbiased is inner.unbiased is True
        assert coded.variance_bound(vector) == inner.variance_bound(vector) > 0
        assert coded.route((3, 4)) is coded  # not the inner one, which would send no code
        assert coded.payload_bytes((5, 100)) == inner.payload_bytes((5, 100)) + FRAME

    def test_parts_and_layout_reach_the_inner_compressor(self):
        class Recorder(compressors.MinMax):
            def lay_out(self, sizes):
                self.sizes = sizes

            def write(self, vector, payload, key, start=0, shared=None):
                self.start = start
                return super().write(2 * vector, payload, key, start, shared)

        inner = Recorder(bits=8)
        coded = Coded(inner)
        coded.lay_out([30, 70])
        payload = torch.empty(coded.payload_bytes(50), dtype=torch.uint8)
        used = coded.encode(torch.ones(50), payload, key=7, start=1024)
        decoded = torch.ones(50)
        coded.decode(payload[:used], decoded, add=True)
        assert (inner.sizes, inner.start) == ([30, 70], 1024)
        assert torch.equal(decoded, torch.full((50,), 3.0))

    def test_ranks_have_streams_of_their_own(self):
        vector = gaussian(2000)
        coded = Coded(linf4())
        copies = [coded.for_rank(rank, seed=3) for rank in (0, 0, 1)]
        first, again, other = (copy.compress(vector)[0] for copy in copies)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        alone = linf4().for_rank(1, seed=3)
        wanted = alone.decompress(*alone.compress(vector))
        assert torch.equal(coded.decompress(other, Context(vector.shape, vector.dtype)), wanted)
        assert coded.inner.stream.step == 0

    def test_restored_state_goes_on(self):
        vector = gaussian(2000)
        one = Coded(linf4().for_rank(2))
        one.compress(vector)
        resumed = Coded(compressors.make("uniform", bits=4, norm="linf"))
        resumed.load_state_dict(one.state_dict())
        assert torch.equal(one.compress(vector)[0], resumed.compress(vector)[0])

    def test_generators_and_input_are_left_alone(self):
        vector = gaussian(3000)
        before, state = vector.clone(), torch.get_rng_state()
        coded = Coded(linf4())
        payload, context = coded.compress(vector)
        kept = payload.clone()
        coded.decompress(payload, context).zero_()
        assert torch.equal(vector, before)
        assert torch.equal(payload, kept)
        assert torch.equal(torch.get_rng_state(), state)
