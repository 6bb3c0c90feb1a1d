"""The kernels for GPUs against the reference, bit for bit: on a GPU, or on the CPU through Triton's interpreter."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import compressors
from compressors.integers import WIDTHS
from compressors.kernels import integers, natural, reference
from compressors.kernels.blocks import padded
from compressors.kernels.integers import Rounded
from compressors.kernels.layout import Layout, packed_bytes
from compressors.kernels.strata import Strata
from compressors.random import derive

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when programs are decorated
pytest.importorskip("triton")

from compressors.kernels import gpu  # noqa: E402

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = [
    *(compressors.make("minmax", bits=bits, bucket_size=size).layout for bits in range(1, 9) for size in (8, 100)),
    *(
        compressors.make("uniform", bits=bits, bucket_size=size, norm=norm).layout
        for bits, size, norm in itertools.product((2, 7), (1, 3, 8, 96, 100, 256), ("l1", "l2", "linf"))
    ),
    *(compressors.make("dither", bits=bits, bucket_size=size).layout for bits in (1, 4, 5) for size in (3, 100, 256)),
    *(
        compressors.make("alq", bits=bits, bucket_size=size, norm=norm, zero=zero).layout
        for bits, size, norm, zero in itertools.product((2, 3, 8), (3, 256), ("l1", "l2", "linf"), ("yes", "no"))
    ),
    *(compressors.make(name, bucket_size=100).layout for name in ("terngrad", "nuqsgd", "levels")),
    *(compressors.make("rotated", bits=bits, bucket_size=256).layout for bits in (1, 4, 6, 8)),
]
FEW = [
    compressors.make("minmax", bits=3, bucket_size=64).layout,
    compressors.make("uniform", bits=4, bucket_size=1024, norm="l2").layout,
    compressors.make("dither", bits=5, bucket_size=100).layout,
    compressors.make("alq", bits=4, bucket_size=256).layout,
]


@pytest.fixture(autouse=True)
def _quiet():
    """Numpy warns of what the kernels do on purpose."""
    with np.errstate(all="ignore"):
        yield


def name(layout: Layout) -> str:
    kind = "points" if layout.points else "dither" if layout.dithered else "grid"
    return f"{kind}-{layout.bits}-{layout.bucket_size}-{layout.norm}-{layout.levels}"


def wild(numel: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Values from the least denormals to near the largest, zeros of both signs among them."""
    vector = torch.randn(numel, generator=torch.Generator().manual_seed(numel))
    vector[::5] *= 1e-44
    vector[1::5] *= 1e36
    vector[2::7] = 0.0
    vector[3::11] = -0.0
    return vector.clamp(-6e4, 6e4).to(dtype) if dtype == torch.float16 else vector.to(dtype)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """The same bits; NaN where NaN is expected."""
    found = found.cpu()
    assert torch.equal(found.isnan(), expected.isnan())
    words = torch.int32 if expected.dtype == torch.float32 else torch.int16
    keep = ~expected.isnan()
    assert torch.equal(found.view(words)[keep], expected.view(words)[keep])


def written(write, numel: int) -> torch.Tensor:
    """The bytes that ``write`` puts into a payload at an odd address, after a look at those around it."""
    space = torch.full((numel + 8,), 0xAB, dtype=torch.uint8, device=DEVICE)
    write(space[3 : 3 + numel])
    assert (space[:3] == 0xAB).all()
    assert (space[3 + numel :] == 0xAB).all()
    return space[3 : 3 + numel].cpu()


def check_codec(kernel_encode, kernel_decode, expected_encode, expected_decode, vector, numel):
    """Both directions of both kernels: what is written, what is decoded, and what is added."""
    payload = torch.empty(numel, dtype=torch.uint8)
    expected_encode(vector, payload)
    assert torch.equal(written(lambda space: kernel_encode(vector.to(DEVICE), space), numel), payload)
    for add in (False, True):
        expected, found = vector.clone(), vector.to(DEVICE, copy=True)
        expected_decode(payload, expected, add)
        kernel_decode(payload.to(DEVICE), found, add)
        assert_same(found, expected)


def check(layout: Layout, vector: torch.Tensor, key: int = 0, strata: Strata | None = None) -> None:
    check_codec(
        lambda x, payload: gpu.encode(x, layout, key, payload, strata),
        lambda payload, x, add: gpu.decode(payload, layout, x, key, add, strata),
        lambda x, payload: reference.encode(x, layout, key, payload, strata),
        lambda payload, x, add: reference.decode(payload, layout, x, key, add, strata),
        vector,
        layout.payload_bytes(len(vector)),
    )


