"""Lloyd-Max points, dither, and quantizers of rotated blocks against theory."""

import itertools

import numpy as np
import pytest
import torch
from numba import njit
from scipy import integrate, stats

import compressors
from compressors.dither import even_layout
from compressors.kernels import cpu, reference
from compressors.kernels.cpu.nearest import project, tables
from compressors.kernels.threads import set_threads, threads
from compressors.lloyd_max import codebook
from compressors.rotated import LENGTHS, padded, projection_layout, relative_error
from tests.compressors import conformance


def vectors(length: int = 1024) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    normal = torch.randn(length, generator=random)
    two_spikes, tenth = torch.zeros(2, length)
    two_spikes[3], two_spikes[700] = 3.0, -1.0
    tenth[9], tenth[10] = 1.0, 0.1
    return {
        "gaussian": normal,
        "heavy-tail": torch.from_numpy(stats.t.rvs(2, size=length, random_state=1)).float(),
        "two-spikes": two_spikes,
        "one-and-a-tenth": tenth,
        "constant": torch.full((length,), 0.3),
        "sparse": normal * (torch.rand(length, generator=random) < 0.01),
    }


def relative(compressor: compressors.Compressor, vector: torch.Tensor, draws: int = 400) -> float:
    decoded = conformance.draw(compressor, vector, draws)
    return float((decoded - vector.double()).square().sum(dim=1).mean() / vector.double().square().sum())


class TestLloydMax:
    @pytest.mark.parametrize(
        ("bits", "distortion"), [(1, 1 - 2 / np.pi), (2, 0.1175), (3, 0.03454), (4, 0.009497), (5, 0.002499)]
    )
    def test_distortion_is_that_of_the_tables(self, bits, distortion):
        """Max (1960), table I, gives four digits."""
        assert codebook(bits).distortion == pytest.approx(distortion, rel=3e-3)

    @pytest.mark.parametrize("bits", range(1, 9))
    def test_points_are_the_means_of_what_is_nearest_to_them(self, bits):
        points = np.array(codebook(bits).points)
        edges = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
        means = [stats.norm.expect(lb=low, ub=high, conditional=True) for low, high in itertools.pairwise(edges)]
        np.testing.assert_allclose(points, means, atol=2**-15)
        assert (points == -points[::-1]).all()

    @pytest.mark.parametrize("bits", [1, 3, 6])
    def test_distortion_by_quadrature(self, bits):
        points = np.array(codebook(bits).points)

        def error(x):
            return np.abs(points - x).min() ** 2 * stats.norm.pdf(x)

        value = integrate.quad(error, -9, 9, limit=2000, points=(points[1:] + points[:-1]) / 2)[0]
        assert codebook(bits).distortion == pytest.approx(value, rel=1e-6)


class TestDither:
    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_the_error_is_uniform_over_a_step_and_independent_of_the_value(self, bits):
        vector = conformance.distributions()["gaussian"]
        compressor = compressors.make("dither", bits=bits, bucket_size=conformance.LENGTH)
        step = 2 * float(vector.abs().max()) / (2**bits - 1)
        errors = (conformance.draw(compressor, vector, 2000) - vector.double()) / step
        assert errors.abs().max() <= 0.5 + 1e-4
        assert stats.kstest(errors.flatten().numpy() + 0.5, "uniform").pvalue > 1e-4
        assert float(errors.square().mean(dim=0).max()) < 1 / 12 * 1.15

    @pytest.mark.parametrize("bits", [2, 3, 4, 8])
    def test_at_most_0_55_of_the_error_of_stochastic_rounding(self, bits):
        vector = torch.randn(1 << 18, generator=torch.Generator().manual_seed(0))
        dither = relative(compressors.make("dither", bits=bits), vector, 1)
        uniform = relative(compressors.make("uniform", bits=bits, norm="linf"), vector, 1)
        assert dither <= 0.55 * uniform


