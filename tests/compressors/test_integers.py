"""Integers: kernels against their definition, exact sums, scales."""

import math

import numpy as np
import pytest
import torch

import compressors
from compressors.integers import WIDTHS, IntegerCounts, squared_norm
from compressors.kernels import cpu, integers
from compressors.kernels.layout import packed_bytes
from compressors.kernels.strata import Strata
from tests.compressors import conformance

KEY = 0xFEDC_BA98_7654_3210
SIZES = (1, 5, 16, 1000, 1024, 1500, 5000)
SCALE = float(np.float32(0.7371))
INVERSE = float(np.float32(1 / SCALE))


def most(bits: int, ranks: int = 3) -> int:
    return make(bits, ranks=ranks).most


def make(bits: int = 8, ranks: int = 1, rank: int = 0, **values) -> compressors.IntSGD:
    return compressors.IntSGD(bits=bits, **values).for_rank(rank, 0, ranks)


def normal(numel: int, seed: int = 0, size: float = 1.0) -> torch.Tensor:
    return size * torch.randn(numel, generator=torch.Generator().manual_seed(seed))


class TestKernels:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("bits", WIDTHS)
    def test_they_agree_with_the_reference(self, bits, dtype):
        largest = min(most(bits), 10**4 if dtype == torch.float16 else 10**9)
        for numel in SIZES:
            for key in (None, KEY):
                vector = normal(numel, size=0.5 * largest if bits > 4 else 1.0).to(dtype)
                if numel == 5000:
                    vector[1300] = torch.inf
                packed, other = (
                    torch.full((packed_bytes(bits, 1024, numel),), fill, dtype=torch.uint8) for fill in (0, 255)
                )
                arguments = vector, SCALE, bits, most(bits), key
                assert cpu.encode_integers(*arguments, other) == integers.encode_integers(*arguments, packed)
                assert torch.equal(packed, other)
                assert integers.hold_numbers(packed, bits, most(bits), numel) == (numel < 5000)

                sums, others = torch.full((numel,), 7, dtype=torch.int32), torch.full((numel,), 7, dtype=torch.int32)
                finite = integers.add_integers(packed, bits, most(bits), sums)
                assert cpu.add_integers(packed, bits, most(bits), others) == finite == (numel < 5000)
                assert torch.equal(sums, others)

                for add in (False, True):
                    decoded, found = vector.clone(), vector.clone()
                    integers.decode_integers(packed, bits, most(bits), INVERSE, decoded, add)
                    cpu.decode_integers(packed, bits, most(bits), INVERSE, found, add)
                    assert torch.equal(decoded.nan_to_num(3), found.nan_to_num(3))

    @pytest.mark.parametrize("bits", [2, 7, 8, 9, 10, 11, 17, 24, 32])
    def test_sums_survive_packing(self, bits):
        top = (1 << bits - 1) - 1
        for numel in SIZES:
            random = torch.Generator().manual_seed(numel)
            sums = torch.randint(-top, top + 1, (numel,), generator=random).int()
            packed, other = (torch.empty(packed_bytes(bits, 1024, numel), dtype=torch.uint8) for _ in range(2))
            integers.pack_integers(sums, bits, top, packed)
            cpu.pack_integers(sums, bits, top, other)
            assert torch.equal(packed, other)
            decoded = torch.empty(numel, dtype=torch.float32)
            cpu.decode_integers(packed, bits, top, 1.0, decoded)
            assert torch.equal(decoded, sums.float())

    def test_threads_do_not_matter(self):
        vector, bits = normal(200_000), 4
        packed = [torch.empty(packed_bytes(bits, 1024, len(vector)), dtype=torch.uint8) for _ in range(2)]
        facts = []
        for number, each in zip((1, 3), packed, strict=True):
            compressors.kernels.set_threads(number)
            try:
                facts.append(cpu.encode_integers(vector, 2.0, bits, 7, KEY, each))
            finally:
                compressors.kernels.set_threads(1)
        assert facts[0] == facts[1]
        assert facts[0].clipped > 0
        assert torch.equal(*packed)

    def test_rounding_by_hand(self):
        """Codes of 4 bits lie two to a byte, eighths of the block apart: here one coordinate each."""
        vector = torch.tensor([0.5, 1.5, -2.5, 7.0, 9.0, -9.0, 0.0, 3.2])
        packed = torch.empty(4, dtype=torch.uint8)
        rounded = cpu.encode_integers(vector, 1.0, 4, 7, None, packed)
        assert rounded == (7, 2)
        codes = [7 + number for number in (0, 2, -2, 7, 7, -7, 0, 3)]
        assert packed.tolist() == [low | high << 4 for low, high in zip(codes[:4], codes[4:], strict=True)]


