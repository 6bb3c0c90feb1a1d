"""How long a rank waits for others, and for whom it does not."""

import itertools

import pytest

from hvd_qgenx.transport import waiting
from hvd_qgenx.transport.environment import STALL_DISABLED, STALL_SHUTDOWN, STALL_WARNING
from hvd_qgenx.transport.failures import PeerLostError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(waiting, "_ended", {})
    monkeypatch.setattr(waiting, "_joined", {})
    monkeypatch.setattr(waiting, "GRACE_SECONDS", 0.02)
    for variable in (STALL_DISABLED, STALL_SHUTDOWN, STALL_WARNING):
        monkeypatch.delenv(variable, raising=False)


def wait(looks: int | None = None, ranks=(0, 1, 2), own=True) -> int:
    """Waits for something that is true at the given look, or never; returns the number of looks."""
    counter = itertools.count(1)
    seen = []

    def done() -> bool:
        seen.append(next(counter))
        return seen[-1] == looks

    waiting.wait_until(done, ranks, 1e-3, lambda waited: f"a collective: waited {waited}", PeerLostError, own)
    return len(seen)


def test_it_returns_when_the_condition_is_true():
    assert wait(looks=1) == 1
    assert wait(looks=5) == 5


@pytest.mark.parametrize("own", [True, False])
def test_a_rank_that_has_ended_is_not_waited_for(own):
    waiting.note_ended(2, "rank 2 on host c")
    with pytest.raises(PeerLostError, match="rank 2 on host c has ended, so the others cannot go on"):
        wait(own=own)
    assert wait(looks=100, ranks=(0, 1), own=own) == 100


def test_what_a_rank_has_sent_before_it_ended_is_waited_for(monkeypatch):
    monkeypatch.setattr(waiting, "GRACE_SECONDS", 60)
    waiting.note_ended(2, "rank 2 on host c")
    assert wait(looks=50) == 50


def test_ranks_that_have_joined_are_known_to_horovods_collectives_alone():
    waiting.note_joined(1, "rank 1 on host b", joined=True)
    assert wait(looks=100, own=False) == 100
    with pytest.raises(PeerLostError, match=r"rank 1 on host b has called hvd.join\(\), which compressed"):
        wait()
    waiting.note_joined(1, "rank 1 on host b", joined=False)
    assert wait(looks=100) == 100


def test_a_stall_ends_with_a_sentence_after_a_warning(monkeypatch, logged):
    monkeypatch.setenv(STALL_WARNING, "0.01")
    monkeypatch.setenv(STALL_SHUTDOWN, "0.05")
    with pytest.raises(PeerLostError, match="a collective: waited 0 s"):
        wait()
    assert "a collective: waited 0 s" in logged.text
    monkeypatch.setenv(STALL_DISABLED, "1")
    assert wait(looks=100) == 100
