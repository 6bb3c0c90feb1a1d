"""DynamiQ's and the microscaling formats: bytes and values by hand, kernels against their definition, allocation."""

import itertools
import math

import numpy as np
import pytest
import torch

import compressors
from compressors import dynamiq, microscaled
from compressors.kernels import cpu, grouped
from compressors.kernels.grouped import Grouped
from compressors.kernels.strata import Strata

MX = ("mxfp4", "mxfp8")


def normal(numel: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(numel, generator=torch.Generator().manual_seed(seed))


def relative_error(name: str, vector: torch.Tensor, **values) -> float:
    one = compressors.make(name, seed=1, **values)
    return float((one.decompress(*one.compress(vector)) - vector).square().sum() / vector.square().sum())


@pytest.mark.parametrize("ranks", [0, 3])
@pytest.mark.parametrize("key", [0xFEDC_BA98_7654_3210, None], ids=["random", "nearest"])
@pytest.mark.parametrize("length", [16, 32])
def test_the_kernel_agrees_with_the_reference(length, key, ranks):
    tables = dynamiq._tables() if length == 16 else (microscaled.Element(4, 3, 448.0).table,)
    for count in (1, 2, 16, 100):
        vector = normal(count * length)
        vector[::5] = 0.0
        vector[1::7] *= 40
        scales = normal(count, 2).double().abs()
        scales[::9], scales[1::11] = 0.0, torch.nan
        groups = Grouped(length, tables, torch.arange(count) % len(tables), scales)
        strata = Strata(9, 1, ranks) if ranks else None
        ours, theirs = (torch.full((len(vector),), 255, dtype=torch.uint8) for _ in range(2))
        cpu.encode_grouped(vector, groups, key, ours, strata)
        grouped.encode_grouped(vector, groups, key, theirs, strata)
        assert torch.equal(ours, theirs)
        found, expected = torch.empty_like(vector), torch.empty_like(vector)
        cpu.decode_grouped(ours, groups, found)
        grouped.decode_grouped(ours, groups, expected)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", MX)
def test_every_value_of_an_element_is_kept(name):
    """All of them, whatever the rounding; 32 with the largest among them, so that the scale is 2^3."""
    for rounding in ("random", "nearest"):
        one = compressors.make(name, rounding=rounding)
        values = torch.tensor(one.element.table.values, dtype=torch.float32)
        blocks = torch.cat(
            [values.new_full((-(-len(values) // 31), 1), one.element.greatest), values.new_zeros(1)[:0].view(-1, 1)]
        )
        rows = torch.cat([blocks, torch.nn.functional.pad(values, (0, -len(values) % 31)).view(-1, 31)], dim=1)
        vector = 8 * rows.flatten()
        payload, context = one.compress(vector)
        assert payload[: len(rows)].tolist() == [127 + 3] * len(rows)
        assert torch.equal(one.decompress(payload, context), vector)


def test_elements_are_those_of_torch():
    """torch has E4M3 as a dtype; the seven positive values of E2M1 are the standard's."""
    table = microscaled.Element(4, 3, 448.0).table
    codes = torch.tensor(table.symbols, dtype=torch.uint8)
    assert torch.equal(codes.view(torch.float8_e4m3fn).float(), torch.tensor(table.values, dtype=torch.float32))
    assert len(table.values) == 253
    assert microscaled.Element(2, 1, 6.0).table.values[7:] == (0, 0.5, 1, 1.5, 2, 3, 4, 6)


def test_four_bits_by_hand():
    """Two codes in a byte, the first one lower; a sign, two bits of exponent and one of mantissa."""
    vector = torch.zeros(33)
    vector[:5] = torch.tensor([1.0, -0.5, 6.0, -3.0, 1.5])
    vector[32] = -0.375
    payload, _ = compressors.make("mxfp4").compress(vector)
    assert payload.tolist() == [127, 123, 0x92, 0xD7, 0x03, *[0] * 13, 0x0F, *[0] * 15]  # -0.375 is -6 * 2^-4


def test_the_nearest_rounding_is_the_standards():
    """Ties go to the even element, and what the standard's scale cannot hold is clipped."""
    vector = torch.zeros(32)
    vector[:6] = torch.tensor([7.5, 0.25, 0.75, 2.5, 5.0, -3.5])
    one = compressors.make("mxfp4", rounding="nearest")
    decoded = one.decompress(*one.compress(vector))
    assert decoded[:6].tolist() == [6.0, 0.0, 1.0, 2.0, 4.0, -4.0]
    assert float((decoded - vector).square().sum()) == pytest.approx(one.variance_bound(vector))
    assert compressors.make("mxfp4").compress(vector)[0][0] == 128  # random rounding must reach 7.5


@pytest.mark.parametrize(("name", "size"), [("mxfp4", 17), ("mxfp8", 33)])
def test_bytes_of_microscaling(name, size):
    one = compressors.make(name)
    assert [one.payload_bytes(numel) for numel in (0, 1, 32, 33, 3200)] == [0, size, size, 2 * size, 100 * size]


@pytest.mark.parametrize(("bits", "size"), [(3, 3.0), (3.5, 3.5), (4, 4.0), (5, 5.0)])
def test_dynamiq_has_the_bits_it_is_given(bits, size):
    """Widths, coarse scales and group scales included: at most, and within one super-group's bit."""
    one = compressors.make("dynamiq", bits=bits)
    numel = 100_000
    assert size - 0.004 < 8 * one.payload_bytes(numel) / numel <= size
    assert one.payload_bytes(1) == 1 + 2 + 16 + 64  # as little as there can be
    assert one.payload_bytes(0) == 0


def test_dynamiq_by_hand():
    """Largest magnitudes are exact where the scale is: a coarse scale of 255 has group scales that are whole."""
    vector = torch.zeros(256)
    vector[0], vector[16], vector[32] = 255.0, -100.0, 1.0
    one = compressors.make("dynamiq")
    payload, context = one.compress(vector)
    assert payload[1:3].clone().view(torch.bfloat16).float().item() == 255.0
    assert payload[3:19].tolist() == [255, 100, 1, *[0] * 13]
    decoded = one.decompress(payload, context)
    assert torch.equal(decoded[[0, 16, 32]], vector[[0, 16, 32]])
    assert not decoded[48:].any()


@pytest.mark.parametrize(("width", "index"), [(2, 0), (4, 1), (8, 2)])
def test_errors_that_the_allocation_counts_on(width, index):
    table = dynamiq._tables()[index]
    assert len(table.values) == 2**width
    assert table.values == tuple(-value for value in reversed(table.values))
    rows = normal(1 << 19).view(-1, 16)
    groups = Grouped(16, (table,), torch.zeros(len(rows), dtype=torch.int64), rows.abs().amax(dim=1).double())
    error = grouped.squared_error(rows.flatten(), groups) / float(rows.square().sum())
    assert error == pytest.approx(dynamiq.ERRORS[index], rel=0.02)


def test_allocation_is_the_best_that_its_order_can_have():
    """Of all widths of four super-groups within the budget, none has less error, where the budget is spent."""
    costs = np.array([1.0, 30.0, 4.0, 200.0])
    for budget in range(8, 33, 2):
        chosen = dynamiq.allocate(costs, budget)
        spent = sum(dynamiq.WIDTHS[place] for place in chosen)
        assert spent <= budget
        best = min(
            sum(cost * dynamiq.ERRORS[place] for cost, place in zip(costs, places, strict=True))
            for places in itertools.product(range(3), repeat=4)
            if sum(dynamiq.WIDTHS[place] for place in places) <= spent
        )
        assert sum(costs * np.array(dynamiq.ERRORS)[chosen]) == pytest.approx(best)
    assert dynamiq.allocate(np.array([math.nan, math.inf, 0.0, 1.0]), 16).tolist() == [0, 0, 0, 2]


def test_wider_codes_go_where_the_energy_is():
    vector = normal(256 * 64)
    vector[: 256 * 4] *= 1000
    assert relative_error("dynamiq", vector, bits=3) < 0.002 < 0.2 < relative_error("dynamiq", normal(256 * 64), bits=3)


def test_errors_on_gaussian_vectors():
    vector = normal(1 << 18)
    for name, values, expected in (
        ("mxfp4", {}, 0.0271),
        ("mxfp4", {"rounding": "nearest"}, 0.0132),
        ("mxfp8", {}, 0.00141),
        ("dynamiq", {"bits": 4}, 0.0836),
        ("dynamiq", {"bits": 5}, 0.0098),
    ):
        assert relative_error(name, vector, **values) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("byte", [0xFF, 0x0A])
def test_a_payload_with_impossible_widths_is_refused(byte):
    one = compressors.make("dynamiq", bits=3)
    payload, context = one.compress(normal(1024))
    payload[0] = byte
    with pytest.raises(ValueError, match="dynamiq: the payload has"):
        one.decompress(payload, context)
