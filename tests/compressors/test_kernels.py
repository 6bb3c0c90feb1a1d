"""The wire format against arithmetic done by hand, and every kernel against the reference."""

import itertools
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats

import compressors
from compressors import kernels
from compressors.kernels import cpu, reference, threads
from compressors.kernels.common import pack_rows, uniform, unpack_rows
from compressors.kernels.layout import Layout
from compressors.random import Stream, derive, mix64, mix64_all

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


def encoded(kernel, vector: torch.Tensor, layout: Layout, key: int, offset: int = 0) -> torch.Tensor:
    """The payload, written from this byte of a buffer on; the bytes around it stay as they are."""
    size = layout.payload_bytes(len(vector))
    buffer = torch.full((offset + size + 7,), 0xA5, dtype=torch.uint8)
    kernel.encode(vector, layout, key, buffer[offset : offset + size])
    assert (buffer[:offset] == 0xA5).all()
    assert (buffer[offset + size :] == 0xA5).all()
    return buffer[offset : offset + size]


def decoded(kernel, payload: torch.Tensor, layout: Layout, vector: torch.Tensor, key: int, add: bool) -> torch.Tensor:
    """A copy of the vector after decoding, within a buffer whose other elements stay as they are."""
    buffer = torch.full((len(vector) + 19,), 5.0, dtype=vector.dtype)
    buffer[1 : 1 + len(vector)] = vector
    kernel.decode(payload, layout, buffer[1 : 1 + len(vector)], key, add)
    assert buffer[0] == 5
    assert (buffer[1 + len(vector) :] == 5).all()
    return buffer[1 : 1 + len(vector)].clone()


def bits(vector: torch.Tensor) -> torch.Tensor:
    """The bits of floats; every NaN has the same."""
    words = vector.view(torch.int32 if vector.dtype == torch.float32 else torch.int16)
    return torch.where(vector.isnan(), -1, words)


def assert_same(vector: torch.Tensor, layout: Layout, key: int, offset: int = 0) -> None:
    """Both kernels encode, decode and add alike."""
    payload = encoded(cpu, vector, layout, key, offset)
    assert torch.equal(payload, encoded(reference, vector, layout, key))
    before = wild(len(vector)).flip(0).to(vector.dtype)
    for add in (False, True):
        ours, theirs = (bits(decoded(kernel, payload, layout, before, key, add)) for kernel in (cpu, reference))
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name)
def test_cpu_kernel_has_the_bits_of_the_reference(layout: Layout):
    for numel in (0, 1, 7, 8, 9, 99, 100, 101, 1023, 1025):
        key = derive(numel, layout.bits)
        assert_same(wild(numel), layout, key, offset=numel % 8)
        packed = encoded(reference, wild(numel), layout, key)[layout.header_bytes(numel) :]
        codes = cpu.unpack(packed, layout, numel)
        assert torch.equal(codes, reference.unpack(packed, layout, numel))
        assert torch.equal(cpu.pack(codes, layout), packed)
        assert torch.equal(reference.pack(codes, layout), packed)


