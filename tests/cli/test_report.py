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
        ((tmp_path / "empty",), f"{tmp_path / 'empty'} holds no run"),
        ((tmp_path / "file",), "cannot be read"),
        ((tmp_path / "empty", tmp_path / "file"), "none of 2 folders can be reported on; "),
        ((run, "--score", "kid"), "unknown score 'kid'"),
        ((run, "--out", tmp_path / "file"), "cannot write to"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert sentence in result.stderr
        assert not (tmp_path / "report").exists()
    assert call().exit_code == 2


def test_bad_runs_are_left_out_with_a_warning_that_names_them(tmp_path):
    write_run(tmp_path / "runs/whole", scores=SCORES)
    (write_run(tmp_path / "runs/bad") / "config.json").write_text("[")
    (write_run(tmp_path / "runs/empty", finished=False) / "metrics.csv").unlink()
    result = call(tmp_path / "runs", tmp_path / "nowhere")
    assert result.exit_code == 0, result.output
    sentences = [line for line in result.stderr.splitlines() if line.startswith("Warning: Left out: ")]
    assert len(sentences) == 3
    named = (tmp_path / "nowhere", tmp_path / "runs/bad/config.json", tmp_path / "runs/empty")
    assert all(str(path) in sentence for path, sentence in zip(named, sentences, strict=True))
    page = (tmp_path / "runs/report/index.html").read_text()
    assert str(tmp_path / "runs/bad/config.json") in page
    assert "1 run in 1 group." in page
    found = json.loads(call(tmp_path / "runs", "--json").stdout)
    assert sum(warning.startswith("Left out: ") for warning in found["warnings"]) == 2


def test_a_page_of_other_runs_is_kept_or_its_replacement_is_said(tmp_path):
    a, b = (write_run(tmp_path / name, scores=SCORES) for name in "ab")
    assert call(a).stderr == ""
    first = (tmp_path / "report/index.html").read_bytes()
    result = call(b)
    assert f"page and pictures in {tmp_path / 'report-2'}: " in result.stdout
    assert result.stderr.startswith(f"Warning: {tmp_path / 'report'} holds the page of other runs; this one is in ")
    assert (tmp_path / "report/index.html").read_bytes() == first
    out = tmp_path / "report"
    assert call(b, "--out", out).stderr == f"Warning: The page in {out} was one of other runs, and is replaced.\n"
    assert (out / "index.html").read_bytes() != first


def test_published_values_are_laid_beside(tmp_path):
    sweep = tmp_path / "sweep.toml"
    table = "[published]\ntitle = 'Figure 1'\nsource = 's'\nscore = 'fid/raw'\nvalues = {full = 20, uq4 = 25}"
    sweep.write_text(f"[modes.full]\n[modes.uq4]\n{table}")
    for seed in (0, 1):
        write_run(tmp_path / f"runs/full-seed{seed}", seed=seed, scores={"fid/raw": (9.0, 1.0 + seed)})
    write_run(tmp_path / "runs/uq4-seed0", "minmax", scores={"fid/raw": (9.0, 3.5)})
    result = call(tmp_path / "runs", "--published", sweep)
    assert result.exit_code == 0, result.output
    assert "Figure 1" in result.stdout
    assert "Of 1 pair of modes that the published values tell apart, 1 is in the same order" in result.stdout
    assert "Figure 1" in (tmp_path / "runs/report/index.html").read_text()
    found = json.loads(call(tmp_path / "runs", "--published", sweep, "--json").stdout)["published"]
    assert [line["published"]["score"] for line in found["modes"]] == [20.0, 25.0]
    assert found["pairs"] == [{"better": "full", "worse": "uq4", "measured": "agrees"}]


def test_a_file_without_published_values(tmp_path):
    run = write_run(tmp_path / "run", scores=SCORES)
    (tmp_path / "sweep.toml").write_text("[modes.full]")
    result = call(run, "--published", tmp_path / "sweep.toml")
    assert (result.exit_code, "sweep.toml has no table [published]" in result.stderr) == (2, True)


def test_a_run_that_diverged(tmp_path):
    write_run(tmp_path / "none", scores=SCORES)
    run = write_run(tmp_path / "minmax", "minmax", scores=SCORES, finished=False)
    (run / "diverged.json").write_text(json.dumps({"update": 1234, "sentence": "the loss is nan"}))
    result = call(tmp_path)
    assert result.exit_code == 0, result.output
    assert "diverged after update 1,234" in result.stdout
    assert "0 diverged" in result.stdout
    assert f"Warning: {run} diverged after update 1,234: the loss is nan." in result.stderr
    row = json.loads(call(tmp_path, "--json").stdout)["groups"][1]
    assert (row["final"], row["finals"], row["diverged"], row["unfinished"]) == (None, {}, {"0": 1234}, [])