class TestRotated:
    @pytest.mark.parametrize("bits", [1, 2, 3, 4, 6])
    @pytest.mark.parametrize("name", vectors())
    def test_the_error_is_that_of_theory_on_every_vector(self, bits, name):
        error = relative(compressors.make("rotated", bits=bits), vectors()[name])
        assert error == pytest.approx(relative_error(bits), rel=0.05)

    def test_known_errors(self):
        assert relative_error(1) == pytest.approx(np.pi / 2 - 1, rel=1e-6)
        assert relative_error(2) == pytest.approx(0.133, rel=0.01)
        assert relative_error(4) == pytest.approx(0.0096, rel=0.01)

    @pytest.mark.parametrize("bits", [1, 2, 4])
    @pytest.mark.parametrize("name", vectors())
    def test_bias_is_a_small_share_of_the_error(self, bits, name):
        """One rotation would make the two spikes all bias."""
        vector = vectors()[name]
        decoded = conformance.draw(compressors.make("rotated", bits=bits), vector, 2000)
        conformance.check_residual_bias(decoded, vector, 1 / 500)

    def test_the_inner_product_with_the_vector_is_kept(self):
        vector = vectors()["heavy-tail"]
        for draw in conformance.draw(compressors.make("rotated", bits=2), vector, 5):
            assert float(draw @ vector.double()) == pytest.approx(float(vector.double().square().sum()), rel=1e-5)

    @pytest.mark.parametrize("name", ["rotated", "rotated-dither"])
    @pytest.mark.parametrize("numel", [1, 255, 256, 257, 1024, 1025, 3000])
    def test_blocks_are_filled_to_a_power_of_two(self, name, numel):
        compressor = compressors.make(name, bits=3)
        blocks = -(-numel // 1024)
        assert compressor.payload_bytes(numel) == 8 + 4 * blocks + padded(numel, 1024) * 3 // 8
        assert compressor.symbol_count(numel) == padded(numel, 1024)
        assert padded(numel, 1024) % 256 == 0
        assert padded(numel, 1024) - numel < max(numel, 256)


@njit
def projected(block, n, bits, factor, trees, points, codes, sums):
    return project(block, n, bits, factor, trees, points, codes, sums)


DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def wild(numel, length, seed):
    """Blocks of usual numbers, of denormals, of zeros, of huge numbers, and two that are not finite."""
    vector = torch.randn(numel, generator=torch.Generator().manual_seed(seed))
    for block, rows in zip(vector.split(length)[1:], (1e-42, 0.0, 1e38, torch.inf, torch.nan), strict=False):
        block[len(block) // 2 :] *= rows
        block[: len(block) // 2] *= rows if np.isfinite(rows) else 1
    return vector


def rotated_payload(kernel, vector, layout, key):
    """One that begins at an odd address."""
    payload = torch.full([layout.payload_bytes(padded(len(vector), layout.bucket_size)) + 1], 99, dtype=torch.uint8)[1:]
    kernel.encode_rotated(vector, layout, key, payload)
    return payload


def same(a, b):
    """Equal bits but for NaN, whose sign and payload are the processor's own."""
    word = torch.int32 if a.dtype == torch.float32 else torch.int16
    return bool(((a.view(word) == b.view(word)) | (a.isnan() & b.isnan())).all())


class TestKernels:
    @pytest.mark.parametrize("layout_of", [projection_layout, even_layout])
    @pytest.mark.parametrize("length", LENGTHS)
    def test_bits_are_those_of_the_reference(self, layout_of, length):
        numels = (0, 1, 255, 256, length - 1, length + 1, 5 * length + 77)
        for (place, numel), bits in itertools.product(enumerate(numels), range(1, 9)):
            layout, dtype = layout_of(bits, length), DTYPES[(place + bits) % 3]
            vector = wild(numel, length, bits).to(dtype)
            payload = rotated_payload(reference, vector, layout, numel + bits)
            assert torch.equal(payload, rotated_payload(cpu, vector, layout, numel + bits))
            for add in (False, True):
                expected, decoded = vector.flip(0), vector.flip(0)
                reference.decode_rotated(payload, layout, expected, numel + bits, add)
                cpu.decode_rotated(payload, layout, decoded, numel + bits, add)
                assert same(expected, decoded)

    def test_bits_do_not_depend_on_threads(self):
        vector, layout, before = torch.randn(100_000), projection_layout(3, 256), threads()
        payload = rotated_payload(cpu, vector, layout, 5)
        decoded = torch.ones(100_000)
        cpu.decode_rotated(payload, layout, decoded, 5, True)
        set_threads(3)
        try:
            assert torch.equal(rotated_payload(cpu, vector, layout, 5), payload)
            shared = torch.ones(100_000)
            cpu.decode_rotated(payload, layout, shared, 5, True)
            assert torch.equal(shared, decoded)
        finally:
            set_threads(before)

    def test_ties_go_to_the_upper_point(self):
        """Zeros of both signs, and numbers just on the thresholds, in a basis that was not rotated."""
        layout = projection_layout(4, 256)
        thresholds = (torch.tensor(layout.points)[1:] + torch.tensor(layout.points)[:-1]) / 2
        block = torch.cat([thresholds, -thresholds, torch.tensor([0.0, -0.0])]).repeat(8)[:256].contiguous()
        codes, sums = np.empty(256, np.uint8), np.empty(64)
        trees, points = tables((layout.points,))
        projected(block.numpy(), 256, 4, np.float32(1), trees, points, codes, sums)
        expected = torch.searchsorted(thresholds, block, right=True)
        assert codes.tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["uniform", "minmax", "dither", "rotated", "rotated-dither", "nuqsgd", "alq"])
@pytest.mark.parametrize("numel", [0, 1, 300, 2500])
def test_payloads_come_apart_and_go_together_again(name, numel):
    compressor = compressors.make(name, bits=3)
    payload, _ = compressor.compress(torch.randn(numel))
    head, symbols = compressor.split(payload, numel)
    assert len(symbols) == compressor.symbol_count(numel)
    assert numel == 0 or symbols.max() < compressor.alphabet
    assert torch.equal(torch.cat([head, cpu.pack(symbols, compressor.layout)]), payload)


@pytest.mark.parametrize(
    ("name", "values", "center"),
    [
        ("uniform", {"bits": 3}, 3),
        ("nuqsgd", {"bits": 4}, 7),
        ("alq", {"zero": "no"}, None),
        ("minmax", {}, None),
        ("dither", {}, None),
        ("rotated", {}, None),
    ],
)
def test_center_is_the_symbol_of_zero(name, values, center):
    compressor = compressors.make(name, **values)
    assert compressor.center == center
    if center is not None:
        zero, up, down = (
            compressor.split(compressor.compress(torch.tensor([0.0, value]))[0], 2)[1].tolist() for value in (0, 1, -1)
        )
        assert zero == [center, center]
        assert up == [center, 2 * center]
        assert down == [center, 0]
