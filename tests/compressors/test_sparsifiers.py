"""Top-k and random-k: bytes by hand, which coordinates are kept, ties, shared places, hostile payloads."""

import math
import struct

import pytest
import torch

import compressors
from compressors.kernels import cpu, selection, shuffling
from compressors.randomk import positions
from compressors.sparsifier import Rows
from tests.compressors import conformance

KEY = 0xFEDC_BA98_7654_3210
NAMES = ("topk", "randomk")


def normal(numel: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(numel, generator=torch.Generator().manual_seed(seed))


def decoded(compressor: compressors.Compressor, vector: torch.Tensor) -> torch.Tensor:
    return compressor.decompress(*compressor.compress(vector))


@pytest.mark.parametrize("name", NAMES)
def test_the_number_sent(name):
    """A share of every bucket, rounded to the nearest whole number, at least one."""
    for ratio, bucket, numel, sent in (
        (0.01, 1000, 3000, 30),
        (0.01, 1000, 3020, 31),
        (0.25, 8, 20, 5),
        (1.0, 8, 20, 20),
        (0.0001, 8, 20, 3),
        (0.01, 4096, 0, 0),
        (0.5, 1 << 30, 100, 50),
    ):
        compressor = compressors.make(name, ratio=ratio, bucket_size=bucket)
        assert compressor.sent(numel) == sent
        assert int((decoded(compressor, torch.ones(numel)) != 0).sum()) == sent


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_is_zero_and_adds_nothing(name):
    compressor = compressors.make(name, ratio=0.1, bucket_size=64)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        vector, total = normal(1000).to(dtype), normal(1000, 1).to(dtype)
        payload, context = compressor.compress(vector)
        found = compressor.decompress(payload, context)
        before = total.clone()
        compressor.decode(payload, total, add=True)
        assert torch.equal(total[found == 0], before[found == 0])
        torch.testing.assert_close(total, before + found, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_found(name):
    compressor = compressors.make(name, ratio=0.05, bucket_size=100)
    for bad in (math.nan, math.inf, -math.inf):
        vector = normal(1030)
        vector[450] = bad
        payload, context = compressor.compress(vector)
        assert not compressor.is_finite(payload, 1030)
        found = compressor.decompress(payload, context)
        assert found[400:500].isnan().all()
        assert found[:400].isfinite().all()
        assert found[500:].isfinite().all()


class TestTopK:
    def test_the_wire_by_hand(self):
        """Two of each four: values, then four places of two bits, 1 and 1 in the first byte, 2 and 3 in the second."""
        compressor = compressors.TopK(ratio=0.5, bucket_size=4)
        vector = torch.tensor([1.0, -4.0, 2.0, 0.5, 0.0, 3.0, 0.0, -5.0])
        payload, context = compressor.compress(vector)
        assert bytes(payload[:16].tolist()) == struct.pack("<4f", -4.0, 2.0, 3.0, -5.0)
        assert payload[16:].tolist() == [0b0101, 0b1110]
        assert compressor.decompress(payload, context).tolist() == [0, -4, 2, 0, 0, 3, 0, -5]

    @pytest.mark.parametrize(
        ("numel", "bucket", "ratio", "size"),
        [
            (1, 4096, 0.01, 4),
            (8192, 4096, 0.01, 82 * 4 + 12 * 11),
            (4100, 4096, 0.01, 42 * 4 + 12 * 6),
            (4, 2, 1.0, 17),
        ],
    )
    def test_bytes(self, numel, bucket, ratio, size):
        assert compressors.TopK(ratio=ratio, bucket_size=bucket).payload_bytes(numel) == size

    @pytest.mark.parametrize("bucket", [7, 64, 1 << 40])
    def test_it_keeps_the_largest(self, bucket):
        vector = normal(1000)
        compressor = compressors.TopK(ratio=0.2, bucket_size=bucket)
        for part, found in zip(
            vector.split(min(bucket, 1000)), decoded(compressor, vector).split(min(bucket, 1000)), strict=True
        ):
            kept = found != 0
            assert torch.equal(found[kept], part[kept])
            assert part[kept].abs().min() >= part[~kept].abs().max()

    def test_ties_and_zeros(self):
        """Equal magnitudes: the first; zeros are sent when there is nothing else."""
        compressor = compressors.TopK(ratio=0.5, bucket_size=6)
        assert decoded(compressor, torch.tensor([1.0, 2.0, -2.0, 2.0, -1.0, 2.0])).tolist() == [0, 2, -2, 2, 0, 0]
        assert decoded(compressor, torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 7.0])).tolist() == [0, 0, 0, 0, 0, 7]
        assert decoded(compressor, torch.zeros(6)).tolist() == [0] * 6

    def test_the_key_does_not_matter_and_the_error_is_bounded(self):
        vector, compressor = normal(10_000), compressors.TopK()
        found = decoded(compressor, vector)
        assert torch.equal(found, decoded(compressor.for_rank(3, seed=9), vector))
        assert (found - vector).double().square().sum() <= compressor.variance_bound(vector)
        flat = torch.ones(4096)
        error = float((decoded(compressor, flat) - flat).square().sum())
        assert error == pytest.approx(compressor.variance_bound(flat))

    @pytest.mark.parametrize("places", [[1, 1], [3, 1], [2, 7]])
    def test_places_that_do_not_exist_or_repeat_are_refused(self, places):
        compressor = compressors.TopK(ratio=0.4, bucket_size=5)
        payload, context = compressor.compress(torch.tensor([5.0, 4.0, 1.0, 1.0, 1.0]))
        packed = torch.zeros_like(payload[8:])
        cpu.pack_integers(torch.tensor(places, dtype=torch.int32), 3, 0, packed)
        payload[8:] = packed
        with pytest.raises(ValueError, match="topk: the payload has coordinates that do not exist, or not in order"):
            compressor.decompress(payload, context)


