"""The contract of every registered exchange."""

import subprocess
import sys

import pytest

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Auto, ConcreteExchange, Exchange, registry
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks
from hvd_qgenx.transport import inprocess

CONCRETE = registry.concrete()
COMPRESSORS = {name: compressors.make(name) for name in compressors.names()}


def test_names_need_no_torch():
    program = """
import sys
from hvd_qgenx.exchange import NAMES
from hvd_qgenx.exchange import registry
assert NAMES == registry.NAMES
print(*NAMES, "torch" in sys.modules, "numpy" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [
        "auto",
        "allreduce",
        "allgather",
        "two-phase",
        "integer-sum",
        "integer-allreduce",
        "rounds",
        "hierarchical",
        "hierarchical-sum",
        "False",
        "False",
    ]


@pytest.mark.parametrize("name", exchange.NAMES)
def test_every_name_is_an_exchange(name):
    found = exchange.get(name)
    assert issubclass(found, Exchange)
    assert (name in CONCRETE) == issubclass(found, ConcreteExchange) == (found is not Auto)
    if name not in ("hierarchical", "hierarchical-sum"):
        made = exchange.make(name, inprocess.InProcess(), 1234)
        assert type(made) is found
        assert made.slice_bytes == 1234


@pytest.mark.parametrize("name", CONCRETE)
def test_every_exchange_has_a_cost(name):
    """It grows with bytes, latency, starts of collectives and slowness of the codec, each by itself."""
    found, ranks = CONCRETE[name], Ranks(2, 4)
    assert found.cost(Machine(), ranks, 1e6) == 0
    for machine in (Machine(bandwidth=1e9), Machine(latency=1e-4), Machine(negotiation=1e-3)):
        assert found.cost(machine, ranks, 1e6) > 0
    coded = CodecSpeed(4, 1e9, 1e9)
    assert found.cost(Machine(), ranks, 2e6, coded) > found.cost(Machine(), ranks, 1e6, coded) > 0
    sliced = [found.cost(Machine(1e9), ranks, 1e6, coded, slices) for slices in (1, 4)]
    assert sliced[1] < sliced[0]


@pytest.mark.parametrize("name", CONCRETE)
def test_every_exchange_states_its_formula(name):
    """``hvd-qgenx bench report`` prints all that follows the first sentence."""
    first, _, formula = CONCRETE[name].slice_cost.__doc__.partition("\n\n")
    assert first.endswith(".")
    assert "all-" in formula


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_every_compressor_has_candidates_that_can_carry_it(compressor):
    candidates = {name for name, found in CONCRETE.items() if found.suits(COMPRESSORS[compressor])}
    made = COMPRESSORS[compressor]
    once = made.shared_randomness or not made.unbiased
    gathering = {"allgather"} if once else {"allgather", "two-phase", "hierarchical"}
    two_steps = {"hierarchical-sum"} if compressor == "intsgd" else set()
    others = {"average": {"allreduce"}, "sum": {"integer-sum", *two_steps}, "rounds": {"rounds"}}
    assert candidates == others.get(made.reduction, gathering)
    for name in candidates:
        CONCRETE[name].check(COMPRESSORS[compressor])


def test_what_cannot_be_added_is_refused():
    for name, compressor, message in (
        ("allreduce", "minmax", "payloads of minmax cannot be averaged; use allgather or two-phase"),
        ("integer-sum", "minmax", "payloads of minmax are no integers; use allgather or two-phase"),
        ("integer-sum", "none", "payloads of none are no integers; use allreduce"),
        ("two-phase", "randomk", "randomk cannot compress a mean again; use allgather"),
        ("allreduce", "intsgd", "payloads of intsgd cannot be averaged; use integer-sum"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            exchange.get(name).check(COMPRESSORS[compressor])
    for compressor in COMPRESSORS.values():
        exchange.get("auto").check(compressor)


def test_only_exchanges_between_hosts_need_hosts():
    assert [name for name, found in CONCRETE.items() if found.needs_hosts] == ["hierarchical", "hierarchical-sum"]


def test_unknown_names():
    with pytest.raises(ConfigurationError, match="unknown exchange 'allgathr'; did you mean 'allgather'"):
        exchange.get("allgathr")