def check_rotated(layout: Layout, vector: torch.Tensor, key: int, strata: Strata | None = None) -> None:
    check_codec(
        lambda x, payload: gpu.encode_rotated(x, layout, key, payload, strata),
        lambda payload, x, add: gpu.decode_rotated(payload, layout, x, key, add, strata),
        lambda x, payload: reference.encode_rotated(x, layout, key, payload, strata),
        lambda payload, x, add: reference.decode_rotated(payload, layout, x, key, add, strata),
        vector,
        layout.payload_bytes(padded(len(vector), layout.bucket_size)),
    )


@pytest.mark.parametrize("layout", FEW, ids=name)
def test_random_numbers_that_are_correlated_over_ranks(layout):
    for strata in (Strata(0, 0, 2), Strata(2**64 - 1, 1, 2), Strata(2**63, 16, 17)):
        for numel in (1, layout.bucket_size, 2 * layout.bucket_size + 9):
            check(layout, wild(numel), derive(numel), strata)
    check_rotated(compressors.make("rotated-dither", bits=4).layout, wild(1500), 3, Strata(7, 1, 3))


@pytest.mark.parametrize("layout", LAYOUTS, ids=name)
def test_kernel_has_the_bits_of_the_reference(layout):
    for numel in (0, 7, layout.bucket_size, 3 * layout.bucket_size + 1):
        check(layout, wild(numel), derive(numel, layout.bits))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", FEW, ids=name)
def test_any_dtype_and_the_sizes_around_a_bucket(layout, dtype):
    for numel in (1, layout.bucket_size - 1, layout.bucket_size + 1, 2 * layout.bucket_size + 9):
        check(layout, wild(numel, dtype), derive(numel))


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_key(key):
    """As a number, or as the bytes that precede a payload."""
    layout, vector = FEW[2], wild(250)
    check(layout, vector, key)
    payload = torch.empty(layout.payload_bytes(250), dtype=torch.uint8)
    reference.encode(vector, layout, key, payload)
    space = torch.tensor([7, *key.to_bytes(8, "little"), *payload], dtype=torch.uint8, device=DEVICE)
    expected, found = torch.empty(250), torch.empty(250, device=DEVICE)
    reference.decode(payload, layout, expected, key)
    gpu.decode(space[9:], layout, found, space[1:9])
    assert_same(found, expected)


@pytest.mark.parametrize("layout", FEW, ids=name)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3.4e38])
def test_buckets_that_are_not_finite(layout, bad):
    """One coordinate that is not, or so many large ones that their norm is not, in the middle one of three buckets."""
    vector = wild(3 * layout.bucket_size)
    span = slice(layout.bucket_size, 2 * layout.bucket_size, layout.bucket_size // 2 if bad != 3.4e38 else 1)
    vector[span] = bad
    check(layout, vector)


@pytest.mark.parametrize("layout", FEW, ids=name)
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -3e38, 5.0])
def test_buckets_of_one_value(layout, value):
    check(layout, torch.full((layout.bucket_size + 3,), value))


@pytest.mark.parametrize("bucket_size", [250, 256])
def test_sums_are_folded_in_the_order_of_the_reference(bucket_size):
    """2^60 swallows a 128, but not two that met before; here they do if the higher bit of a place goes first."""
    layout = compressors.make("alq", bits=3, bucket_size=bucket_size, norm="l1").layout
    vector = torch.zeros(7, bucket_size)
    vector[:, 0] = 2.0**60
    for bit in range(7):
        vector[bit, [1 << bit, 3 << bit]] = 128.0
    payload = torch.empty(layout.payload_bytes(vector.numel()), dtype=torch.uint8)
    reference.encode(vector.flatten(), layout, 0, payload)
    assert (payload[:28].view(torch.float32) > 2.0**60).all()
    check(layout, vector.flatten())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_values_are_rounded_to_the_nearest_even(dtype):
    ties = [1 + odd * 2.0**-place for place in (8, 11) for odd in (1, 3)]
    edges = [65519.0, 65520.0, 3.39e38, 3.4e38, 2.0**-25, 3 * 2.0**-25, 2.0**-134, 3 * 2.0**-134, 1e-45]
    values = torch.tensor([sign * value for value in (*ties, *edges) for sign in (1, -1)])
    header = torch.stack([values, torch.zeros_like(values)], dim=1).view(-1).view(torch.uint8)
    payload = torch.cat([header, torch.ones(len(values), dtype=torch.uint8)])
    found = torch.empty(len(values), dtype=dtype, device=DEVICE)
    gpu.decode(payload.to(DEVICE), compressors.make("minmax", bits=1, bucket_size=1).layout, found)
    assert_same(found, values.to(dtype))


