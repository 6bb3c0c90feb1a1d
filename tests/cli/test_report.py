"""hvd-qgenx report: where the page goes, the table as JSON, and what cannot be reported."""

import json

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli.report import report_command
from tests.report.synthetic import write_run

SCORES = {"fid/raw": (2.0, 1.0)}


def call(*arguments: object):
    return CliRunner().invoke(report_command, [str(argument) for argument in arguments])


def test_the_table_and_where_the_page_is(tmp_path):
    write_run(tmp_path / "none", scores=SCORES)
    write_run(tmp_path / "minmax", "minmax", scores=SCORES, megabytes=0.5, batch_size=24)
    result = call(tmp_path, "--title", "Mine")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report/index.html").exists()
    assert str(tmp_path / "report/index.html") in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[1:3]] == ["none", "minmax"]
    assert "4.00x" in lines[2]
    assert result.stderr == "Warning: batch_size is 48 in none but 24 in minmax 4 bits.\n"
    assert "<title>Mine</title>" in (tmp_path / "report/index.html").read_text()


def test_json_is_all_there_is_on_standard_output(tmp_path):
    """And the page of one run lies beside it."""
    result = call(write_run(tmp_path / "a/run", scores=SCORES), "--json")
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["page"] == str(tmp_path / "a/report/index.html")
    assert (found["score"], found["warnings"]) == ("fid/raw", [])
    (row,) = found["groups"]
    assert row["final"] == {"mean": 1.0, "deviation": None, "count": 1}
    assert row["reached"] == {"update": 40.0, "seconds": 20.0, "megabytes": 80.0}
    assert (tmp_path / "a/report/index.html").exists()


def test_what_cannot_be_reported(tmp_path):
    run = write_run(tmp_path / "run", scores=SCORES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for arguments, sentence in (
        ((run, tmp_path / "empty"), "holds no run"),
        ((tmp_path / "file",), "cannot be read"),
        ((run, "--score", "kid"), "unknown score 'kid'"),
        ((run, "--out", tmp_path / "file"), "cannot write to"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert sentence in result.stderr
        assert not (tmp_path / "report").exists()
    assert call().exit_code == 2
