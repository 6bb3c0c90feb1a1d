"""The wire format against arithmetic done by hand, and every kernel against the reference."""

import itertools

import pytest
import torch
from scipy import stats

import compressors
from compressors.kernels import cpu, reference
from compressors.kernels.layout import Layout
from compressors.random import Stream, derive

LAYOUTS = [
    *(
        compressors.make("minmax", bits=bits, bucket_size=size).layout
        for bits in range(1, 9)
        for size in (1, 3, 8, 100)
    ),
    *(
        compressors.make("uniform", bits=bits, bucket_size=size, norm=norm).layout
        for bits, size, norm in itertools.product(range(2, 9), (1, 3, 8, 100, 1024), ("l1", "l2", "linf"))
    ),
    *(compressors.make("dither", bits=bits, bucket_size=size).layout for bits in range(1, 9) for size in (3, 8, 100)),
    *(
        compressors.make("alq", bits=bits, bucket_size=size, norm=norm, zero=zero).layout
        for bits, size, norm, zero in itertools.product((2, 3, 5, 8), (3, 100), ("l1", "l2", "linf"), ("yes", "no"))
    ),
    *(compressors.make("rotated", bits=bits, bucket_size=256).layout for bits in range(1, 9)),
]


def wild(numel: int) -> torch.Tensor:
    """Values from the least denormals to almost the largest, zeros of both signs among them."""
    vector = torch.randn(numel, generator=torch.Generator().manual_seed(numel))
    vector[::5] *= 1e-44
    vector[1::5] *= 1e36
    vector[2::7] = 0.0
    vector[3::11] = -0.0
    return vector


def name(layout: Layout) -> str:
    kind = "points" if layout.points else "dither" if layout.dithered else "grid"
    return f"{kind}-{layout.bits}-{layout.bucket_size}-{layout.norm}-{layout.levels}"


@pytest.mark.parametrize("layout", LAYOUTS, ids=name)
def test_cpu_kernel_has_the_bits_of_the_reference(layout: Layout):
    for numel in (0, 1, 7, 8, 9, 99, 100, 101, 1023, 1025):
        vector, key = wild(numel), derive(numel, layout.bits)
        payload = cpu.encode(vector, layout, key)
        assert torch.equal(payload, reference.encode(vector, layout, key))
        decoded, expected = (kernel.decode(payload, layout, numel, key) for kernel in (cpu, reference))
        assert torch.equal(decoded.view(torch.int32), expected.view(torch.int32))
        packed = payload[layout.header_bytes(numel) :]
        codes = cpu.unpack(packed, layout, numel)
        assert torch.equal(codes, reference.unpack(packed, layout, numel))
        assert torch.equal(cpu.pack(codes, layout), packed)
        assert torch.equal(reference.pack(codes, layout), packed)


@pytest.mark.parametrize("length", [1, 2, 64, 256, 2048])
def test_rotations_have_the_bits_of_the_reference(length):
    rows = wild(5 * length).view(5, length)
    rows[3] = 0
    rows[4, 0] = float("inf")
    rotated = [rows.clone(), rows.clone()]
    exponents = [kernel.rotate(r, 77, first=3) for kernel, r in zip((cpu, reference), rotated, strict=True)]
    assert torch.equal(*exponents)
    assert torch.equal(rotated[0][:4].view(torch.int32), rotated[1][:4].view(torch.int32))
    assert not rotated[0][4].isfinite().any()
    for kernel, r in zip((cpu, reference), rotated, strict=True):
        kernel.unrotate(r, 77, first=3)
    assert torch.equal(rotated[0][:4].view(torch.int32), rotated[1][:4].view(torch.int32))


def test_rotating_back_gives_the_rows_times_the_square_of_their_length():
    rows = torch.randn(3, 512, generator=torch.Generator().manual_seed(1))
    rotated = rows.clone()
    exponents = cpu.rotate(rotated, 5)
    scaled = rows / torch.exp2(exponents.float()).unsqueeze(1)
    assert ((scaled.abs().amax(dim=1) >= 0.5) & (scaled.abs().amax(dim=1) < 1)).all()
    energy = scaled.square().sum(dim=1)
    torch.testing.assert_close(rotated.square().sum(dim=1), energy * 512**2, rtol=1e-5, atol=0)
    cpu.unrotate(rotated, 5)
    torch.testing.assert_close(rotated / 512**2, scaled, rtol=0, atol=1e-6)


