"""Every registered compressor, by being registered, is held to the same promises."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import compressors
from compressors import Compressor, Context
from tests.compressors import conformance

CONFIGURATIONS = list(conformance.configurations())
GOLDEN = Path(__file__).with_name("golden.json")
SIZES = (0, 1, 7, 8, 9, 1023, 1024, 1025, 4099)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

STOCHASTIC = [
    (name, values)
    for name, values in CONFIGURATIONS
    if compressors.make(name, **values).stochastic
    and values.get("bucket_size") != 1  # a coordinate that is its own norm is exact
]
DETERMINISTIC = [each for each in CONFIGURATIONS if not compressors.make(each[0], **each[1]).stochastic]
every = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=conformance.label)


@every
def test_unbiased_and_under_the_variance_bound(configuration):
    compressor = conformance.make(configuration, seed=5)
    for name, vector, draws in conformance.draw_all(compressor):
        bound = compressor.variance_bound(vector)
        try:
            if compressor.residual_bias:
                conformance.check_residual_bias(draws, vector, compressor.residual_bias)
            elif compressor.unbiased:
                conformance.check_unbiased(draws, vector, bound)
            conformance.check_variance(draws, vector, bound)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@every
@pytest.mark.parametrize("numel", SIZES)
def test_payload_size_is_exact(configuration, numel):
    compressor = compressors.make(configuration[0], **configuration[1])
    for dtype in DTYPES:
        payload, _ = compressor.compress(torch.randn(numel).to(dtype))
        assert payload.nbytes == compressor.payload_bytes(numel, dtype)
        assert payload.dim() == 1
        assert payload.is_contiguous()


@every
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_shape_and_dtype_come_back(configuration, dtype):
    compressor = conformance.make(configuration)
    matrix = torch.randn(12, 10).to(dtype)
    for tensor in (matrix, matrix.t(), matrix[::2, 1:], matrix[0, 0], matrix[:0], matrix.view(2, 3, 4, 5)):
        decoded = compressor.decompress(*compressor.compress(tensor))
        assert decoded.shape == tensor.shape
        assert decoded.dtype == dtype
        assert torch.isfinite(decoded).all()


@every
def test_decoding_needs_only_payload_and_shape(configuration):
    tensor = torch.randn(5, 70)
    payload, _ = conformance.make(configuration, seed=3).compress(tensor)
    elsewhere = conformance.make(configuration, seed=99, rank=7)
    first = elsewhere.decompress(payload, Context(tensor.shape, tensor.dtype))
    torch.testing.assert_close(first, elsewhere.decompress(payload.clone(), Context(tensor.shape, tensor.dtype)))
    error = (first - tensor).double().square().sum()
    assert error <= 20 * conformance.make(configuration).variance_bound(tensor) + 1e-12


@every
def test_same_seed_same_bytes_and_restored_state_goes_on(configuration):
    one, two = conformance.make(configuration, seed=4, rank=2), conformance.make(configuration, seed=4, rank=2)
    tensors = [torch.randn(3, 100) for _ in range(4)]
    for tensor in tensors[:2]:
        assert torch.equal(one.compress(tensor)[0], two.compress(tensor)[0])
    resumed = conformance.make(configuration)
    resumed.load_state_dict(one.state_dict())
    for tensor in tensors[2:]:
        assert torch.equal(one.compress(tensor)[0], resumed.compress(tensor)[0])


@pytest.mark.parametrize("configuration", STOCHASTIC, ids=conformance.label)
def test_seed_rank_and_step_select_other_bits(configuration):
    tensor = torch.randn(2000)
    base = conformance.make(configuration, seed=1)
    first, second = base.compress(tensor)[0], base.compress(tensor)[0]
    assert not torch.equal(first, second)
    for other in ({"seed": 2}, {"seed": 1, "rank": 1}):
        same = torch.equal(first, conformance.make(configuration, **other).compress(tensor)[0])
        assert same == (base.shared_randomness and "rank" in other)


@pytest.mark.parametrize("configuration", DETERMINISTIC, ids=conformance.label)
def test_without_random_numbers_the_key_changes_nothing(configuration):
    tensor = torch.randn(2000)
    payloads = [conformance.make(configuration, seed=seed).compress(tensor)[0] for seed in (1, 2)]
    assert torch.equal(*payloads)


@every
def test_several_tensors_of_one_shape(configuration):
    """Each of them is coded by its own values, whatever came before."""
    compressor = conformance.make(configuration)
    for scale in (1e-3, 1.0, 1e3):
        tensor = scale * torch.randn(16, 16)
        error = (compressor.decompress(*compressor.compress(tensor)) - tensor).double().square().sum()
        assert error <= 20 * compressor.variance_bound(tensor) + 1e-30


@every
def test_global_generators_are_left_alone(configuration):
    compressor = conformance.make(configuration)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    compressor.decompress(*compressor.compress(torch.arange(300.0)))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert states[2] == random.getstate()


@every
def test_input_is_left_alone(configuration):
    tensor = torch.randn(10, 30)
    before = tensor.clone()
    compressor = conformance.make(configuration)
    decoded = compressor.decompress(*compressor.compress(tensor))
    decoded.zero_()
    assert torch.equal(tensor, before)


@every
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_non_finite_values_are_not_hidden(configuration, value):
    tensor = torch.randn(300)
    tensor[150] = value
    compressor = conformance.make(configuration)
    decoded = compressor.decompress(*compressor.compress(tensor))
    assert not torch.isfinite(decoded[150])


@every
def test_integers_are_refused(configuration):
    with pytest.raises(TypeError, match="floating-point"):
        conformance.make(configuration).compress(torch.arange(3))


def golden() -> dict[str, str]:
    """Payloads of fixed inputs; the file freezes the wire format."""
    vector = torch.cat([(torch.arange(41.0) - 20) / 7, torch.zeros(3), torch.tensor([1e30, -1e-30, 2**-140])])
    return {
        conformance.label(configuration): bytes(
            conformance.make(configuration, seed=1, rank=2).compress(vector)[0].view(torch.uint8).tolist()
        ).hex()
        for configuration in CONFIGURATIONS
    }


def test_wire_format_is_frozen():
    """After a deliberate change: python -m tests.compressors.test_conformance writes the file anew."""
    assert golden() == json.loads(GOLDEN.read_text())


@dataclass(eq=False)
class Broken(Compressor):
    """Wraps a compressor and spoils what it decodes."""

    inner: Compressor
    spoil: object

    def write(self, vector, payload, key, start=0, shared=None):
        return self.inner.write(vector, payload, key, start, shared)

    def read(self, payload, vector, add=False, start=0):
        self.inner.read(payload, vector, add)
        vector.copy_(self.spoil(vector.clone()))

    def payload_bytes(self, shape, dtype=torch.float32):
        return self.inner.payload_bytes(shape, dtype)

    def variance_bound(self, tensor):
        return self.inner.variance_bound(tensor)


@pytest.mark.parametrize(
    "spoil",
    [lambda x: 1.02 * x, lambda x: -x, lambda x: x + 0.02, lambda x: x.roll(1), lambda x: x.round(decimals=1)],
    ids=["scaled", "negated", "shifted", "moved", "rounded"],
)
def test_the_suite_finds_a_biased_compressor(spoil):
    vector = conformance.distributions()["gaussian"]
    broken = Broken(compressors.make("minmax", bits=4, bucket_size=conformance.LENGTH), spoil)
    with pytest.raises(AssertionError, match="biased"):
        conformance.check_unbiased(conformance.draw(broken, vector), vector)


def test_the_suite_finds_too_much_variance():
    vector = conformance.distributions()["uniform"]
    coarse = compressors.make("minmax", bits=3, bucket_size=conformance.LENGTH)
    fine = compressors.make("minmax", bits=4, bucket_size=conformance.LENGTH)
    with pytest.raises(AssertionError, match="above its bound"):
        conformance.check_variance(conformance.draw(coarse, vector), vector, fine.variance_bound(vector))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")