@pytest.mark.parametrize("size", [16, 100, 128, 1000, 1024, 3000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype_and_length_around_a_bucket(dtype, size):
    layouts = [
        compressors.make("uniform", bits=4, bucket_size=size).layout,
        compressors.make("uniform", bits=7, bucket_size=size, norm="l1").layout,
        compressors.make("minmax", bits=3, bucket_size=size).layout,
        compressors.make("dither", bits=5, bucket_size=size).layout,
        compressors.make("nuqsgd", bits=4, bucket_size=size).layout,
        compressors.make("nuqsgd", bits=6, bucket_size=size, norm="linf").layout,
    ]
    for layout, numel in itertools.product(layouts, (size - 1, size, size + 1, 2 * size + 17)):
        assert_same(torch.randn(numel, generator=torch.Generator().manual_seed(numel)).to(dtype), layout, numel, 1)
        assert_same(wild(numel).to(dtype), layout, numel, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_is_read_exactly(dtype):
    """All 2^16 of them, one to a bucket, so that a header holds its magnitude."""
    vector = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    layout = compressors.make("terngrad", bucket_size=1).layout
    header = encoded(cpu, vector, layout, 0)[: layout.header_bytes(len(vector))].clone().view(torch.float32)
    expected = torch.where(vector.isfinite(), vector.float().abs(), torch.nan)
    assert torch.equal(bits(header), bits(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_rounded_to_nearest_even(dtype):
    """Sums of two floats on, just below and just above the middle between halves, to overflow and denormals."""
    words = torch.arange(0, 2**15, 7).to(torch.int16)
    lower = words.view(dtype)
    lower, upper = (
        lower[(words + 1).view(dtype).isfinite()],
        (words + 1).view(dtype)[(words + 1).view(dtype).isfinite()],
    )
    middle = (lower.float() + upper.float()) / 2
    values = torch.cat([middle, middle.nextafter(torch.tensor(0.0)), middle.nextafter(torch.tensor(torch.inf))])
    values = torch.cat([values, -values, torch.tensor([torch.inf, torch.finfo(torch.float32).max])])
    layout = Layout(1, 1, levels=1, offset=0, norm="range")  # the value itself is in the header
    payload = encoded(reference, values, layout, 0)
    expected = torch.where(values.isfinite(), values, torch.nan).to(dtype)
    result = decoded(cpu, payload, layout, torch.zeros(len(values), dtype=dtype), 0, add=False)
    assert torch.equal(bits(result), bits(expected))


@pytest.mark.parametrize("bits_", [2, 4, 8])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_coordinates_on_the_points_and_beside_them(bits_, norm):
    """Where bisection could go wrong: at every point, one float below and one above."""
    layout = compressors.make("nuqsgd", bits=bits_, bucket_size=4096, norm=norm).layout
    points = torch.tensor(layout.points)
    beside = [points.nextafter(torch.tensor(side)) for side in (-torch.inf, torch.inf)]
    vector = torch.cat([points, *beside]).clamp(-1, 1)
    for scale in (1.0, 2.0**-140, 2.0**120):
        assert_same(vector * scale, layout, 11)


@pytest.fixture
def one_thread():
    yield
    threads.set_threads(1)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("spec", ["uniform", "dither", "minmax", "nuqsgd"])
@pytest.mark.parametrize("numel", [70_000, 131_072, 200_001])
def test_the_number_of_threads_changes_nothing(spec, numel):
    layout = compressors.make(spec).layout
    vector = torch.randn(numel, generator=torch.Generator().manual_seed(1))
    threads.set_threads(1)
    payload = encoded(cpu, vector, layout, 3)
    values = decoded(cpu, payload, layout, vector, 3, add=True)
    for number in (2, 3, 300):
        threads.set_threads(number)
        assert threads.threads() == number
        assert torch.equal(encoded(cpu, vector, layout, 3), payload)
        assert torch.equal(decoded(cpu, payload, layout, vector, 3, add=True), values)


@pytest.mark.usefixtures("one_thread")
def test_kernels_may_be_called_by_several_threads_at_once():
    threads.set_threads(3)
    layout = compressors.make("uniform").layout
    vectors = [torch.randn(100_000, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    expected = [encoded(cpu, vector, layout, 3) for vector in vectors]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            payloads = pool.map(lambda vector: encoded(cpu, vector, layout, 3), vectors)
            assert all(map(torch.equal, payloads, expected))


@pytest.mark.usefixtures("one_thread")
def test_a_failure_in_another_thread_is_raised():
    threads.set_threads(2)

    def fail(first: int, last: int) -> None:
        if first:
            raise RuntimeError(f"part {first} to {last}")

    with pytest.raises(RuntimeError, match="part 5 to 10"):
        threads.share(10, 1 << 20, fail)


def test_a_number_of_threads_that_cannot_be():
    for number in (0, -2):
        with pytest.raises(ValueError, match="at least one thread"):
            threads.set_threads(number)


@pytest.mark.usefixtures("one_thread")
def test_the_environment_sets_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(threads, "_given", None)
    monkeypatch.setattr(threads, "_share", 1)
    monkeypatch.delenv("HVD_QGENX_THREADS", raising=False)
    assert threads.threads() == 1
    threads.set_share(2)
    assert threads.threads() == 2
    monkeypatch.setenv("HVD_QGENX_THREADS", "3")
    assert threads.threads() == 3
    for bad in ("", "0", "-1", "two", "1.5", "\u0663"):
        monkeypatch.setenv("HVD_QGENX_THREADS", bad)
        with pytest.raises(ValueError, match="HVD_QGENX_THREADS"):
            threads.threads()
    threads.set_threads(4)
    assert threads.threads() == 4


def test_what_the_kernels_are_written_in():
    assert kernels.implementation(torch.device("cpu")) == "numba"
    assert kernels.for_device(torch.device("cpu")) is cpu
    assert kernels.implementation(torch.device("meta")) == "torch"


@pytest.mark.parametrize(("device", "missing", "module"), [("cpu", "numba", "cpu"), ("cuda", "triton", "gpu")])
def test_without_their_compiler_the_reference_takes_over_and_says_so_once(monkeypatch, device, missing, module):
    for name in [name for name in sys.modules if name.startswith(f"compressors.kernels.{module}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    kernels._kernel.cache_clear()
    try:
        with pytest.warns(UserWarning, match=f"{missing} cannot be imported"):
            assert kernels.for_device(torch.device(device)) is reference
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert kernels.for_device(torch.device(device)) is reference
            assert kernels.implementation(torch.device(device)) == "torch"
    finally:
        kernels._kernel.cache_clear()


def test_rotation_by_hand():
    """Signs, Hadamard, signs, Hadamard: the matrix is orthogonal but for its scale, and not symmetric."""
    identity = torch.eye(4)
    matrix = identity.clone()
    exponents = reference._rotate(matrix, 9)
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
        values = decoded(kernel, encoded(kernel, vector, layout, 1), layout, torch.zeros(24), 0, add=False)
        assert values[8:16].isnan().all()
        assert values[:8].isfinite().all()
        assert values[16:].isfinite().all()
    assert_same(vector, layout, 1)


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
    packed = pack_rows(codes, layout.bits)
    assert packed.shape == (3, 5 * bits)
    assert torch.equal(unpack_rows(packed, layout.bits, 40), codes)


def test_three_bit_planes_by_hand():
    """Two low bits of 8 codes in 2 bytes, lanes a quarter apart; then their top bits in 1 byte."""
    codes = torch.tensor([[5, 0, 7, 2, 1, 6, 3, 4]])
    packed = pack_rows(codes, 3)
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
    u = uniform(torch.Size([256, 1024]), derive(*words), 0, torch.device("cpu"))
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
    draws = torch.stack([uniform(torch.Size([16, 1024]), k, 0, torch.device("cpu")).flatten() for k in keys])
    correlation = torch.corrcoef(draws) - torch.eye(16)
    assert correlation.abs().max() < 5 / 16384**0.5


def test_all_words_are_mixed_as_one_is() -> None:
    words = [0, 1, 0x9E3779B97F4A7C15, 2**63, 2**64 - 1]
    assert mix64_all(np.array(words, np.uint64)).tolist() == [mix64(word) for word in words]
