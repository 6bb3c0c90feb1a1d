"""Correlated rounding: errors of ranks cancel in the mean, while every rank stays unbiased."""

import pytest
import torch
from torch import Tensor

import compressors
from compressors import Exempt, parameters
from compressors.dither import KEY, STRATA
from compressors.kernels import cpu, reference
from compressors.kernels.blocks import padded
from compressors.kernels.layout import packed_bytes
from compressors.kernels.strata import Strata
from hvd_qgenx.exchange.codec import Codec
from tests.compressors import conformance

ROUNDING = [name for name in compressors.names() if "rounding" in parameters.names(compressors.get(name))]
STOCHASTIC = [name for name in ROUNDING if name not in ("dither", "rotated-dither", "intsgd", "hint")]
"""Compressors that round to one of two values at random; integers have tests of their own, and dithers gain less."""
TABLES = ("dynamiq", "mxfp4", "mxfp8", "natural")
"""Those of them without a layout, whose kernels have tests of their own."""
DITHERS = ("dither", "rotated-dither")
NUMEL = 40_000


def ranks_of(name: str, ranks: int, **values) -> list[compressors.Compressor]:
    return [compressors.make(name, **values).for_rank(rank, seed=3, ranks=ranks) for rank in range(ranks)]


def error(name: str, rounding: str, vectors: Tensor, draws: int = 4, **values) -> float:
    """Mean squared error of the mean."""
    everyone, total = ranks_of(name, len(vectors), rounding=rounding, **values), 0.0
    for _ in range(draws):
        decoded = [one.decompress(*one.compress(v)) for one, v in zip(everyone, vectors, strict=True)]
        total += float((torch.stack(decoded).double().mean(0) - vectors.double().mean(0)).square().sum())
    return total / draws


def gain(name: str, vectors: Tensor, **values) -> float:
    return error(name, "random", vectors, **values) / error(name, "correlated", vectors, **values)


def normal(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, NUMEL, generator=torch.Generator().manual_seed(seed))


def test_all_grids_have_the_setting():
    assert {"alq", "amq", "intsgd", "levels", "minmax", "natural", "nuqsgd", "terngrad", "uniform"} <= set(ROUNDING)
    assert all(compressors.make(name).correlated == (name not in DITHERS) for name in ROUNDING)


@pytest.mark.parametrize(("ranks", "ratio"), [(2, 2.00), (3, 2.98), (4, 4.0), (8, 8.0), (16, 15.9), (64, 63.9)])
def test_gain_for_equal_vectors(ranks, ratio):
    assert gain("minmax", normal(1).expand(ranks, -1)) == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize(("ranks", "ratio"), [(2, 1.60), (3, 1.80), (4, 1.87), (8, 1.97), (16, 2.0), (64, 2.0)])
def test_gain_for_independent_vectors(ranks, ratio):
    assert gain("minmax", normal(ranks)) == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_opposite_vectors_gain_too(name):
    """Random numbers are used in the order of values, not of magnitudes."""
    vector = normal(1)
    assert gain(name, torch.cat([vector, -vector])) > 1.15


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_independent_vectors_never_lose(name, ranks):
    assert gain(name, normal(ranks), draws=2) > 1.05


@pytest.mark.parametrize("name", DITHERS)
def test_dithers_gain_where_vectors_are_alike_and_nothing_where_they_are_not(name):
    assert gain(name, normal(1).expand(3, -1)) == pytest.approx(1.8, rel=0.05)
    assert gain(name, normal(3)) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("name", ROUNDING)
@pytest.mark.parametrize(("ranks", "rank"), [(2, 1), (3, 0), (7, 4)])
def test_every_rank_stays_unbiased(name, ranks, rank):
    one = conformance.make((name, {"rounding": "correlated"}), seed=4).for_rank(rank, ranks=ranks)
    vector = conformance.distributions()["gaussian"]
    if name in ("intsgd", "hint"):
        one.set_scales([one.most / float(vector.abs().max())])
    conformance.check_unbiased(conformance.draw(one, vector, 1500), vector)


