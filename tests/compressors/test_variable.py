"""Variable width: the allocation is optimal, in budget and unbiased."""

import hashlib
import itertools

import numpy as np
import pytest
import torch

import compressors
from compressors import Context, short_scales
from compressors.allocation import allocate, drawn
from compressors.kernels import cpu, reference
from compressors.random import derive
from compressors.rotated import projection_layout, relative_error
from tests.compressors import conformance
from tests.compressors.test_rotated import DTYPES, same, wild

ERRORS = [relative_error(width) for width in range(1, 9)]


def cost_of(costs, chances, widths):
    fractions = np.array(ERRORS)[widths - 1]
    return float((costs * ((1 + fractions) / chances - 1)).sum())


def with_chances(costs, widths, budget):
    """Probabilities for these widths, and the widths; None if they exceed the budget."""
    chances, single = np.ones(len(costs)), widths == 1
    left = budget - widths[~single].sum()
    if left < single.sum():  # probabilities below one: as the square roots, those that reach one left out
        for rare in sorted(itertools.product([False, True], repeat=int(single.sum())), key=sum, reverse=True):
            chances[single] = 1
            which = np.flatnonzero(single)[list(rare)]
            room = left - (single.sum() - len(which))
            if len(which) and room > 0:
                chances[which] = np.sqrt(costs[which]) * room / np.sqrt(costs[which]).sum()
                if (chances <= 1).all():
                    return chances, widths
        return None
    return chances, widths


def blocks(scales, length=256, seed=0):
    """A vector of one block for every scale."""
    random = torch.Generator().manual_seed(seed)
    return torch.cat([scale * torch.randn(length, generator=random) for scale in scales])


class TestAllocation:
    def test_whole_bits_are_the_best_of_all_choices(self):
        """Costs so near each other that no block is worth less than a bit: exhaustive search."""
        costs, budget = np.array([1.0, 2.0, 5.0, 0.7]), 10
        chances, widths = allocate(costs, budget)
        assert (chances == 1).all()
        assert widths.sum() == budget
        best = min(
            cost_of(costs, np.ones(4), np.array(choice))
            for choice in itertools.product(range(1, 9), repeat=4)
            if sum(choice) <= budget
        )
        assert cost_of(costs, chances, widths) == pytest.approx(best)

    def test_no_shift_of_probability_lowers_the_cost(self):
        costs = 10.0 ** np.random.default_rng(0).uniform(-8, 0, 200)
        chances, widths = allocate(costs, 150)
        assert np.where(chances < 1, chances, widths).sum() == pytest.approx(150, abs=1)
        rare = np.flatnonzero((chances < 1) & (chances > 2.0**-20))
        assert len(rare) > 10
        here = cost_of(costs, chances, widths)
        for i, j in itertools.pairwise(rare):
            other = chances.copy()
            step = 0.01 * min(chances[i], chances[j])
            other[i], other[j] = other[i] - step, other[j] + step
            assert cost_of(costs, other, widths) > here

    @pytest.mark.parametrize("budget", [1, 3, 50, 200, 799, 800])
    def test_the_budget_is_kept_and_used(self, budget):
        costs = np.random.default_rng(1).exponential(size=100)
        chances, widths = allocate(costs, budget)
        used = np.where(chances < 1, chances, widths).sum()
        assert budget - 1e-3 < used <= budget

    @pytest.mark.parametrize("bits", [1.5, 2.5, 2.9])
    def test_equal_costs_share_bits_that_are_left(self, bits):
        """Every block gets the bits below or above, those that come first the more: the error lies between both."""
        chances, widths = allocate(np.ones(1000), round(1000 * bits))
        assert (chances == 1).all()
        assert widths.sum() == round(1000 * bits)
        assert (np.diff(widths) <= 0).all()
        assert set(widths.tolist()) == {int(bits), int(bits) + 1}
        share = bits - int(bits)
        mixed = (1 - share) * ERRORS[int(bits) - 1] + share * ERRORS[int(bits)]
        assert cost_of(np.ones(1000), chances, widths) == pytest.approx(1000 * mixed)

    @pytest.mark.parametrize("seed", range(12))
    def test_few_blocks_get_the_best_of_all_allocations(self, seed):
        """Exhaustive search over widths, with the best probabilities for the blocks of one bit."""
        random = np.random.default_rng(seed)
        costs = 10 ** random.uniform(-2.5, 0, random.integers(2, 5))
        budget = int(random.integers(1, 4 * len(costs)))
        chances, widths = allocate(costs, budget)
        assert np.where(chances < 1, chances, widths).sum() <= budget
        best = min(
            cost_of(costs, *each)
            for choice in itertools.product(range(1, 9), repeat=len(costs))
            if (each := with_chances(costs, np.array(choice), budget)) is not None
        )
        assert cost_of(costs, chances, widths) <= best * 1.0001

    def test_what_is_drawn_fits_the_payload(self):
        """Buckets of all energies, budgets of all sizes: one bucket too many would not."""
        random = np.random.default_rng(3)
        for key in range(300):
            costs = 10.0 ** random.uniform(-12, 0, random.integers(1, 40))
            costs[random.random(len(costs)) < 0.1] = costs[0]
            budget = int(random.integers(1, 8 * len(costs) + 1))
            chances, widths = allocate(costs, budget)
            assert np.where(drawn(chances, key), widths, 0).sum() <= budget

    def test_zeros_get_nothing_and_equal_costs_equal_widths(self):
        chances, widths = allocate(np.array([0.0, 1.0, 1.0]), 8)
        assert chances.tolist() == [0, 1, 1]
        assert widths.tolist()[1:] == [4, 4]
        assert (allocate(np.zeros(3), 6)[0] == 0).all()

    def test_sampling_has_the_probabilities_and_a_fixed_number(self):
        chances = np.array([0.25, 1.0, 0.5, 0.125, 0.0, 0.625])
        draws = np.stack([drawn(chances, key) for key in range(4000)])
        np.testing.assert_allclose(draws.mean(axis=0), chances, atol=5 * 0.5 / 4000**0.5)
        assert set((draws.sum(axis=1) - 1).tolist()) <= {1, 2}


