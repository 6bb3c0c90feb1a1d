"""Level quantizers: wire format, versions, and levels that are learned."""

import pytest
import torch

import compressors
from compressors.kernels import cpu, reference
from tests.compressors import conformance
from tests.compressors.kernels import encoded

ADAPTIVE = ("alq", "alq-gd", "amq")


def learned(name: str, vector: torch.Tensor, **values) -> compressors.AdaptiveLevels:
    compressor = compressors.make(name, **values)
    compressor.apply(compressor.fit([compressor.observe(vector)]))
    return compressor


def relative(compressor, vector: torch.Tensor) -> float:
    decoded = compressor.decompress(*compressor.compress(vector))
    return float((decoded - vector).square().sum() / vector.square().sum())


def test_payload_by_hand():
    """Version 0 and the levels' checksum; the norm; then levels themselves have one possible code."""
    compressor = compressors.make("levels", bits=3, norm="linf", level_set="0,0.25,0.5,1")
    vector = torch.tensor([0.0, 0.5, -1.0, 2.0, -2.0, 0.0, 1.0, -0.5])
    payload, _ = compressor.compress(vector)
    assert payload[:2].tolist() == [0, 0]
    assert payload[4:8].view(torch.float32).tolist() == [2.0]
    codes = [3, 4, 1, 6, 0, 3, 5, 2]
    low = [code & 3 for code in codes]
    packed = [low[i] | low[i + 2] << 2 | low[i + 4] << 4 | low[i + 6] << 6 for i in (0, 1)]
    packed.append(sum((code >> 2) << place for place, code in enumerate(codes)))
    assert payload[8:].tolist() == packed


def test_exponential_levels_are_those_of_nuqsgd():
    assert compressors.make("nuqsgd", bits=4).levels == (0, *(2.0**-j for j in range(6, -1, -1)))
    assert compressors.make("nuqsgd", bits=3, base=0.25).levels == (0, 0.0625, 0.25, 1)


def test_ternary_sends_the_largest_magnitude_or_nothing():
    compressor = compressors.make("terngrad")
    vector = torch.tensor([0.1, -0.4, 0.2])
    values = {x for draw in conformance.draw(compressor, vector, 50) for x in draw.tolist()}
    assert values == {-0.4000000059604645, 0.0, 0.4000000059604645}


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("zero", ["yes", "no"])
def test_variance_is_the_formula(norm, zero):
    """Not only under it: the sum of (upper - u)(u - lower) is the variance of two-point rounding."""
    vector = conformance.distributions()["gaussian"]
    compressor = compressors.make("alq", bits=3, norm=norm, zero=zero, bucket_size=conformance.LENGTH)
    draws = conformance.draw(compressor, vector.repeat(100), 200).view(-1, len(vector))  # buckets are independent
    errors = (draws - vector.double()).square().sum(dim=1)
    tolerance = 5 * float(errors.std()) / len(errors) ** 0.5
    assert float(errors.mean()) == pytest.approx(compressor.variance_bound(vector), abs=tolerance)


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("fitted_to", ["histogram", "normal"])
@pytest.mark.parametrize("zero", ["yes", "no"])
def test_learning_lowers_the_error_and_says_by_how_much(name, norm, fitted_to, zero):
    vector = torch.randn(1 << 16, generator=torch.Generator().manual_seed(2))
    settings = {"bits": 3, "norm": norm, "fitted_to": fitted_to, "zero": zero}
    compressor = compressors.make(name, **settings)
    before = compressor.variance_bound(vector)
    level_update = compressor.fit([compressor.observe(vector)])
    assert compressor.version == 0  # fitting alone changes nothing
    compressor.apply(level_update)
    assert (compressor.version, compressor.levels) == (1, level_update.levels)
    after = compressor.variance_bound(vector)
    assert after < before
    assert level_update.new_variance / level_update.old_variance == pytest.approx(after / before, rel=0.05)
    conformance.check_unbiased(conformance.draw(compressor, vector[:100], 2000), vector[:100])


