"""The state of one rank apart from that of all, and together again."""

import itertools

import pytest
import torch

import compressors
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.state import join, of_rank, ranks_of, separate

STATE = {"state": {0: {"dual": 1, "previous": 2}, 1: {"dual": 3}}, "param_groups": [{"lr": 0.1}], "calls": 7}


def test_local_state_is_kept_apart():
    compression = compressors.make("minmax").for_rank(3)
    state = separate(STATE, compression, frozenset({"previous"}))
    local = state.pop("local")
    assert state == {"state": {0: {"dual": 1}, 1: {"dual": 3}}, "param_groups": [{"lr": 0.1}], "calls": 7}
    assert local == {
        "compressor": repr(compression),
        "compression": compression.state_dict(),
        "state": {0: {"previous": 2}, 1: {}},
    }


def test_without_worker_state_only_the_compressor_is_local():
    compression = compressors.make("minmax")
    state = separate(STATE, compression, None)
    assert state.pop("local") == {"compressor": repr(compression), "compression": compression.state_dict()}
    assert state == STATE


def test_joined_it_is_what_it_was():
    for worker_state in (None, frozenset({"previous"}), frozenset({"nothing"})):
        before, after = (compressors.make("minmax").for_rank(5) for _ in range(2))
        before.stream.next_key()
        state = separate(STATE, before, worker_state)
        assert join(state, after) == STATE
        assert "local" in state
        assert after.state_dict() == before.state_dict()


def test_without_a_local_part_the_compressor_keeps_its_state():
    compression = compressors.make("minmax").for_rank(2)
    before = compression.state_dict()
    assert join(STATE, compression) == STATE
    assert compression.state_dict() == before


@pytest.mark.parametrize(
    ("name", "combine"),
    [
        ("none", compressors.Exempt),
        *itertools.product(["minmax", "alq"], [lambda inner: inner, compressors.Exempt, compressors.Coded]),
    ],
)
def test_what_another_rank_has_saved_as_its_own_is_not_taken_over(name, combine, logged):
    before, after = (combine(compressors.make(name)).for_rank(rank) for rank in (0, 2))
    for _ in range(3):
        before.compress(torch.ones(500, 2))
    if before.learner is not None:
        before.learner.set_levels([0, 0.25, 0.5, 1])
    state = separate(STATE, before, frozenset({"previous"}))
    common = join(state, after)
    assert "rank 2 loads state that rank 0 has saved" in logged.text
    assert common["state"] == {0: {"dual": 1}, 1: {"dual": 3}}
    assert ranks_of(after.state_dict()) == {2}
    assert after.state_dict() == of_rank(before.state_dict(), 2)


def test_state_of_another_compressor_is_refused():
    state = separate(STATE, compressors.make("minmax", bits=4), None)
    with pytest.raises(ConfigurationError, match=r"is that of an optimizer with MinMax.*bits=4.*, not Rotated"):
        join(state, compressors.make("rotated", bits=4))
    with pytest.raises(ConfigurationError, match=r"bits=4.*bits=8"):
        join(state, compressors.make("minmax", bits=8))
    assert join({**STATE, "local": {"compression": state["local"]["compression"]}}, compressors.MinMax(bits=4)) == STATE