class TestKernels:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("length", [256, 1024])
    def test_bits_are_those_of_the_reference(self, dtype, length):
        layouts = [projection_layout(bits, length) for bits in range(1, 9)]
        widths = torch.tensor([5, 8, 0, 1, 3, 15, 3, 2, 7, 0, 6, 4])
        factors = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
        vector = wild(12 * length - 100, length, 3).to(dtype)
        used = sum(layouts[width - 1].payload_bytes(length) for width in widths.tolist() if 1 <= width <= 8)
        bodies = torch.full([2, used + 78], 99, dtype=torch.uint8)[:, 1:]
        for kernel, body in zip((reference, cpu), bodies, strict=True):
            kernel.encode_variable(vector, layouts, widths, factors, 9, body)
        assert torch.equal(*bodies)
        for add in (False, True):
            decoded = [vector.flip(0), vector.flip(0)]
            for kernel, out in zip((reference, cpu), decoded, strict=True):
                kernel.decode_variable(bodies[0], layouts, widths, out, 9, add)
            assert same(*decoded)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("numel", [0, 1, 255, 256, 3000])
    def test_energies_have_the_bits_of_the_reference(self, dtype, numel):
        vector = wild(numel, 1024, 1).to(dtype)
        expected, energies = (kernel.energies(vector, 256) for kernel in (reference, cpu))
        torch.testing.assert_close(energies, expected, rtol=0, atol=0, equal_nan=True)

    @pytest.mark.parametrize("bits", [0.5, 1.0, 2.5, 2.9])
    @pytest.mark.parametrize(
        "scales", [[1.0] * 40, np.logspace(-3, 0, 40), [3.0, 1.0, 1.0]], ids=["equal", "all", "few"]
    )
    def test_payloads_are_those_of_the_reference(self, monkeypatch, bits, scales):
        """The level is found by other additions in each, and blocks of equal energy have equal gains."""
        vector = blocks(scales).sign() * torch.tensor(scales).float().repeat_interleave(256)
        payloads = []
        for kernel in (reference, cpu):
            monkeypatch.setattr(compressors.kernels, "for_device", lambda device, kernel=kernel: kernel)
            payloads.append(compressors.make("variable", bits=bits, bucket_size=256, seed=3).compress(vector)[0])
        assert torch.equal(*payloads)

    @pytest.mark.parametrize("budget", [3, 50, 400, 1599])
    def test_levels_are_those_of_the_reference(self, budget):
        costs = 10.0 ** np.random.default_rng(budget).uniform(-9, 2, 200)
        arguments = costs, np.array([1 + ERRORS[0], *-np.diff(ERRORS)]), 2.0**-20, budget, -60.0, 60.0
        assert cpu.water_level(*arguments) == pytest.approx(reference.water_level(*arguments), rel=1e-8)


