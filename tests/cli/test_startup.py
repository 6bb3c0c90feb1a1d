"""Commands for several ranks check that all are there; commands for one process refuse several ranks."""

import os

import pytest
from click.testing import CliRunner, Result

from hvd_qgenx.cli import main, session
from hvd_qgenx.transport.environment import FUSION_THRESHOLD, STALL_SHUTDOWN, STALL_WARNING
from hvd_qgenx.transport.inprocess import InProcess

COMMANDS = (
    ["gan", "--updates", "1"],
    ["bilinear", "--iterations", "1"],
    ["game", "matrix", "--iterations", "1"],
    ["logistic", "--iterations", "1"],
    ["bench", "exchange", "--numel", "100"],
    ["evaluate", "nowhere"],
)
ALONE = (
    ["levels"],
    ["topology", "ring"],
    ["consensus"],
    ["measure"],
    ["sample", "nowhere"],
    ["report", "nowhere"],
    ["bench", "codec"],
    ["bench", "report", "nowhere.json"],
    ["sweep", "nowhere.toml"],
)


def name(words: list[str]) -> str:
    return " ".join(words[:2])


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Runs a command as one of three processes that a launcher has started, none of which sees the others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "launched", InProcess)
    for variable in (STALL_SHUTDOWN, STALL_WARNING, FUSION_THRESHOLD):
        monkeypatch.setenv(variable, "180")  # what a command puts there is undone

    def call(words: list[str], rank: int = 0) -> Result:
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
        result = CliRunner().invoke(main, words)
        assert not list(tmp_path.iterdir())
        return result

    return call


@pytest.mark.parametrize("words", COMMANDS, ids=name)
def test_ranks_that_do_not_see_each_other_are_refused(call, words):
    result = call(words)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("Error: the launcher started 3 ranks but Horovod sees 1") == 1
    assert "3 expected" in result.stderr


def test_only_the_first_of_them_says_so(call):
    result = call(COMMANDS[0], rank=2)
    assert (result.exit_code, result.output) == (2, "")


@pytest.mark.parametrize("words", ALONE, ids=name)
def test_a_command_for_one_process_is_refused_on_several(call, words):
    result = call(words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", COMMANDS, ids=name)
def test_every_command_for_ranks_takes_the_same_options(call, words):
    result = call([*words[:1], *(words[1:2] if words[0] in ("game", "bench") else []), "--help"])
    for option in ("--expect-ranks", "--expect-hosts", "--stall-seconds"):
        assert option in result.output


def test_the_stall_limit_is_set_before_ranks_start(call, monkeypatch):
    seen = []

    def launched() -> InProcess:
        seen.append((os.environ[STALL_SHUTDOWN], os.environ[STALL_WARNING]))
        return InProcess()

    monkeypatch.setattr(session, "launched", launched)
    call([*COMMANDS[0], "--stall-seconds", "30"])
    monkeypatch.setenv(STALL_WARNING, "60")
    monkeypatch.setenv(STALL_SHUTDOWN, "90")
    call(COMMANDS[0])
    assert seen == [("30", "10"), ("90", "30")]