class TestSums:
    @pytest.mark.parametrize("bits", WIDTHS)
    @pytest.mark.parametrize("ranks", [1, 2, 3, 5, 7, 8, 16])
    def test_they_are_exact(self, ranks, bits):
        """Of saturated integers too, against int64."""
        numel, everyone = 2500, [make(bits, ranks, rank) for rank in range(ranks)]
        for name, spread in (("moderate", 1.0), ("saturated", 1e12)):
            payloads, expected = [], torch.zeros(numel, dtype=torch.int64)
            for rank, one in enumerate(everyone):
                one.set_scales([SCALE])
                vector = normal(numel, rank, spread) if name == "moderate" else torch.full((numel,), spread)
                payloads.append(one.compress(vector)[0])
                own = torch.zeros(numel, dtype=torch.int32)
                integers.add_integers(payloads[-1], bits, one.most, own)
                expected += own.long()
            message = everyone[0].add_up(payloads, numel)
            largest = int(expected.abs().max())
            assert everyone[0].counts.largest_sum == largest
            assert message[0] == largest.bit_length() + 1
            mean = torch.empty(numel)
            assert everyone[-1].decode_mean(message, mean)
            assert torch.equal(mean, expected.float() * float(np.float32(1 / (SCALE * ranks))))
            assert name == "moderate" or largest == ranks * everyone[0].most

    def test_a_sum_of_zeros_is_a_byte(self):
        one = make(first_scale=1.0)
        message = one.add_up([one.compress(torch.zeros(5000))[0]], 5000)
        assert message.tolist() == [0]
        mean = torch.ones(5000)
        assert one.decode_mean(message, mean)
        assert not mean.any()

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_stays_so(self, bad):
        one = make(4, ranks=2, first_scale=1.0)
        vector = normal(3000)
        vector[2900] = bad
        payload, context = one.compress(vector)
        assert not one.is_finite(payload, 3000)
        decoded = one.decompress(payload, context)
        assert decoded[2048:].isnan().all()
        assert decoded[:2048].isfinite().all()
        message = one.add_up([one.compress(normal(3000))[0], payload], 3000)
        mean = torch.empty(3000)
        assert not one.decode_mean(message, mean)
        assert mean.isnan().all()

    def test_what_is_no_sum_is_refused(self):
        one = make(first_scale=1.0)
        message = one.add_up([one.compress(normal(100))[0]], 100)
        for wrong in (message[:-1], message[:0], torch.tensor([1, 0]).byte(), torch.tensor([77]).byte()):
            with pytest.raises(ValueError, match=r"intsgd: a (sum|payload) of"):
                one.decode_mean(wrong, torch.empty(100))
        with pytest.raises(ValueError, match="cannot hold 100 integers"):
            one.add_up([torch.zeros(99, dtype=torch.uint8)], 100)

    @pytest.mark.parametrize("ranks", [1, 3, 128, 100_000])
    @pytest.mark.parametrize("bits", WIDTHS)
    def test_no_sum_overflows(self, bits, ranks):
        one = make(bits, ranks)
        assert 0 < one.most * ranks < 2**31
        assert one.most < 2 ** (bits - 1)
        assert float(np.float32(one.most)) == one.most