class TestCompressor:
    @pytest.mark.parametrize("bits", [0.25, 0.5, 1.0, 2.5, 4.0])
    def test_unbiased_where_buckets_compete(self, bits):
        vector = blocks([3.0, 1.0, 0.3, 0.1, 0.03])
        compressor = compressors.make("variable", bits=bits, bucket_size=256)
        draws = conformance.draw(compressor, vector, 3000)
        for part, piece in zip(draws.split(256, dim=1), vector.split(256), strict=True):
            conformance.check_residual_bias(part, piece, compressor.residual_bias)
        conformance.check_variance(draws, vector, compressor.variance_bound(vector))

    def test_far_less_error_than_equal_widths_where_energies_differ(self):
        vector = blocks(np.logspace(-3, 0, 40))
        fixed, variable = (
            float(
                (conformance.draw(compressors.make(name, bits=3, bucket_size=256), vector, 20) - vector).square().sum()
            )
            for name in ("rotated", "variable")
        )
        assert variable < fixed / 10

    def test_the_error_is_what_the_allocation_says(self):
        vector = blocks(np.logspace(-3, 0, 40))
        compressor = compressors.make("variable", bits=2.5, bucket_size=256)
        draws = conformance.draw(compressor, vector, 300)
        error = float((draws - vector.double()).square().sum(dim=1).mean())
        assert error == pytest.approx(compressor.variance_bound(vector) / 1.05, rel=0.05)

    def test_a_fraction_of_a_bit_lowers_the_error_of_equal_energies(self):
        vector = torch.randn(100 * 256, generator=torch.Generator().manual_seed(4)).sign()
        errors = {}
        for bits in (2, 2.5, 2.9, 3):
            draws = conformance.draw(compressors.make("variable", bits=bits, bucket_size=256), vector, 3)
            errors[bits] = float((draws - vector).square().mean())
        assert errors[2.5] == pytest.approx((errors[2] + errors[3]) / 2, rel=0.02)
        assert errors[2.9] == pytest.approx(0.1 * errors[2] + 0.9 * errors[3], rel=0.02)

    @pytest.mark.parametrize("bits", [0.25, 1.0, 2.5, 8.0])
    def test_bytes_are_the_budget(self, bits):
        numel = 1024 * 40
        compressor = compressors.make("variable", bits=bits)
        assert compressor.payload_bytes(numel) == 8 + 20 + 4 * 40 + bits * numel / 8

    def test_per_layer_keeps_small_layers(self):
        """Relative errors of two layers, one a thousand times the other."""
        sizes = (2048, 3072)
        vector = torch.cat([torch.randn(2048), 1e-3 * torch.randn(3072)])
        errors = {}
        for weighting in ("global", "per-layer"):
            compressor = compressors.make("variable", bits=3, bucket_size=256, weighting=weighting)
            compressor.lay_out(sizes)
            draws = conformance.draw(compressor, vector, 30)
            parts = zip((draws - vector).split(sizes, dim=1), vector.split(sizes), strict=True)
            errors[weighting] = [float(e.square().sum(dim=1).mean() / x.square().sum()) for e, x in parts]
        assert errors["per-layer"][1] < 0.1 < errors["global"][1]
        assert errors["global"][0] < errors["per-layer"][0]

    def test_per_layer_knows_where_a_part_begins(self):
        """A part that is all of one layer has one weight: it is coded as by global weighting."""
        layers = torch.randn(1024), 1e-3 * blocks([1.0, 0.1, 3.0, 0.3])
        whole = compressors.make("variable", bits=2, bucket_size=256, weighting="per-layer")
        whole.lay_out([1024, 1024])
        alone = compressors.make("variable", bits=2, bucket_size=256)
        payloads = [torch.empty(each.payload_bytes(1024), dtype=torch.uint8) for each in (whole, alone)]
        whole.encode(layers[1], payloads[0], key=7, start=1024)
        alone.encode(layers[1], payloads[1], key=7)
        assert torch.equal(*payloads)

    def test_weights_of_a_part_are_those_of_the_whole(self):
        compressor = compressors.make("variable", bucket_size=256, weighting="per-layer")
        compressor.lay_out([300, 500, 224])
        vector = torch.cat([torch.ones(300), 2 * torch.ones(500), 3 * torch.ones(224)])
        whole = compressor._layer_weights(vector, 0, 4, 256)
        by_hand = [1 / 300, 44 / 256 / 300 + 212 / 256 / 2000, 1 / 2000, 32 / 256 / 2000 + 224 / 256 / 2016]
        np.testing.assert_allclose(whole, by_hand, rtol=1e-12)
        np.testing.assert_allclose(compressor._layer_weights(vector[512:], 512, 2, 256), by_hand[2:], rtol=1e-12)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_only_the_bucket_concerned_becomes_nan(self, bad):
        vector = blocks([1.0, 1.0, 1.0])
        vector[300] = bad
        compressor = compressors.make("variable", bits=1, bucket_size=256)
        decoded = compressor.decompress(*compressor.compress(vector))
        assert decoded[256:512].isnan().all()
        assert decoded[:256].isfinite().all()
        assert decoded[512:].isfinite().all()


