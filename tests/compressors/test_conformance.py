"""Every registered compressor, by being registered, is held to the same promises."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import compressors
from compressors import Compressor
from hvd_qgenx.testing import compressor as contract
from hvd_qgenx.testing.statistics import check_statistics
from tests.compressors import conformance

CONFIGURATIONS = list(conformance.configurations())
GOLDEN = Path(__file__).with_name("golden.json")
CHECKS = (
    *(contract.check_shapes, contract.check_decoding, contract.check_adding, contract.check_state),
    *(contract.check_randomness, contract.check_surroundings, contract.check_non_finite, contract.check_exchange),
)
"""``check_hostile_payloads`` is left to ``tests/test_security.py``, which tries more."""

every = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=conformance.label)


@every
def test_unbiased_and_under_the_variance_bound(configuration):
    made = conformance.make(configuration, seed=5)
    check_statistics(made, together=not made.shares_bits)


@every
def test_payload_size_is_exact(configuration):
    contract.check_sizes(lambda: compressors.make(configuration[0], **configuration[1]))


@every
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_is_kept(configuration, check):
    if check is contract.check_randomness and configuration[1].get("bucket_size") == 1:
        return  # a coordinate that is its own norm is exact, whatever the key
    check(lambda: conformance.make(configuration))


def golden() -> dict[str, str]:
    """Payloads of fixed inputs; the file freezes the wire format."""
    vector = torch.cat([(torch.arange(41.0) - 20) / 7, torch.zeros(3), torch.tensor([1e30, -1e-30, 2**-140])])
    return {
        conformance.label(configuration): bytes(
            conformance.make(configuration).for_rank(2, seed=1).compress(vector)[0].view(torch.uint8).tolist()
        ).hex()
        for configuration in CONFIGURATIONS
    }


def test_wire_format_is_frozen():
    """After a deliberate change: python -m tests.compressors.test_conformance writes the file anew."""
    assert golden() == json.loads(GOLDEN.read_text())


@dataclass(eq=False)
class Broken(Compressor):
    """A compressor that is spoilt in one respect."""

    inner: Compressor
    fault: str

    stochastic = True

    def write(self, vector, payload, key, start=0, shared=None):
        if self.fault == "hides NaN":
            vector = vector.nan_to_num(0.0, 0.0, 0.0)
        if self.fault == "draws globally":
            vector = vector + 1e-7 * torch.rand(1)
        if self.fault == "ignores the key":
            key = 1
        written = self.inner.write(vector, payload, key, start, shared)
        if self.fault == "changes the input":
            vector.zero_()
        return written - (self.fault == "writes less" and written > 0)

    def read(self, payload, vector, add=False, start=0):
        decoded = torch.empty_like(vector)
        self.inner.read(payload, decoded)
        if self.fault == "fails on damage" and decoded.numel() == 700 and not (decoded.abs() < 10).all():
            raise IndexError("outside")
        factor = {"is too long": 1.02, "is negated": -1}.get(self.fault, 1)
        factor += 0.5 * self.stream.rank * (self.fault == "depends on the rank")
        decoded = factor * decoded + 1e-4 * (self.fault == "is shifted")
        if self.fault == "is moved" and decoded.numel():
            decoded = decoded.roll(1)
        vector.copy_(vector + decoded if add and self.fault != "does not add" else decoded)

    def inspect(self, payload, numel):
        return self.fault == "sees nothing" or super().inspect(payload, numel)

    def payload_bytes(self, shape, dtype=torch.float32):
        return self.inner.payload_bytes(shape, dtype)

    def variance_bound(self, tensor):
        return self.inner.variance_bound(tensor) * (0.01 if self.fault == "has a low bound" else 1)

    def load_state_dict(self, state):
        if self.fault != "forgets its state":
            super().load_state_dict(state)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("hides NaN", "must not be hidden"),
        ("draws globally", "global generator of torch"),
        ("ignores the key", "called stochastic, but another step"),
        ("changes the input", "changes the tensor"),
        ("writes less", "payload_bytes says"),
        ("fails on damage", "raises IndexError, not ValueError"),
        ("is too long", "biased: its length is 1.0"),
        ("is negated", "squared error"),
        ("is shifted", "biased"),
        ("is moved", "squared error"),
        ("depends on the rank", "squared error"),
        ("does not add", "does not add what decode writes"),
        ("sees nothing", "is_finite does not see"),
        ("has a low bound", "above its bound|squared error"),
        ("forgets its state", "goes on from state_dict"),
    ],
)
def test_the_check_finds_what_is_broken(fault, sentence):
    with pytest.raises(AssertionError, match=sentence):
        contract.check_compressor(lambda: Broken(compressors.make("minmax", bits=4, rounding="random"), fault))


def test_the_check_finds_nothing_else():
    contract.check_compressor(lambda: Broken(compressors.make("minmax", bits=4, rounding="random"), "none"))


def test_the_check_finds_means_that_differ(monkeypatch):
    monkeypatch.setattr(contract, "_mean", lambda *arguments: torch.zeros(3) + arguments[-1].rank)
    with pytest.raises(AssertionError, match="gives rank 1 another mean than rank 0"):
        contract.check_exchange(lambda: compressors.make("minmax"))


def test_the_suite_finds_too_much_variance():
    vector = conformance.distributions()["uniform"]
    coarse = compressors.make("minmax", bits=3, bucket_size=conformance.LENGTH)
    fine = compressors.make("minmax", bits=4, bucket_size=conformance.LENGTH)
    with pytest.raises(AssertionError, match="above its bound"):
        conformance.check_variance(conformance.draw(coarse, vector), vector, fine.variance_bound(vector))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")