class TestScales:
    def test_by_hand(self):
        """sqrt(d) / sqrt(2 n r), r = .9 r' + .1 s."""
        one = make(ranks=3)
        one.follow([4.0])
        one.rescale([600], [1.0])
        assert one.scales == (pytest.approx(math.sqrt(600 / (2 * 3 * 4.0)), rel=1e-7),)
        one.follow([14.0])
        one.rescale([600], [0.5])
        assert one.scales == (pytest.approx(math.sqrt(600 / (2 * 3 * (0.9 * 4 + 0.1 * 14) / 0.25)), rel=1e-7),)

    def test_of_tensors(self):
        one = make(ranks=2, scale_per="tensor", beta=0.0, epsilon=0.0)
        one.lay_out([1000, 500, 300])
        one.follow([4.0, 25.0, 0.0])
        one.rescale([1000, 500, 300], [1.0] * 3)
        expected = [math.sqrt(1000 / (4 * 4)), math.sqrt(500 / (4 * 25)), math.sqrt(1800 / (4 * 29))]
        assert one.scales == pytest.approx(expected, rel=1e-7)
        parts = normal(1000, 1, 0.1), normal(500, 2, 1.0), normal(300, 3)
        payload = torch.empty(one.payload_bytes(1800), dtype=torch.uint8)
        one.encode(torch.cat(parts), payload, KEY)
        decoded = torch.empty(1800)
        one.decode(payload, decoded)
        for part, found, scale in zip(parts, decoded.split([1000, 500, 300]), one.scales, strict=True):
            assert (found - part).abs().max() <= 1.001 / scale
            assert torch.equal((found * scale).round(), (found * scale * 1.0001).round())
        half = torch.empty(776)
        rest = torch.empty(one.payload_bytes(776), dtype=torch.uint8)
        one.encode(torch.cat(parts)[1024:], rest, KEY, start=1024)
        one.decode(rest, half, start=1024)
        assert ((half - torch.cat(parts)[1024:]).abs() <= 1.001 / torch.tensor(one.scales[1])).all() or one.scales[
            2
        ] < one.scales[1]

    @pytest.mark.parametrize("squares", [[0.0], [1e300], [1e-300]])
    def test_without_a_usable_scale_payloads_are_exact(self, squares):
        one = make(4, epsilon=0.0, first_scale=1.0)
        one.follow(squares)
        one.rescale([100], [1.0])
        assert one.scales is None
        vector = normal(100)
        payload, context = one.compress(vector)
        assert payload.nbytes == one.payload_bytes(100) == 400
        assert torch.equal(one.decompress(payload, context), vector)

    def test_norms_that_are_not_finite_are_left_out(self):
        one = make()
        one.follow([math.nan])
        one.rescale([10], [1.0])
        assert one.scales is None
        one.follow([1.0])
        one.follow([math.inf])
        one.rescale([10], [1.0])
        assert one.scales == (pytest.approx(math.sqrt(5)),)

    def test_it_goes_on_from_its_state(self):
        one, other = make(5, ranks=3), make(5, ranks=3)
        for step in range(3):
            one.follow([2.0 + step])
            one.rescale([1000], [1.0])
            one.compress(normal(1000, step))
        other.load_state_dict(one.state_dict())
        assert other.counts == one.counts
        for each in (one, other):
            each.follow([7.0])
            each.rescale([1000], [1.0])
        assert one.scales == other.scales
        assert torch.equal(one.compress(normal(1000))[0], other.compress(normal(1000))[0])

    def test_the_norm_is_exactly_rounded(self):
        vector = normal(5000, size=3.0)
        assert squared_norm(vector) == pytest.approx(float(vector.double().square().sum()), rel=1e-12)
        assert squared_norm(vector[:0]) == 0


def test_integers_of_noise_are_as_small_as_the_theory_has_them():
    """Independent vectors: a root mean square of 0.7 before rounding, whatever the number of ranks."""
    for ranks in (2, 8, 16):
        vectors = torch.stack([normal(50_000, rank) for rank in range(ranks)])
        one = make(ranks=ranks)
        one.follow([squared_norm(vectors.mean(0))])
        one.rescale([50_000], [1.0])
        assert float((vectors * one.scales[0]).square().mean().sqrt()) == pytest.approx(2**-0.5, rel=0.02)