class Wide:
    """Compressors with buckets of more than 8 bits, and a vector that has some."""

    VECTOR = blocks([3000.0, 1000.0, *[1.0] * 40, 0.1])[:-100]
    """The last bucket is not full."""
    SCALE_BITS = 32

    def make(self, **values):
        given = {"bits": 2.0, "bucket_size": 256, "widest": 14, "scale_bits": self.SCALE_BITS, "seed": 3, **values}
        return compressors.make("variable", **given)

    def test_widths_that_do_not_fit_are_refused(self):
        compressor = self.make()
        payload, context = compressor.compress(self.VECTOR)
        payload[8:20] = 0xEE
        with pytest.raises(ValueError, match="wider buckets"):
            compressor.decompress(payload, context)

    def test_only_the_bucket_concerned_becomes_nan(self):
        vector = self.VECTOR.clone()
        vector[300] = torch.inf
        compressor = self.make()
        payload, context = compressor.compress(vector)
        decoded = compressor.decompress(payload, context)
        assert decoded[256:512].isnan().all()
        assert decoded.isnan().sum() == 256
        assert not compressor.is_finite(payload, len(vector))
        assert compressor.is_finite(compressor.compress(self.VECTOR)[0], len(vector))


class TestRefined(Wide):
    """Buckets of more than 8 bits, which are quantized twice."""

    def test_the_error_falls_below_that_of_eight_bits_in_the_same_bytes(self):
        errors = {}
        for widest in (8, 14):
            compressor = self.make(widest=widest)
            payload, _ = compressor.compress(self.VECTOR)
            assert len(payload) == 8 + 22 + 4 * 43 + round(2 * len(self.VECTOR) / 256) * 32
            draws = conformance.draw(compressor, self.VECTOR, 30)
            errors[widest] = float((draws - self.VECTOR.double()).square().sum(dim=1).mean())
            bound = compressor.variance_bound(self.VECTOR)
            assert 0.8 * bound < errors[widest] < bound
        assert errors[14] < errors[8] / 20

    def test_it_stays_unbiased(self):
        compressor = self.make()
        draws = conformance.draw(compressor, self.VECTOR, 1000)
        for part, piece in zip(draws.split(256, dim=1), self.VECTOR.split(256), strict=True):
            conformance.check_residual_bias(part, piece, compressor.residual_bias)
        conformance.check_variance(draws, self.VECTOR, compressor.variance_bound(self.VECTOR))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
    def test_adding_is_decoding_and_a_sum(self, dtype):
        compressor, vector = self.make(), self.VECTOR.to(dtype)
        payload, context = compressor.compress(vector)
        before = torch.randn(len(vector)).to(dtype)
        decoded = compressor.decompress(payload, Context(context.shape, torch.float32))
        added = before.clone()
        compressor.decode(payload, added, add=True)
        expected = before + decoded if dtype == torch.float64 else (before.float() + decoded).to(dtype)
        assert torch.equal(added, expected)

    def test_payloads_are_those_of_the_reference_and_frozen(self, monkeypatch):
        vector = blocks([3000.0, 1000.0, *[1.0] * 40]).sign() * torch.logspace(4, -2, 42).repeat_interleave(256)
        for kernel in (reference, cpu):
            monkeypatch.setattr(compressors.kernels, "for_device", lambda device, kernel=kernel: kernel)
            compressor = self.make(bits=4.0)
            payload, context = compressor.compress(vector)
            assert hashlib.sha256(bytes(payload.tolist())).hexdigest()[:16] == "284eb4fb450f7db5"
            assert 8 < (payload[8:29] & 15).max() < 15
            decoded = compressor.decompress(payload, context)
            assert float((decoded - vector).square().sum() / vector.square().sum()) < 2e-6  # of 8 bits alone 4e-5

    def test_where_no_bucket_is_so_wide_the_payload_is_the_same(self):
        vector = blocks([1.0, 2.0, 3.0, 0.1])
        assert torch.equal(*(self.make(widest=widest).compress(vector)[0] for widest in (8, 14)))


