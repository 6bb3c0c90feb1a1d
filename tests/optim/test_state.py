"""The state of one rank apart from that of all, and together again."""

import compressors
from hvd_qgenx.optim.state import join, separate

STATE = {"state": {0: {"dual": 1, "previous": 2}, 1: {"dual": 3}}, "param_groups": [{"lr": 0.1}], "calls": 7}


def test_local_state_is_kept_apart():
    compression = compressors.make("minmax").for_rank(3)
    state = separate(STATE, compression, frozenset({"previous"}))
    local = state.pop("local")
    assert state == {"state": {0: {"dual": 1}, 1: {"dual": 3}}, "param_groups": [{"lr": 0.1}], "calls": 7}
    assert local == {"compression": compression.state_dict(), "state": {0: {"previous": 2}, 1: {}}}


def test_without_worker_state_only_the_compressor_is_local():
    compression = compressors.make("minmax")
    state = separate(STATE, compression, None)
    assert state.pop("local") == {"compression": compression.state_dict()}
    assert state == STATE


def test_joined_it_is_what_it_was():
    for worker_state in (None, frozenset({"previous"}), frozenset({"nothing"})):
        before, after = (compressors.make("minmax").for_rank(rank) for rank in (5, 0))
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