def test_known_error_of_a_gaussian_bucket():
    """Bucket 1024, 6 inner levels, L2: exponential 0.096, fitted 0.037."""
    vector = torch.randn(1 << 20, generator=torch.Generator().manual_seed(2))
    squares = float(vector.square().sum())
    assert compressors.make("nuqsgd", bits=4).variance_bound(vector) / squares == pytest.approx(0.096, rel=0.01)
    assert learned("alq", vector, bits=4).variance_bound(vector) / squares <= 0.0372


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_fitted_levels_beat_uniform_and_exponential_ones(norm, bits):
    vector = torch.randn(1 << 18, generator=torch.Generator().manual_seed(4))
    fitted = relative(learned("alq", vector, bits=bits, norm=norm), vector)
    assert fitted < relative(compressors.make("uniform", bits=bits, norm=norm), vector)
    assert fitted < relative(compressors.make("nuqsgd", bits=bits, norm=norm), vector)


def test_ranks_learn_from_all():
    """Levels fitted to two ranks' statistics are those fitted to both vectors."""
    vectors = torch.randn(1 << 14), 5 * torch.randn(1 << 14).pow(3)
    ranks = [compressors.make("alq", bits=4) for _ in vectors]
    level_update = ranks[0].fit([rank.observe(vector) for rank, vector in zip(ranks, vectors, strict=True)])
    alone = ranks[1].fit([ranks[1].observe(torch.cat(vectors))])
    assert level_update.levels == pytest.approx(alone.levels, rel=1e-3)
    assert level_update.levels != ranks[0].fit([ranks[0].observe(vectors[0])]).levels


@pytest.mark.parametrize("vector", [torch.zeros(5000), torch.full((3000,), float("nan")), torch.zeros(0)])
def test_nothing_to_learn_from_leaves_the_levels(vector):
    compressor = compressors.make("alq")
    level_update = compressor.fit([compressor.observe(vector)])
    assert level_update.levels == compressor.levels


def test_statistics_are_a_few_kilobytes():
    compressor = compressors.make("alq")
    assert compressor.observe(torch.randn(1 << 20)).nbytes <= 16384


def test_a_payload_of_other_levels_is_an_error():
    vector = torch.randn(3000)
    old, new = compressors.make("alq"), learned("alq", vector)
    for made, read in ((old, new), (new, old)):
        with pytest.raises(ValueError, match=f"made with level version {made.version}, this rank has {read.version}"):
            read.decompress(*made.compress(vector))
    other = learned("alq", torch.rand(3000))
    with pytest.raises(ValueError, match="made with other levels of version 1"):
        other.decompress(*new.compress(vector))


def test_levels_are_state():
    vector = torch.randn(3000)
    one = learned("amq", vector, bits=4)
    two = compressors.make("amq", bits=4)
    two.load_state_dict(one.state_dict())
    assert (two.version, two.levels) == (1, one.levels)
    assert torch.equal(one.compress(vector)[0], two.compress(vector)[0])
    assert one.for_rank(3).levels == one.levels


def test_both_kernels_know_learned_levels():
    vector = torch.randn(5000)
    layout = learned("alq", vector, bits=5, zero="no").layout
    assert torch.equal(encoded(cpu, vector, layout, 3), encoded(reference, vector, layout, 3))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"level_set": "0,0.5,0.3,1"}, "levels must increase, but 0.5 is followed by 0.3"),
        ({"level_set": "0,0.5,1.5,1"}, r"levels must lie in \[0, 1\], not at 1.5"),
        ({"level_set": "0.1,0.2,0.5,1"}, "the first level must be 0, not 0.1"),
        ({"level_set": "0,0.2,0.5,0.9"}, "the last level must be 1, not 0.9"),
        ({"level_set": "0,0.5,1"}, "3 levels are too few for 3 bits, which take 4"),
        ({"level_set": "0,0.5,1", "bits": 2}, "3 levels are too many for 2 bits, which take 2"),
        ({"level_set": "0,one"}, "'0,one' is not a list of numbers"),
    ],
)
def test_bad_levels_are_named(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        compressors.make("levels", **values)