def test_buckets_too_long_for_registers_are_left_to_the_reference():
    layout = compressors.make("uniform", bits=4, bucket_size=gpu.LONGEST + 5).layout
    check(layout, wild(gpu.LONGEST + 1))
    codes = torch.arange(gpu.LONGEST + 1).remainder(16).to(torch.uint8)
    assert torch.equal(gpu.unpack(gpu.pack(codes.to(DEVICE), layout), layout, len(codes)).cpu(), codes)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.norm == "range"], ids=name)
def test_codes_are_packed_as_by_the_reference(layout):
    codes = torch.randint(0, 2**layout.bits, (301,), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    packed = reference.pack(codes, layout)
    assert torch.equal(gpu.pack(codes.to(DEVICE), layout).cpu(), packed)
    assert torch.equal(gpu.unpack(packed.to(DEVICE), layout, 301).cpu(), codes)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["rotated", "rotated-dither"])
def test_rotated_kernel_has_the_bits_of_the_reference(name, dtype):
    for bits, bucket_size, numels in ((4, 256, (0, 1, 256, 900)), (3, 1024, (1300,)), (8, 8192, (8192,))):
        layout = compressors.make(name, bits=bits, bucket_size=bucket_size).layout
        for numel in numels:
            check_rotated(layout, wild(numel, dtype), derive(numel))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3.4e38])