class TestRandomK:
    def test_the_wire_by_hand(self):
        compressor = compressors.RandomK(ratio=0.5, bucket_size=4)
        vector = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        payload = torch.empty(compressor.payload_bytes(6), dtype=torch.uint8)
        assert compressor.encode(vector, payload, KEY) == len(payload) == 8 + 4 * 3
        full, tail = (positions(rows, KEY, vector.device)[0] for rows in (Rows(0, 1, 4, 2), Rows(1, 1, 2, 1)))
        values = [2 * float(vector[place]) for place in full.tolist()] + [2 * float(vector[4 + int(tail[0])])]
        assert bytes(payload.tolist()) == struct.pack("<Q3f", KEY, *values)

    def test_places_are_shared_by_ranks_and_change_with_step_and_seed(self):
        vectors = [normal(10_000, rank) for rank in range(3)]
        ranks = [compressors.make("randomk", seed=4, rank=rank) for rank in range(3)]
        first, second = ([decoded(one, each) != 0 for one, each in zip(ranks, vectors, strict=True)] for _ in range(2))
        for kept in (first, second):
            assert all(torch.equal(kept[0], other) for other in kept)
        assert not torch.equal(first[0], second[0])
        assert not torch.equal(first[0], decoded(compressors.make("randomk", seed=5), vectors[0]) != 0)

    def test_a_state_loaded_by_another_rank_stays_shared(self):
        one, two = (compressors.make("randomk", seed=4, rank=rank) for rank in (0, 2))
        one.compress(normal(100))
        state = one.state_dict()
        state["stream"]["rank"] = 2
        two.load_state_dict(state)
        assert two.stream.rank == 2
        assert torch.equal(one.compress(normal(5000))[0], two.compress(normal(5000))[0])

    @pytest.mark.parametrize("ratio", [0.02, 0.24, 0.7])
    def test_unbiased_with_the_variance_of_the_bound(self, ratio):
        compressor = compressors.RandomK(ratio=ratio, bucket_size=50)
        vector = normal(100)
        draws = conformance.draw(compressor, vector, 3000)
        conformance.check_unbiased(draws, vector)
        errors = (draws - vector.double()).square().sum(1)
        bound = compressor.variance_bound(vector)
        assert bound == pytest.approx((1 / ratio - 1) * float(vector.double().square().sum()))
        assert float(errors.mean()) == pytest.approx(bound, abs=5 * float(errors.std()) / 3000**0.5)

    def test_unscaled_values_are_those_of_the_vector(self):
        compressor, vector = compressors.RandomK(scaled="no", ratio=0.3), normal(5000)
        found = decoded(compressor, vector)
        assert torch.equal(found[found != 0], vector[found != 0])
        assert not compressor.unbiased
        assert compressor.variance_bound(vector) == pytest.approx(0.7 * float(vector.double().square().sum()), rel=1e-3)

    def test_kernels_agree(self):
        for count, kept, length in ((1, 1, 1), (3, 10, 40), (50, 20, 20), (2, 5, 4096)):
            generator = torch.Generator().manual_seed(length)
            steps = torch.arange(kept)
            swaps = steps + (torch.rand(count, kept, generator=generator) * (length - steps)).long()
            found = cpu.shuffle(swaps, length)
            assert torch.equal(found, shuffling.shuffle(swaps, length))
            assert all(len(set(row)) == kept and set(row) <= set(range(length)) for row in found.tolist())

    def test_all_pairs_are_equally_likely(self):
        places = positions(Rows(0, 30_000, 5, 2), KEY, torch.device("cpu")).sort(dim=1).values
        counts = torch.bincount(places[:, 0] * 5 + places[:, 1], minlength=25)
        counts = counts[counts > 0]
        assert len(counts) == 10
        assert ((counts - 3000).abs() < 5 * (30_000 * 0.1 * 0.9) ** 0.5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 7, 100, 4096, 5000])
def test_the_kernel_selects_what_the_definition_does(length, dtype):
    """Ties, zeros, denormals, Inf and NaN among them."""
    rows = torch.randn(9, length, generator=torch.Generator().manual_seed(length))
    rows[1] = rows[1].round()
    rows[2] = 0.0
    rows[3] = -1.0
    rows[4] *= 1e-41
    rows[5, ::3] = torch.inf
    rows[6, ::5] = torch.nan
    rows[7] = torch.arange(length)
    rows[8, ::2] = -0.0
    rows = rows.to(dtype)
    for count in {1, 2, length // 100, length // 3, length - 1, length} - {0}:
        if count <= length:
            assert torch.equal(cpu.largest(rows, count), selection.largest(rows, count))
