"""hvd-qgenx bilinear: known distances, rows, and the same numbers whatever carries them."""

import csv
import json

import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main


def call(*arguments: object):
    return CliRunner().invoke(main, ["bilinear", *(str(argument) for argument in arguments)])


def rows(out, *arguments: object):
    result = call("--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def distances(table, method, compressor="none"):
    return {row["t"]: row["distance"] for row in table if (row["method"], row["compressor"]) == (method, compressor)}


@pytest.mark.parametrize(
    ("method", "at"),
    [
        ("extra-gradient", {10: (0.351, 5e-4), 50: (0.0019, 5e-5), 100: (2.7e-6, 5e-8)}),
        ("past", {10: (0.364, 5e-4), 50: (0, 5e-5), 100: (1.2e-13, 5e-15)}),
        ("sgda", {10: (1.480, 5e-4), 50: (1.041, 5e-4), 100: (1.078, 5e-4)}),
        ("alternating", {10: (1.443, 5e-4), 50: (0.990, 5e-4), 100: (0.996, 5e-4)}),
    ],
)
def test_distances_with_phi_kept_in_its_bounds(tmp_path, method, at):
    found = distances(rows(tmp_path / "run", "--method", method), method)
    assert found[0] == pytest.approx(2.0616, abs=5e-5)
    for t, (distance, tolerance) in at.items():
        assert found[t] == pytest.approx(distance, abs=tolerance)


@pytest.mark.parametrize(
    ("method", "distance"),
    [("extra-gradient", 4.2e-6), ("past", 6.6e-14), ("sgda", 3.390), ("alternating", 2.036)],
)
def test_distances_with_phi_free(tmp_path, method, distance):
    found = distances(rows(tmp_path / "run", "--method", method, "--unconstrained"), method)
    assert found[100] == pytest.approx(distance, rel=0.02)


def test_every_dimension_plays_alike(tmp_path):
    one = distances(rows(tmp_path / "1", "--method", "past"), "past")
    many = distances(rows(tmp_path / "9", "--method", "past", "--dimension", 9), "past")
    assert many[20] == pytest.approx(3 * one[20])


def test_exact_operators_make_workers_one(tmp_path):
    one, four = (distances(rows(tmp_path / str(k), "--method", "past", "--workers", k), "past") for k in (1, 4))
    assert one[50] == pytest.approx(four[50], rel=1e-9)


def test_workers_average_their_noise(tmp_path):
    """The stationary distance of SGDA-free extra-gradient scales with the noise, 1 / sqrt(K)."""
    arguments = (
        "--method",
        "extra-gradient",
        "--noise",
        0.1,
        "--dimension",
        200,
        "--unconstrained",
        "--iterations",
        200,
    )
    one, sixteen = (
        distances(rows(tmp_path / str(k), *arguments, "--workers", k), "extra-gradient")[200] for k in (1, 16)
    )
    assert one / sixteen == pytest.approx(4, rel=0.25)


def test_compressed_extra_gradient_converges_where_noise_vanishes(tmp_path):
    """Relative noise: the quantizer's error shrinks with the operator, so the rate stays linear."""
    table = rows(
        tmp_path / "run", "--method", "extra-gradient", "--compressor", "minmax", "--bits", 4, "--dimension", 64,
        "--workers", 3, "--iterations", 300, "--noise", 0.0, "--start", 1, 0.3,
    )  # fmt: skip
    found = distances(table, "extra-gradient", "minmax")
    assert found[300] < 1e-6 * found[0]


def test_files_and_rows_agree(tmp_path):
    table = rows(tmp_path / "run", "--compressor", "none", "--compressor", "uniform", "--bits", 3, "--workers", 2)
    assert len(table) == 4 * 2 * 101
    assert set(table[0]) == {
        "method", "compressor", "workers", "noise", "seed", "t",
        "gap", "distance", "megabytes", "oracle_calls", "exchanges", "gamma",
    }  # fmt: skip
    with (tmp_path / "run" / "bilinear.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["distance"]) for row in written] == [row["distance"] for row in table]
    assert Image.open(tmp_path / "run" / "bilinear.png").size[0] > 1000
    sent = {row["method"]: row["megabytes"] for row in table if (row["t"], row["compressor"]) == (100, "none")}
    assert sent["extra-gradient"] == 2 * sent["sgda"] == pytest.approx(2 * 100 * 16 / 1e6)


def test_table_for_people(tmp_path):
    result = call("--out", tmp_path / "run")
    assert "extra-gradient" in result.stdout
    assert "2.674e-06" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "extragradient"], "did you mean 'extra-gradient'?"),
        (["--compressor", "mimax"], "did you mean 'minmax'?"),
        (["--compressor", "minmax", "--bits", 9], "bits must be from 1 to 8"),
        (["--bits", 4], "none of the compressors takes bits"),
        (["--workers", 0], "0 is not in the range"),
        (["--expect-ranks", 2], "expected 2 ranks but there are 1"),
        (["--exchange", "allreduce", "--compressor", "minmax"], "payloads of minmax cannot be averaged"),
    ],
)
def test_bad_input(tmp_path, arguments, sentence):
    result = call("--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()