class TestShortScales(Wide):
    """Scales of 16 bits."""

    SCALE_BITS = 16

    def test_a_scale_becomes_one_of_its_two_neighbours_and_keeps_its_expectation(self):
        scales = torch.tensor([1.0, 1 + 2**-9, 3.3, 2.0**-149, 1e-40, 1e30, 3.4e38, torch.inf, torch.nan])
        draws = torch.stack(
            [
                short_scales._long(short_scales._short(scales.view(torch.uint8), derive(key))).view(torch.float32)
                for key in range(4000)
            ]
        ).double()
        exact = scales.double()
        steps = 2.0 ** (torch.frexp(scales[:7]).exponent.clamp(min=-125).double() - 9)
        assert (draws[:, 0] == 1).all()
        assert draws[:, 7].isposinf().all()
        assert draws[:, 8].isnan().all()
        assert draws.isfinite()[:, :7].all()
        assert ((draws[:, :7] - exact[:7]).abs() < steps).all()
        assert ((draws.mean(0) - exact)[:6].abs() < 5 * 0.5 * steps[:6] / 4000**0.5 + 1e-300).all()
        errors = (draws[:, :6] / exact[:6] - 1).square().mean(0)
        assert errors[[0, 1, 2, 5]].max() <= 1.1 * short_scales.VARIANCE

    def test_a_bucket_takes_two_bytes_less(self):
        lengths = [len(self.make(scale_bits=bits).compress(self.VECTOR)[0]) for bits in (32, 16)]
        codes = round(2 * len(self.VECTOR) / 256) * 32
        assert lengths == [8 + 22 + 4 * 43 + codes, 8 + 22 + 2 * 43 + codes]

    @pytest.mark.parametrize("bits", [2.0, 4.0])
    def test_in_equal_bytes_the_error_is_lower(self, bits):
        vector = blocks(np.logspace(-2, 0, 64))
        errors = {}
        for scale_bits, spent in ((32, bits), (16, bits + 1 / 16)):
            compressor = self.make(scale_bits=scale_bits, bits=spent)
            assert len(compressor.compress(vector)[0]) == 8 + 32 + 64 * 4 + 64 * 32 * bits
            errors[scale_bits] = float((conformance.draw(compressor, vector, 40) - vector).square().sum(dim=1).mean())
        assert 0.9 < errors[16] / errors[32] < 0.94  # 4^(-1/16) = 0.917

    def test_it_stays_unbiased_and_below_its_bound(self):
        compressor = self.make()
        draws = conformance.draw(compressor, self.VECTOR, 1000)
        for part, piece in zip(draws.split(256, dim=1), self.VECTOR.split(256), strict=True):
            conformance.check_residual_bias(part, piece, compressor.residual_bias)
        conformance.check_variance(draws, self.VECTOR, compressor.variance_bound(self.VECTOR))

    def test_codes_and_widths_are_those_of_long_scales(self):
        """Only scales, and so what is left for a second pass, differ."""
        vector = blocks([1.0, 2.0, 3.0, 0.1])
        long, short = (self.make(scale_bits=bits).compress(vector)[0] for bits in (32, 16))
        widths = (long[8:10].repeat_interleave(2) >> torch.tensor([0, 4, 0, 4]) & 15).numpy().astype(np.int64)
        assert torch.equal(long[:10], short[:10])
        again = short_scales.lengthen(short[10:], widths, 256)
        place = 10
        for width in range(1, 9):
            count = int((widths == width).sum())
            codes = slice(place + 4 * count, place + count * (4 + 32 * width))
            assert torch.equal(long[codes], again[codes.start - 10 : codes.stop - 10])
            headers = long[place : codes.start], again[place - 10 : codes.start - 10]
            scales = (each.clone().view(torch.float32) for each in headers)
            torch.testing.assert_close(*scales, rtol=2**-8, atol=0)
            place = codes.stop

    def test_payloads_are_those_of_the_reference_and_frozen(self, monkeypatch):
        vector = blocks([3000.0, 1000.0, *[1.0] * 40]).sign() * torch.logspace(4, -2, 42).repeat_interleave(256)
        for kernel in (reference, cpu):
            monkeypatch.setattr(compressors.kernels, "for_device", lambda device, kernel=kernel: kernel)
            compressor = self.make(bits=4.0)
            payload, context = compressor.compress(vector)
            assert hashlib.sha256(bytes(payload.tolist())).hexdigest()[:16] == "1591aea6015df0c5"
            decoded = compressor.decompress(payload, context)
            assert float((decoded - vector).square().sum() / vector.square().sum()) < 2e-6
