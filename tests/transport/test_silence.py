"""Who counts as silent; what real ranks do about it is in ``tests/cluster/test_faults.py``."""

import pytest

from hvd_qgenx.transport.silence import Silence

LIMIT, BEAT = 10.0, 1.0


@pytest.fixture
def silence() -> Silence:
    return Silence([1, 2], LIMIT, BEAT)


def pass_beats(silence: Silence, count: int) -> None:
    for _ in range(count):
        silence.advance(BEAT)


def test_who_is_silent_for_longer_than_the_limit(silence):
    pass_beats(silence, 6)
    silence.heard(2)
    pass_beats(silence, 4)
    assert silence.silent() == []
    pass_beats(silence, 1)
    assert silence.silent() == [1]
    silence.heard(1)
    assert silence.silent() == []


def test_a_process_that_was_frozen_itself_does_not_blame_others(silence):
    silence.advance(1000 * LIMIT)
    assert silence.silent() == []
    pass_beats(silence, 9)
    assert silence.silent() == [1, 2]
