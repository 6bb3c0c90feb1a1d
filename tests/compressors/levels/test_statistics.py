"""What ranks send: the weights that make the objective the true error, and what does not count."""

import numpy as np
import pytest
import torch

from compressors.levels import sets, statistics
from compressors.levels.fit import fit
from compressors.levels.objective import probabilities, relative_error, variance
from tests.compressors.levels.exact import ORDERS, squared_error

NORMS = ["l1", "l2", "linf"]


def uneven(seed, count=6400, bucket_size=64):
    """Heavy-tailed values, a third of them zero, in buckets of very different norm."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(count, generator=random) / torch.rand(count, generator=random)
    scales = torch.exp(3 * torch.randn(count // bucket_size, generator=random)).repeat_interleave(bucket_size)
    return values * scales * (torch.rand(count, generator=random) > 1 / 3)


@pytest.mark.parametrize("norm", NORMS)
def test_the_objective_is_the_true_error(norm):
    """Exactly, if the levels are edges of bins; to a few per cent otherwise; the last bucket is shorter."""
    vector = uneven(0)[:6390]
    _, histogram = statistics.merge([statistics.collect(vector, 64, norm)])
    energy = float(vector.double().square().sum())
    buckets = vector.double().split(64)
    weight = sum(len(b) * float(torch.linalg.vector_norm(b, ORDERS[norm])) ** 2 for b in buckets)
    for levels in (np.array([0, 2**-12, 2**-6, 5 / 16, 1]), np.array([2**-9, 1 / 4, 1]), np.array([0, 1])):
        error = squared_error(levels, vector.numpy(), 64, norm)
        assert variance(levels, histogram) * weight == pytest.approx(error, rel=1e-9)
        assert relative_error(levels, histogram) == pytest.approx(error / energy, rel=1e-9)
    for levels in (sets.uniform(4), np.array([0, 0.001, 0.0137, 0.11, 1])):
        error = squared_error(levels, vector.numpy(), 64, norm)
        assert relative_error(levels, histogram) == pytest.approx(error / energy, rel=0.01)


def test_the_mixture_has_the_mean_and_deviation_of_every_bucket():
    vector = uneven(1, 640)
    normals, _ = statistics.merge([statistics.collect(vector, 64, "linf")])
    buckets = vector.double().view(-1, 64)
    norms = buckets.abs().amax(1)
    np.testing.assert_allclose(normals.mean, (buckets / norms[:, None]).mean(1), rtol=1e-6)
    np.testing.assert_allclose(normals.std, (buckets / norms[:, None]).std(1, correction=0), rtol=1e-6)
    single = [
        statistics.TruncatedNormals(*row[:, None]) for row in np.array([normals.mean, normals.std, np.ones(10)]).T
    ]
    expected = np.average([one.moments([0.1]) for one in single], axis=0, weights=norms**2)
    np.testing.assert_allclose(normals.moments([0.1]), expected, rtol=1e-6)


def test_normals_and_histogram_agree_on_normals():
    vector = torch.randn(1 << 19, generator=torch.Generator().manual_seed(2))
    normals, histogram = statistics.merge([statistics.collect(vector, 1024, "l2")])
    for levels, error in ((sets.uniform(4), 2.647), (sets.exponential(4), 0.0955)):
        assert relative_error(levels, normals) == pytest.approx(error, rel=0.01)
        assert relative_error(levels, histogram) == pytest.approx(error, rel=0.01)
    for distribution in (normals, histogram):
        levels = fit("alq", distribution, sets.uniform(4)).levels
        error = squared_error(levels, vector.numpy(), 1024, "l2") / float(vector.square().sum())
        assert 0.036 < error <= 0.037


def test_parts_add_up_to_the_whole():
    vector = uneven(3)
    parts = [statistics.collect(part, 64, "l2") for part in vector.split(1280)]
    normals, histogram = statistics.merge(parts)
    _, whole = statistics.merge([statistics.collect(vector, 64, "l2")])
    x = np.linspace(0, 1, 99)
    np.testing.assert_allclose(histogram.moments(x), whole.moments(x), rtol=1e-9, atol=1e-15)
    assert len(normals.mean) == 100
    assert all(part.shape == parts[0].shape for part in parts)
    assert parts[0].nbytes < 16_000


def test_chunks_make_no_difference(monkeypatch):
    vector = uneven(4)
    expected = statistics.collect(vector, 64, "l2")
    monkeypatch.setattr(statistics, "CHUNK", 100)
    np.testing.assert_allclose(statistics.collect(vector, 64, "l2"), expected, rtol=1e-12)


def test_sampled_buckets_are_spread_over_the_vector():
    """Bucket i of 1000 holds i + 1 at its second place: mean and deviation tell which it is."""
    vector = torch.ones(1000, 2)
    vector[:, 1] = torch.arange(1.0, 1001)
    normals, _ = statistics.merge([statistics.collect(vector.flatten(), 2, "linf")])
    found = 1 / (2 * normals.mean - 1)
    assert len(found) == statistics.SAMPLES
    assert found[0] == pytest.approx(1)
    assert found[-1] == pytest.approx(1000)
    assert np.diff(found).max() < 12


@pytest.mark.parametrize("norm", NORMS)
def test_scale_does_not_matter(norm):
    vector = uneven(5)
    vector /= vector.abs().max()
    _, expected = statistics.merge([statistics.collect(vector, 64, norm)])
    x = np.geomspace(1e-4, 1, 50)
    for scale in (2.0**127, 2.0**-60):
        _, histogram = statistics.merge([statistics.collect(vector * scale, 64, norm)])
        np.testing.assert_allclose(histogram.moments(x), expected.moments(x), rtol=1e-5)


def test_buckets_that_do_not_count():
    good = uneven(6, 640)
    bad = good.clone()
    bad[:64] = torch.cat([good[:63], torch.tensor([torch.inf])])
    bad[64:128] = torch.nan
    bad[128:192] = 0
    for found, expected in zip(
        statistics.merge([statistics.collect(bad, 64, "l2")]),
        statistics.merge([statistics.collect(good[192:], 64, "l2")]),
        strict=True,
    ):
        x = np.linspace(0, 1, 33)
        np.testing.assert_allclose(found.moments(x), expected.moments(x), rtol=1e-9)


@pytest.mark.parametrize("vector", [torch.zeros(0), torch.zeros(200), torch.full((200,), torch.nan)])
def test_nothing_to_see(vector):
    part = statistics.collect(vector, 64, "l2")
    assert np.isfinite(part).all()
    for distribution in statistics.merge([part, part]):
        assert distribution.empty
        np.testing.assert_array_equal(fit("alq", distribution, sets.uniform(4)).levels, sets.uniform(4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type(dtype):
    vector = torch.linspace(-1, 1, 640).to(dtype)
    expected = statistics.collect(vector.float(), 64, "l2")
    np.testing.assert_allclose(statistics.collect(vector, 64, "l2"), expected, rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bucket_size", [1, 7, 10_000])
def test_any_bucket_size(norm, bucket_size):
    vector = uneven(7, 640)
    normals, histogram = statistics.merge([statistics.collect(vector, bucket_size, norm)])
    error = squared_error(np.array([0, 1 / 4, 1]), vector.numpy(), bucket_size, norm)
    found = relative_error(np.array([0, 1 / 4, 1]), histogram)
    assert found == pytest.approx(error / float(vector.double().square().sum()), rel=1e-9, abs=1e-12)
    assert normals.moments([1.0])[0, 0] == pytest.approx(1)


def test_symbols_are_counted_whatever_the_norm_of_their_bucket():
    """Two buckets, one a million times greater, and one of zeros."""
    vector = torch.tensor([1e6, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    parts = [statistics.collect(vector, 4, "linf")]
    np.testing.assert_allclose(probabilities(np.array([0, 1]), statistics.unweighted(parts)), [7 / 12, 5 / 12])
    _, weighted = statistics.merge(parts)
    np.testing.assert_allclose(probabilities(np.array([0, 1]), weighted), [3 / 4, 1 / 4], rtol=1e-6)


def test_buckets_of_one_norm_weigh_as_they_count():
    random = torch.Generator().manual_seed(8)
    buckets = torch.randn(50, 64, generator=random)
    vector = (3 * buckets / torch.linalg.vector_norm(buckets, dim=1, keepdim=True)).flatten()
    parts = [statistics.collect(vector, 64, "l2")]
    x = np.geomspace(1e-4, 1, 50)
    np.testing.assert_allclose(
        statistics.unweighted(parts).moments(x), statistics.merge(parts)[1].moments(x), rtol=1e-5
    )


def test_a_shorter_bucket_weighs_less_in_the_mixture():
    """Two buckets of norm 1, of four coordinates at 1 and of one at -1."""
    normals, _ = statistics.merge([statistics.collect(torch.tensor([1.0, 1, 0, 0, -1]), 4, "linf")])
    np.testing.assert_allclose(normals.mean, [0.5, -1])
    four = statistics.TruncatedNormals(np.array([0.5]), np.array([0.5]), np.ones(1)).moments([0.6])
    np.testing.assert_allclose(normals.moments([0.6]), 4 / 5 * four, rtol=1e-9)