def test_rotated_blocks_that_are_not_finite(bad):
    vector = wild(768)
    vector[300:500] = bad
    check_rotated(compressors.make("rotated", bits=4, bucket_size=256).layout, vector, 5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_variable_kernel_has_the_bits_of_the_reference(dtype):
    """All widths, one of them twice, blocks not sent and one that is not finite; and zeros after the last."""
    layouts = [compressors.make("rotated", bits=bits, bucket_size=256).layout for bits in range(1, 9)]
    widths = torch.tensor([5, 0, 8, 1, 3, 15, 3, 2, 7, 0, 6, 4])
    vector = wild(256 * len(widths) - 100, dtype)
    factors = torch.rand(len(widths), dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
    factors[[1, 5]] = torch.tensor([float("inf"), float("nan")], dtype=torch.float64)
    check_codec(
        lambda x, body: gpu.encode_variable(x, layouts, widths.to(DEVICE), factors.to(DEVICE), 9, body),
        lambda body, x, add: gpu.decode_variable(body, layouts, widths.to(DEVICE), x, 9, add),
        lambda x, body: reference.encode_variable(x, layouts, widths, factors, 9, body),
        lambda body, x, add: reference.decode_variable(body, layouts, widths, x, 9, add),
        vector,
        sum(layouts[width - 1].payload_bytes(256) for width in widths.tolist() if 1 <= width <= 8) + 77,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energies_have_the_bits_of_the_reference(dtype):
    for length, numel in ((256, 0), (256, 700), (8192, 8192)):
        vector = wild(numel, dtype)
        assert torch.equal(gpu.energies(vector.to(DEVICE), length).cpu(), reference.energies(vector, length))


class TestIntegers:
    SCALE = float(np.float32(0.7371))

    @staticmethod
    def most(bits: int) -> int:
        """The largest magnitude of one of 3 ranks."""
        return compressors.IntSGD(bits=bits).for_rank(0, 0, 3).most

    def check(self, vector: torch.Tensor, bits: int, key: int | None = 5, strata: Strata | None = None) -> Rounded:
        """Integers, their sums and decoded coordinates; returns the facts about them."""
        numel, most, facts = len(vector), self.most(bits), []
        packed = torch.empty(packed_bytes(bits, integers.BLOCK, numel), dtype=torch.uint8)
        expected = integers.encode_integers(vector, self.SCALE, bits, most, key, packed, strata)

        def encode(space: torch.Tensor) -> None:
            facts.append(gpu.encode_integers(vector.to(DEVICE), self.SCALE, bits, most, key, space, strata))

        assert torch.equal(written(encode, len(packed)), packed)
        assert facts == [expected]

        sums = torch.arange(numel, dtype=torch.int32)
        found = sums.to(DEVICE, copy=True)
        finite = integers.add_integers(packed, bits, most, sums)
        assert gpu.add_integers(packed.to(DEVICE), bits, most, found) is finite
        assert torch.equal(found.cpu(), sums)

        for add in (False, True):
            values, decoded = vector.clone(), vector.to(DEVICE, copy=True)
            integers.decode_integers(packed, bits, most, self.SCALE, values, add)
            gpu.decode_integers(packed.to(DEVICE), bits, most, self.SCALE, decoded, add)
            assert_same(decoded, values)
        return expected

    @staticmethod
    def vector(numel: int, size: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        vector = torch.randn(numel, generator=torch.Generator().manual_seed(numel)) * size
        vector[::9] = wild(len(vector[::9]))
        return vector.clamp(-6e4, 6e4).to(dtype) if dtype == torch.float16 else vector.to(dtype)

    @pytest.mark.parametrize("bits", WIDTHS)
    def test_they_have_the_bits_of_the_definition(self, bits):
        vector = self.vector(2 * integers.BLOCK + 13, 0.5 * self.most(bits) + 1)
        for key in (derive(bits), None):
            assert self.check(vector, bits, key).clipped > 0

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_any_dtype_and_the_sizes_around_a_block(self, dtype):
        for numel in (0, 1, integers.BLOCK - 1, integers.BLOCK, integers.BLOCK + 1, 5 * integers.BLOCK):
            self.check(self.vector(numel, 40.0, dtype), 7)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("bits", [5, 32])
    def test_blocks_that_are_not_finite(self, bits, bad):
        """The facts leave out the last, too, and the integers of other blocks are summed."""
        vector = torch.full((3 * integers.BLOCK + 5,), 3.0)
        vector[integers.BLOCK + 77 : 2 * integers.BLOCK] = 1e30
        vector[integers.BLOCK + 76] = bad
        vector[-1], vector[-2] = bad, 1e30
        assert self.check(vector, bits, None) == (2, 0)

    def test_random_numbers_that_are_correlated_over_ranks(self):
        for strata in (Strata(0, 0, 2), Strata(2**64 - 1, 1, 2), Strata(2**63, 16, 17)):
            self.check(self.vector(integers.BLOCK + 9, 3.0), 4, 2**64 - 1, strata)

    def test_ties_go_to_even_integers(self):
        ties = torch.arange(-20, 21) + 0.5
        values = torch.cat([ties, ties.nextafter(torch.tensor(torch.inf)), ties.nextafter(torch.tensor(-torch.inf))])
        vector = torch.cat([values, torch.tensor([1e-45, -1e-45, 0.0, -0.0, 2.0**22 + 0.5, 2.0**24 - 1, 3e38])])
        bits, most = 32, 2**30
        packed = torch.empty(packed_bytes(bits, integers.BLOCK, len(vector)), dtype=torch.uint8)
        found = torch.empty_like(packed, device=DEVICE)
        expected = integers.encode_integers(vector, 1.0, bits, most, None, packed)
        assert gpu.encode_integers(vector.to(DEVICE), 1.0, bits, most, None, found) == expected
        assert torch.equal(found.cpu(), packed)

    @pytest.mark.parametrize("bits", [2, 8, 9, 15, 17, 31, 32])
    def test_sums_are_packed_as_by_the_definition(self, bits):
        top = (1 << bits - 1) - 1
        for numel in (3, integers.BLOCK + 30):
            sums = torch.randint(-top, top + 1, (numel,), generator=torch.Generator().manual_seed(bits)).int()
            sums[0], sums[-1] = -top, top
            packed = torch.empty(packed_bytes(bits, integers.BLOCK, numel), dtype=torch.uint8)
            integers.pack_integers(sums, bits, top, packed)
            found = written(lambda space, sums=sums: gpu.pack_integers(sums.to(DEVICE), bits, top, space), len(packed))
            assert torch.equal(found, packed)
            decoded = torch.empty(numel, device=DEVICE)
            gpu.decode_integers(packed.to(DEVICE), bits, top, 1.0, decoded)
            assert torch.equal(decoded.cpu(), sums.float())


class TestNatural:
    @staticmethod
    def check(vector: torch.Tensor, bits: int, strata: Strata | None = None) -> None:
        check_codec(
            lambda x, packed: gpu.encode_natural(x, bits, 7, packed, strata),
            lambda packed, x, add: gpu.decode_natural(packed, bits, x, add),
            lambda x, packed: natural.encode_natural(x, bits, 7, packed, strata),
            lambda packed, x, add: natural.decode_natural(packed, bits, x, add),
            vector,
            packed_bytes(bits, natural.BLOCK, len(vector)),
        )

    @staticmethod
    def vector(numel: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Every magnitude that the dtype has, with Inf and NaN where there is room."""
        vector = torch.randn(numel, generator=torch.Generator().manual_seed(numel)) * torch.logspace(-44, 38, numel)
        vector[3:8] = torch.tensor([np.nan, np.inf, -np.inf, 0.0, -0.0])[: max(0, numel - 3)]
        return vector.to(dtype)

    @pytest.mark.parametrize("bits", [8, 9])
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_they_have_the_bits_of_the_definition(self, bits, dtype):
        for numel in (0, 1, 7, natural.BLOCK - 1, natural.BLOCK, 2 * natural.BLOCK + 9):
            self.check(self.vector(numel, dtype), bits)

    @pytest.mark.parametrize("bits", [8, 9])
    def test_random_numbers_that_are_correlated_over_ranks(self, bits):
        for strata in (Strata(0, 0, 2), Strata(2**64 - 1, 1, 2), Strata(2**63, 16, 17)):
            self.check(self.vector(natural.BLOCK + 9), bits, strata)


@pytest.mark.parametrize("start", [0, 1])
def test_integers_and_powers_of_two_at_any_address(start):
    """Every function in a row, on views that begin at this element."""

    def run(kernel, device) -> list[torch.Tensor]:
        vector = TestNatural.vector(1500).to(device)[start:]
        sums = torch.arange(1500, dtype=torch.int32, device=device)[start:]
        whole = torch.zeros(1 << 12, dtype=torch.uint8, device=device)[start:]
        small, large = (whole[: packed_bytes(bits, integers.BLOCK, len(vector))] for bits in (8, 9))
        kernel.encode_integers(vector, 2.0, 8, 100, 3, small)
        kernel.add_integers(small, 8, 100, sums)
        kernel.decode_integers(small, 8, 100, 0.5, vector, True)
        results = [vector.clone(), sums.clone(), whole.clone()]
        kernel.pack_integers(sums % 500 - 250, 9, 255, large)
        kernel.decode_integers(large, 9, 255, 0.5, vector, False)
        results += [vector.clone(), whole.clone()]
        kernel.encode_natural(vector, 9, 3, large)
        kernel.decode_natural(large, 9, vector, True)
        return [*results, vector, whole]

    for found, expected in zip(run(gpu, DEVICE), run(reference, "cpu"), strict=True):
        if expected.dtype == torch.float32:
            assert_same(found, expected)
        else:
            assert torch.equal(found.cpu(), expected)


def test_compiled_code_keeps_every_bit(tmp_path):
    """What a GPU would run, looked at without one: nothing contracted, approximated, or flushed where it matters."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = "from tests.compressors.test_triton import print_ptx; print_ptx()"
    ptx = subprocess.run([sys.executable, "-c", command], env=environment, check=True, capture_output=True, text=True)
    lines = [line.split("//")[0] for line in ptx.stdout.splitlines()]
    assert sum(".entry" in line for line in lines) == 14
    assert any("sqrt.rn.f64" in line for line in lines)
    assert any("div.rn.f32" in line for line in lines)
    allowed = ("cvt.rmi.ftz.f32.f32",)  # see ``rounding.floor``
    risky = [line for line in lines if any(word in line for word in (".ftz", ".approx", ".full", "fma."))]
    assert [line.strip() for line in risky if not line.strip().startswith(allowed)] == []


def print_ptx() -> None:
    """The code of one program of every kind, for a Hopper GPU that need not be there, as it would be launched."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.runtime.jit import JITFunction, mangle_type

    def run(program, *arguments, grid, warmup, num_warps, enable_fp_fusion, **constants):  # noqa: ARG001
        values = dict(zip(program.arg_names, arguments, strict=False))
        signature = {name: mangle_type(value) for name, value in values.items()}
        source = ASTSource(program, {**signature, **dict.fromkeys(constants, "constexpr")}, constants)
        options = {"num_warps": num_warps, "enable_fp_fusion": enable_fp_fusion}
        print(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"])

    JITFunction.run = run
    vector, payload = torch.zeros(1024), torch.zeros(1 << 13, dtype=torch.uint8)
    for layout in (FEW[0], FEW[1], FEW[3]):
        gpu.encode(vector, layout._replace(bucket_size=1024), 1, payload)
    for layout in FEW:
        gpu.decode(payload, layout._replace(bucket_size=1024), vector, 1, add=True)
    for key in (1, None):
        gpu.encode_integers(vector, 1.0, 16, 7, key, payload)
    gpu.add_integers(payload, 32, 7, vector.int())
    gpu.pack_integers(vector.int(), 9, 7, payload)
    gpu.decode_integers(payload, 6, 7, 1.0, vector, add=True)
    gpu.encode_natural(vector, 8, 1, payload, Strata(0, 1, 2))
    gpu.decode_natural(payload, 9, vector)