def test_rotation_by_hand():
    """Signs, Hadamard, signs, Hadamard: the matrix is orthogonal but for its scale, and not symmetric."""
    identity = torch.eye(4)
    matrix = identity.clone()
    exponents = reference.rotate(matrix, 9)
    assert exponents.tolist() == [1, 1, 1, 1]
    hadamard = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    for row in range(4):
        first, second = (reference._signs(identity, derive(9, turn), 0)[row] for turn in (1, 2))
        expected = hadamard @ (second * (hadamard @ (first * identity[row] / 2)))
        assert torch.equal(matrix[row], expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("norm", ["l2", "linf", "range"])
def test_a_bucket_with_a_non_finite_value_decodes_to_nan(bad, norm):
    layout = Layout(4, 8, levels=14, offset=0 if norm == "range" else 7, norm=norm)
    vector = torch.arange(24.0)
    vector[10] = bad
    for kernel in (reference, cpu):
        decoded = kernel.decode(kernel.encode(vector, layout, 1), layout, 24)
        assert decoded[8:16].isnan().all()
        assert decoded[:8].isfinite().all()
        assert decoded[16:].isfinite().all()
    assert torch.equal(reference.encode(vector, layout, 1), cpu.encode(vector, layout, 1))


def test_minmax_payload_by_hand():
    """Values on the grid have one possible code: [0, 3] in steps of 0.2, 16 codes of 4 bits."""
    codes = [0, 15, 1, 2, 3, 4, 5, 6]
    vector = torch.tensor(codes, dtype=torch.float64).mul(0.5).float()
    payload, _ = compressors.make("minmax", bits=4).compress(vector)
    header = payload[:8].view(torch.float32)
    assert header.tolist() == [0.5, 0.0]
    assert payload[8:].tolist() == [low | high << 4 for low, high in zip(codes[:4], codes[4:], strict=True)]


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_survive_packing(bits):
    codes = torch.randint(0, 2**bits, (3, 40), generator=torch.Generator().manual_seed(bits))
    layout = Layout(bits, 40, levels=2**bits - 1, offset=0, norm="range")
    packed = reference._pack(codes, layout)
    assert packed.shape == (3, 5 * bits)
    assert torch.equal(reference._unpack(packed, layout, 40), codes)


def test_three_bit_planes_by_hand():
    """Two low bits of 8 codes in 2 bytes, lanes a quarter apart; then their top bits in 1 byte."""
    codes = torch.tensor([[5, 0, 7, 2, 1, 6, 3, 4]])
    packed = reference._pack(codes, Layout(3, 8, levels=7, offset=0, norm="range"))
    low = [code & 3 for code in codes[0].tolist()]
    expected = [
        low[0] | low[2] << 2 | low[4] << 4 | low[6] << 6,
        low[1] | low[3] << 2 | low[5] << 4 | low[7] << 6,
        sum((code >> 2) << place for place, code in enumerate(codes[0].tolist())),
    ]
    assert packed[0].tolist() == expected


@pytest.mark.parametrize("words", [(0,), (1,), (0, 1), (1, 0), (2**63,)])
def test_random_numbers_are_uniform_and_independent(words):
    """Chi-square of single values and of neighbouring pairs, along positions and along buckets."""
    u = reference._uniform(torch.Size([256, 1024]), derive(*words), 0, torch.device("cpu"))
    assert u.min() >= 0
    assert u.max() < 1
    for matrix in (u, u.t()):
        values = matrix.flatten()
        counts = torch.histc(values, 256, 0, 1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
        pairs = (values[:-1] * 16).floor() * 16 + (values[1:] * 16).floor()
        assert stats.chisquare(torch.histc(pairs, 256, 0, 256).numpy()).pvalue > 1e-4


def test_streams_of_ranks_and_steps_are_uncorrelated():
    keys = [Stream(0, rank, step).next_key() for rank in range(4) for step in range(4)]
    assert len(set(keys)) == 16
    draws = torch.stack([reference._uniform(torch.Size([16, 1024]), k, 0, torch.device("cpu")).flatten() for k in keys])
    correlation = torch.corrcoef(draws) - torch.eye(16)
    assert correlation.abs().max() < 5 / 16384**0.5
