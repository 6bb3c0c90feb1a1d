"""When levels adapt."""

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.training.schedule import Schedule, milestones


def test_milestones_then_multiples():
    schedule = Schedule((0, 200, 1000, 5000), 10000)
    assert [update for update in range(40001) if schedule.due(update)] == [
        0,
        200,
        1000,
        5000,
        10000,
        20000,
        30000,
        40000,
    ]


def test_never():
    assert not Schedule((), 0).fires_within(10**4)
    assert not Schedule((50,), 0).fires_within(50)
    assert Schedule((50,), 0).fires_within(51)
    assert [update for update in range(30) if Schedule((), 10).due(update)] == [10, 20]


@pytest.mark.parametrize(("text", "found"), [("", ()), ("0", (0,)), ("3, 20,100", (3, 20, 100))])
def test_milestones_are_read(text, found):
    assert milestones(text, "levels_at") == found


@pytest.mark.parametrize(
    ("text", "sentence"), [("1,x", "must be updates with commas"), ("-1", "must be updates"), ("5,3", "must increase")]
)
def test_bad_milestones_are_named(text, sentence):
    with pytest.raises(ConfigurationError, match=f"levels_at {sentence}"):
        milestones(text, "levels_at")
