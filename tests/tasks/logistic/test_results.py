"""Curves over seeds, the table, the files."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from hvd_qgenx.tasks.logistic import figure
from hvd_qgenx.tasks.logistic.descent import Moment, Record
from hvd_qgenx.tasks.logistic.estimators import Sampling
from hvd_qgenx.tasks.logistic.experiment import Experiment
from hvd_qgenx.tasks.logistic.methods import full_step, sampled_step
from hvd_qgenx.tasks.logistic.optimum import find_optimum
from hvd_qgenx.tasks.logistic.results import Results, Run
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport.inprocess import InProcess
from tests.tasks.logistic.problems import problem

PROBLEM = problem()
EXPERIMENT = Experiment(PROBLEM, find_optimum(PROBLEM), Workers(4, InProcess()), Sampling(2, 0.2), 20)


def moments(*distances, integer=0):
    return [Moment(10 * place, d / 2, d, 2.0 * place, 0.1 * place, integer, 3) for place, d in enumerate(distances)]


SYNTHETIC = Results(
    EXPERIMENT,
    [Run("l-svrg", 0), Run("l-svrg", 1), Run("gd", 0), Run("gd", 1)],
    [
        Record(0.5, moments(1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, integer=2)),
        Record(0.5, moments(1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12, integer=7)),
        Record(0.7, moments(1.0, 0.1, 0.0)),
        Record(0.7, moments(1.0, 0.1), diverged_at=17),
    ],
)


def test_means_and_deviations_are_of_logarithms():
    curves, cut = SYNTHETIC.curves
    mean, deviation = curves.logarithms("squared_distance")
    assert mean.tolist() == pytest.approx([0, -2, -4, -6, -8, -11])
    assert deviation.tolist() == pytest.approx([0, 0, 0, 0, 0, math.sqrt(2)])
    assert (cut.axis("k").tolist(), cut.diverged_at) == ([0, 10], [17])


def test_gaps_below_rounding_count_as_rounding():
    results = Results(EXPERIMENT, [Run("gd", 0)], [Record(1.0, [Moment(0, -1e-17, 0.0, 0, 0, 0, 0)])])
    (curves,) = results.curves
    assert curves.logarithms("gap")[0] == pytest.approx(np.log10(2.0**-52))
    assert np.isfinite(curves.logarithms("squared_distance")[0]).all()


def test_the_table_has_what_runs_reached():
    text = SYNTHETIC.table()
    for part in ("k = 10", "k = 30", "k = 50", "1e-11 ±1.41", "0.01 ±0.00", "diverges at 17", "7, 3", "0.5"):
        assert part in text


def test_the_summary_has_constants_and_errors():
    summary = json.loads(json.dumps(SYNTHETIC.summary()))
    assert summary["smoothness"] == PROBLEM.smoothness
    assert (summary["seeds"], summary["workers"], summary["used"], summary["samples"]) == (2, 4, 40, 43)
    first, second = summary["methods"]
    assert first["squared_distance"]["50"] == pytest.approx({"mean": -11, "std": math.sqrt(2)})
    assert (first["largest_integer"], second["diverged_at"]) == (7, [17])


def test_files(tmp_path):
    SYNTHETIC.write_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"], row["k"]) for row in rows[5:8]] == [
        ("l-svrg", "0", "50"), ("l-svrg", "1", "0"), ("l-svrg", "1", "10")
    ]  # fmt: skip
    assert len(rows) == len(SYNTHETIC.rows()) == 6 + 6 + 3 + 2
    figure.draw(SYNTHETIC, tmp_path / "figure.png")
    assert Image.open(tmp_path / "figure.png").size[0] > 1000


def test_step_sizes_are_those_of_theory_unless_one_is_given():
    assert EXPERIMENT.step_size("gd") == pytest.approx(full_step(PROBLEM, EXPERIMENT.sampling))
    assert EXPERIMENT.step_size("sgd") == pytest.approx(sampled_step(PROBLEM, EXPERIMENT.sampling))
    given = Experiment(PROBLEM, EXPERIMENT.optimum, EXPERIMENT.workers, EXPERIMENT.sampling, 20, lr=0.125)
    record = given.run("l-svrg", 3)
    assert (record.lr, record.moments[-1].k) == (0.125, 20)


def test_the_description_has_the_certificate():
    text = EXPERIMENT.description()
    assert "random: 40 of 43 samples, 6 features; 4 workers with 10 samples each, batch size 2, p = 0.2" in text
    assert f"f* = {EXPERIMENT.optimum.value:.10g}" in text
    assert f"exact to {EXPERIMENT.optimum.value_error:.2g}" in text
