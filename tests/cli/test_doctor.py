"""hvd-qgenx doctor in one process: what it prints, its exit codes, and bad input."""

import json

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.doctor import finding
from hvd_qgenx.doctor.checks import CHECKS
from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding

GOOD, BAD = Finding("Horovod", OK, "0.28.1"), Finding("ssh", WARNING, "not there", "apt-get install openssh-client")


def call(*arguments):
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


@pytest.fixture
def found(monkeypatch):
    """The findings of the checks."""
    found = [GOOD, BAD]
    monkeypatch.setattr(finding, "examine", lambda *_: found)
    return found


@pytest.mark.usefixtures("found")
def test_one_line_each_and_what_mends_it():
    result = call()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok      Horovod  0.28.1",
        "warning ssh      not there",
        "                 -> apt-get install openssh-client",
    ]


def test_an_error_ends_it_with_1(found):
    found.append(Finding("mpirun", ERROR, "not in PATH"))
    result = call()
    assert result.exit_code == 1
    assert "error   mpirun   not in PATH" in result.stdout
    assert result.stderr == "Error: these checks failed: mpirun; see how to fix them above\n"


@pytest.mark.usefixtures("found")
def test_json(tmp_path):
    path = tmp_path / "new" / "doctor.json"
    result = call("--json", path)
    assert result.exit_code == 0
    assert "ok      Horovod" in result.stdout
    written = json.loads(path.read_text())
    assert written["measurement"] is None
    assert written["findings"][1] == {
        "subject": "ssh",
        "level": "warning",
        "text": "not there",
        "mend": "apt-get install openssh-client",
        "ranks": [],
    }
    assert json.loads(call("--json", "-").stdout) == written


def test_the_real_checks(tmp_path):
    result = call("--data-dir", tmp_path, "--json", "-")
    assert result.exit_code in (0, 1)
    subjects = [finding["subject"] for finding in json.loads(result.stdout)["findings"]]
    assert subjects[0] == "Python"
    assert len(subjects) == len(CHECKS)


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--compressor", "minmx"), "minmx"),
        (("--compressor", "minmax:bits=99"), "bits"),
        (("--model", "gan", "--numel", "1e6"), "give one"),
        (("--expect-ranks", "3"), "3"),
    ],
)
def test_bad_input(options, told):
    result = call(*options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_rank_that_cannot_join_the_others_says_why(found, monkeypatch):
    found.append(Finding("mpi4py", ERROR, "not installed", "pip install mpi4py"))
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "2")
    result = call()
    assert result.exit_code == 1
    assert "error   mpi4py  not installed" in result.stderr
    assert "pip install mpi4py" in result.stderr
    assert "rank 2 on " in result.stderr