def test_clipping_is_counted():
    one = make(2, first_scale=1.0, rounding="nearest")
    one.compress(torch.tensor([0.2, 1.0, -1.4, 1.6, -9.0, 40.0]))
    assert one.counts == IntegerCounts(coordinates=6, clipped=3, largest=1, largest_sum=0)


def test_rounding_is_unbiased_at_the_scale_of_training():
    one = make(4, ranks=3, first_scale=1.5)
    vector = normal(1024).clamp(-4, 4)
    conformance.check_unbiased(conformance.draw(one, vector, 1000), vector)


class TestCorrelatedRounding:
    """Mean squared errors of the mean of ranks, independent rounding over correlated."""

    @staticmethod
    def error(rounding: str, vectors: torch.Tensor, scale: float = 1.0, draws: int = 3) -> float:
        ranks, numel = vectors.shape
        everyone = [make(16, ranks, rank, rounding=rounding) for rank in range(ranks)]
        total = 0.0
        for one in everyone:
            one.set_scales([scale])
        for _ in range(draws):
            mean = sum(one.decompress(*one.compress(v)) for one, v in zip(everyone, vectors, strict=True)) / ranks
            total += float((mean - vectors.mean(0)).double().square().sum())
        return total / draws / numel

    def gain(self, vectors: torch.Tensor, scale: float = 1.0) -> float:
        return self.error("random", vectors, scale) / self.error("correlated", vectors, scale)

    @pytest.mark.parametrize(("ranks", "gain"), [(2, 2.00), (3, 2.98), (4, 4.0), (8, 8.0), (16, 15.9)])
    def test_of_equal_vectors(self, ranks, gain):
        vectors = normal(40_000, size=3.0).expand(ranks, -1)
        assert self.gain(vectors) == pytest.approx(gain, rel=0.05)

    @pytest.mark.parametrize(("ranks", "gain"), [(2, 1.60), (3, 1.80), (4, 1.87), (8, 1.97), (16, 2.0)])
    def test_of_independent_vectors(self, ranks, gain):
        vectors = torch.stack([normal(40_000, rank, 3.0) for rank in range(ranks)])
        assert self.gain(vectors) == pytest.approx(gain, rel=0.05)

    def test_of_opposite_vectors(self):
        """Rounding is oriented by value, so opposite signs gain too."""
        vectors = torch.stack([normal(40_000, size=3.0), -normal(40_000, size=3.0)])
        assert self.gain(vectors) > 1.5

    @pytest.mark.parametrize(("ranks", "error"), [(3, 0.185), (4, 0.177), (8, 0.169), (16, 0.167)])
    def test_relative_error_at_the_scale_of_training(self, ranks, error):
        """.333 with independent rounding."""
        vectors = torch.stack([normal(40_000, rank) for rank in range(ranks)])
        mean = vectors.mean(0)
        one = make(ranks=ranks)
        one.fit(mean)
        relative = float(mean.double().square().mean())
        assert self.error("correlated", vectors, one.scales[0]) / relative == pytest.approx(error, rel=0.05)
        assert self.error("random", vectors, one.scales[0]) / relative == pytest.approx(0.333, rel=0.05)

    @pytest.mark.parametrize("ranks", [2, 3, 7])
    def test_every_rank_stays_unbiased(self, ranks):
        vector = normal(1024).clamp(-4, 4)
        for rank in range(ranks):
            one = make(4, ranks, rank)
            one.set_scales([1.5])
            conformance.check_unbiased(conformance.draw(one, vector, 1000), vector)

    @pytest.mark.parametrize("ranks", [2, 3, 5, 1000])
    def test_the_kernel_agrees_with_the_reference(self, ranks):
        for numel in SIZES:
            vector = normal(numel, size=2.0)
            for rank in (0, ranks - 1):
                packed, other = (torch.empty(packed_bytes(4, 1024, numel), dtype=torch.uint8) for _ in range(2))
                arguments = vector, SCALE, 4, 7, KEY
                strata = Strata(KEY ^ 99, rank, ranks)
                assert cpu.encode_integers(*arguments, other, strata) == integers.encode_integers(
                    *arguments, packed, strata
                )
                assert torch.equal(packed, other)