def payloads(kernel, layout, vector: Tensor, strata: Strata | None, rotated: bool) -> Tensor:
    numel = padded(len(vector), layout.bucket_size) if rotated else len(vector)
    payload = torch.empty(layout.payload_bytes(numel), dtype=torch.uint8)
    (kernel.encode_rotated if rotated else kernel.encode)(vector, layout, 5, payload, strata)
    return payload


@pytest.mark.parametrize("ranks", [2, 3, 1000])
@pytest.mark.parametrize("name", [*(each for each in STOCHASTIC if each not in TABLES), *DITHERS])
def test_the_kernel_agrees_with_the_reference(name, ranks):
    layout, rotated = compressors.make(name).layout, name == "rotated-dither"
    for numel in (0, 1, 1023, 1025, 3000):
        vector = normal(1)[0, :numel].contiguous()
        for rank in (0, ranks - 1):
            strata = Strata(2**64 - 9, rank, ranks)
            ours, theirs = (payloads(kernel, layout, vector, strata, rotated) for kernel in (cpu, reference))
            assert torch.equal(ours, theirs)
            decoded = [torch.ones_like(vector) for _ in range(2)]
            for kernel, out in zip((cpu, reference), decoded, strict=True):
                decode = kernel.decode_rotated if rotated else kernel.decode
                decode(ours, layout, out, 5, True, strata)
            assert torch.equal(*decoded)


@pytest.mark.parametrize("bits", [8, 9])
def test_powers_of_two_agree_with_the_reference(bits):
    vector = normal(1)[0, :3000].contiguous()
    for rank in range(3):
        ours, theirs = (torch.empty(packed_bytes(bits, 1024, 3000), dtype=torch.uint8) for _ in range(2))
        cpu.encode_natural(vector, bits, 5, ours, Strata(9, rank, 3))
        reference.encode_natural(vector, bits, 5, theirs, Strata(9, rank, 3))
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ROUNDING)
def test_alone_it_is_independent_rounding(name):
    """With one rank, and for the mean that an exchange compresses again, there is nothing to correlate with."""
    vector = normal(1)[0]
    alone = [compressors.make(name, rounding=each, seed=3) for each in ("correlated", "random")]
    assert torch.equal(*(each.compress(vector)[0] for each in alone))
    one = ranks_of(name, 3, rounding="correlated")[1]
    codec = Codec([(one, NUMEL)], torch.float32)
    ((own, shared),) = codec.next_keys()
    kept = []
    for keys in ([own, shared], [own, None]):
        payload = torch.zeros(codec.payload_bytes(0, NUMEL), dtype=torch.uint8)
        codec.encode(vector, 0, [type(codec.next_keys()[0])(*keys)], payload)
        kept.append(payload)
    assert name in ("intsgd", "hint") or not torch.equal(*kept)


@pytest.mark.parametrize("name", DITHERS)
def test_a_dithers_payload_tells_how_it_was_rounded(name):
    """Any rank can decode it, and so can the owner of a mean that was rounded alone."""
    first, second, _ = ranks_of(name, 3, rounding="correlated")
    vector = normal(1)[0]
    payload, context = first.compress(vector)
    assert len(payload) == first.payload_bytes(NUMEL) == compressors.make(name).payload_bytes(NUMEL) + STRATA.size
    assert torch.equal(second.decompress(payload, context), first.decompress(payload, context))
    alone = torch.empty_like(payload)
    first.encode(vector, alone, 5)
    plain = torch.empty(compressors.make(name).payload_bytes(NUMEL), dtype=torch.uint8)
    compressors.make(name).encode(vector, plain, 5)
    assert torch.equal(second.decompress(alone, context), compressors.make(name).decompress(plain, context))
    payload[KEY.size + 8] = 7
    with pytest.raises(ValueError, match="rank 7 of 3"):
        second.decompress(payload, context)


def test_combinators_pass_the_shared_key_on():
    vector = normal(1)[0]
    for wrap in (compressors.Coded, Exempt):
        plain = ranks_of("minmax", 2)
        wrapped = [wrap(compressors.make("minmax")).for_rank(rank, seed=3, ranks=2) for rank in range(2)]
        for one, other in zip(plain, wrapped, strict=True):
            expected = one.decompress(*one.compress(vector.view(200, -1)))
            assert torch.equal(other.decompress(*other.compress(vector.view(200, -1))), expected)
