"""hvd-qgenx game: everything combined with everything, files that agree, and bad input."""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main


def call(*arguments: object):
    return CliRunner().invoke(main, ["game", *(str(argument) for argument in arguments)])


def rows(game, out, *arguments: object):
    result = call(game, "--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_everything_is_combined_with_everything(tmp_path):
    table = rows(
        "bilinear", tmp_path / "run", "--method", "sgda", "--method", "qgenx-de", "--compressor", "uniform:bits=3",
        "--compressor", "uniform:bits=3,norm=linf", "--compressor", "none", "--workers", 1, "--workers", 2,
        "--noise", "none", "--noise", "relative:c=0.1", "--seed", 7, "--seeds", 2, "--iterations", 4, "--jobs", 1,
    )  # fmt: skip
    assert len(table) == 2 * 3 * 2 * 2 * 2 * 5
    names = ("method", "compressor", "workers", "noise", "seed", "t")
    assert len({tuple(row[name] for name in names) for row in table}) == len(table)
    assert {row["seed"] for row in table} == {7, 8}
    assert {row["compressor"] for row in table} == {"uniform:bits=3", "uniform:bits=3,norm=linf", "none"}
    assert {row["noise"] for row in table} == {"none", "relative:c=0.1"}


def test_files_agree(tmp_path):
    arguments = ("--method", "qgenx-de", "--noise", "absolute", "--workers", 2, "--seeds", 3, "--iterations", 40)
    table = rows("quadratic", tmp_path / "run", *arguments)
    with (tmp_path / "run" / "quadratic.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [[float(row[name]) for name in ("t", "gap", "distance", "gamma")] for row in written] == [
        [row[name] for name in ("t", "gap", "distance", "gamma")] for row in table
    ]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (case,) = summary["cases"]
    last = [row["gap"] for row in table if row["t"] == 40]
    assert case["gap"]["40"] == pytest.approx({"mean": np.mean(last), "std": np.std(last, ddof=1)})
    means = [np.mean([row["gap"] for row in table if row["t"] == t]) for t in range(4, 41)]
    assert case["slope"] == pytest.approx(np.polyfit(np.log(range(4, 41)), np.log(means), 1)[0])
    assert "t from 4 to 40" in summary["slope"]
    assert (case["oracle_calls"], case["exchanges"], summary["seeds"]) == (80, 80, 3)
    assert Image.open(tmp_path / "run" / "quadratic.png").size[0] > 1000
    assert json.loads((tmp_path / "run" / "config.json").read_text())["mu"] == 0.3


def test_a_parameter_goes_to_every_compressor_that_has_it_unless_told_otherwise(tmp_path):
    arguments = ("--method", "sgda", "--workers", 2, "--iterations", 1, "--dimension", 500)
    compressors = ("--compressor", "uniform:bits=8", "--compressor", "uniform", "--compressor", "minmax", "--bits", 2)
    table = rows("bilinear", tmp_path / "run", *arguments, *compressors)
    sent = {row["compressor"]: 1e6 * row["megabytes"] for row in table if row["t"] == 1}
    assert sent == pytest.approx({"uniform:bits=8": 1004, "uniform": 254, "minmax": 258}, abs=1e-6)


@pytest.mark.parametrize(
    ("game", "options"),
    [("quadratic", ()), ("matrix", ()), ("stochastic-bilinear", ("--dimension", 5, "--batch", 50)), ("dirac-gan", ())],
)
def test_every_game_is_played(tmp_path, game, options):
    table = rows(game, tmp_path / "run", "--method", "qgenx-optda", "--iterations", 60, *options)
    assert table[60]["gap"] < table[0]["gap"]
    assert table[60]["distance"] is not None


def test_a_matrix_from_a_file(tmp_path):
    """B = diag(3, 1): A(0) = -M z*, so the gap at the start is between 1 and 3 times |z*| = 1."""
    np.save(tmp_path / "b.npy", np.diag([3, 1]))
    table = rows("bilinear", tmp_path / "run", "--matrix", tmp_path / "b.npy", "--dimension", 2, "--iterations", 1)
    assert 1 <= table[0]["gap"] <= 3
    assert table[0]["distance"] == pytest.approx(1)


def test_a_payoff_need_not_be_square_and_its_solution_need_not_be_known(tmp_path):
    np.save(tmp_path / "p.npy", [[0.0, 1, 2], [3, 1, 0]])
    table = rows("matrix", tmp_path / "run", "--matrix", tmp_path / "p.npy", "--method", "past", "--iterations", 300)
    assert table[0]["gap"] == 2 - 0
    assert table[-1]["gap"] < 0.1
    assert table[-1]["distance"] is None


def test_divergence_is_reported(tmp_path):
    result = call(
        "bilinear", "--out", tmp_path / "run", "--method", "sgda", "--lr", 5, "--iterations", 100, "--seeds", 2
    )
    assert result.exit_code == 0, result.output
    assert "diverges at t = 1" in result.stdout
    (case,) = json.loads((tmp_path / "run" / "summary.json").read_text())["cases"]
    assert case["slope"] is None
    assert all(math.log(1e12, 26**0.5) - 1 < t < 25 for t in case["diverged_at"])


def test_table_for_people(tmp_path):
    result = call(
        "dirac-gan",
        "--out",
        tmp_path / "run",
        "--penalty",
        0.5,
        "--noise",
        "absolute",
        "--seeds",
        2,
        "--iterations",
        50,
    )
    assert "norm of the operator of the average" in result.stdout
    assert "qgenx-optda" in result.stdout
    assert "%" in result.stdout
    assert str(tmp_path / "run") in result.stdout


@pytest.fixture
def matrices(tmp_path):
    np.save(tmp_path / "square.npy", np.eye(3))
    np.save(tmp_path / "oblong.npy", np.ones((2, 3)))
    np.save(tmp_path / "vector.npy", np.ones(3))
    np.save(tmp_path / "broken.npy", np.array([[np.nan]]))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.save(tmp_path / "large.npy", np.full((2, 2), 1e200))
    (tmp_path / "text.npy").write_text("1 2\n3 4\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["biliner"], "unknown game 'biliner'; did you mean 'bilinear'?"),
        (["bilinear", "--method", "qgenx"], "unknown method 'qgenx'; did you mean 'qgenx-"),
        (["bilinear", "--compressor", "unifrom:bits=3"], "did you mean 'uniform'?"),
        (["bilinear", "--compressor", "uniform:bits=9"], "bits must be from 2 to 8"),
        (["bilinear", "--compressor", "uniform:bit=3"], "uniform has no parameter 'bit'; it takes bits"),
        (["bilinear", "--compressor", "uniform:bits=few"], "bits must be a whole number, not 'few'"),
        (["bilinear", "--compressor", "uniform:bits"], "not of the form name:parameter=value"),
        (["bilinear", "--noise", "absolut"], "did you mean 'absolute'?"),
        (["bilinear", "--exchange", "allreduce", "--compressor", "uniform"], "cannot be averaged"),
        (["bilinear", "--matrix", "square.npy", "--dimension", 10], "square.npy is 3 x 3 but --dimension is 10"),
        (["bilinear", "--matrix", "square.npy", "--singular-values", 1, 2], "leave out --singular-values"),
        (["quadratic", "--matrix", "oblong.npy"], "must be square, this one is 2 x 3"),
        (["bilinear", "--matrix", "vector.npy"], "must hold a matrix of finite numbers, not an array of shape (3,)"),
        (["bilinear", "--matrix", "broken.npy"], "must hold a matrix of finite numbers"),
        (["bilinear", "--matrix", "large.npy"], "large.npy holds numbers whose squares are too large"),
        (["bilinear", "--matrix", "words.npy"], "cannot be read as a .npy matrix of numbers"),
        (["bilinear", "--matrix", "text.npy"], "cannot be read as a .npy matrix of numbers"),
        (["bilinear", "--matrix", "none.npy"], "cannot be read as a .npy matrix of numbers"),
        (["bilinear", "--lr", "nan"], "nan is not a finite number"),
        (["bilinear", "--singular-values", 0, "inf"], "inf is not a finite number"),
        (["matrix", "--actions", 4], "odd number of actions"),
        (["matrix", "--actions", 3, "--matrix", "square.npy"], "leave out --actions or --matrix"),
        (["dirac-gan", "--loss", "wgna"], "did you mean 'wgan'?"),
        (["bilinear", "--workers", 2, "--expect-ranks", 3], "expected 3 ranks but there are 2"),
    ],
)
def test_bad_input(matrices, arguments, sentence):
    arguments = [matrices / a if str(a).endswith(".npy") else a for a in arguments]
    result = call(*arguments, "--out", matrices / "run")
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr.replace("\n", " ")
    assert not (matrices / "run").exists()


def test_the_share_of_another_methods_exchanges(tmp_path):
    out = tmp_path / "run"
    names = ("qgenx-de", "qgenx-da", "extra-gradient")
    arguments = [*(word for name in names for word in ("--method", name)), "--iterations", 50, "--seeds", 2]
    result = call("bilinear", "--out", out, "--against", "qgenx-da", *arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    found = {case["method"]: case["share_of_exchanges"] for case in summary["cases"]}
    with (out / "bilinear.csv").open() as file:
        table = list(csv.DictReader(file))

    def mean(method, t):
        return np.mean([float(row["gap"]) for row in table if (row["method"], int(row["t"])) == (method, t)])

    for method, share in found.items():
        moves = 1 if method == "qgenx-da" else 2
        first = next(t for t in range(51) if mean(method, t) <= mean("qgenx-da", 50))
        assert share == pytest.approx(moves * first / 50)
    assert "100%" in result.stdout
    assert call("bilinear", "--against", "past", "--out", tmp_path / "other", *arguments).exit_code == 2
    assert not (tmp_path / "other").exists()
