"""What is read from the folders of runs: whole, cut off, interrupted, or not there."""

import json

import numpy as np
import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.report.curves import Spread, curve, per_update
from hvd_qgenx.report.recorded import Table, find
from tests.report.synthetic import write_run

SCORES = {"frechet/raw": (9.0, 5.0), "frechet/ema": (8.0, 4.0), "bias/frechet": (1.0, 1.0)}


def table(text, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return Table.read(path)


def test_rows_that_were_cut_off_or_cannot_be_read_are_left_out(tmp_path):
    found = table("update,a,b\n1,2,3\n2,4\n3,x,5\n\n4,,7\n,1,2\n5,6,7", tmp_path)
    assert found["update"].tolist() == [1, 4]
    assert found["b"].tolist() == [3, 7]
    assert np.isnan(found["a"][1])
    assert np.isnan(found["c"]).all()


def test_a_row_written_again_counts_as_it_was_written_last(tmp_path):
    found = table("update,a\n1,1\n2,2\n3,3\n2,20\n", tmp_path)
    assert found["update"].tolist() == [1, 2, 3]
    assert found["a"].tolist() == [1, 20, 3]


@pytest.mark.parametrize("text", ["a,update\n1,2\n", "\n", "\n\n\n"])
def test_a_table_without_a_header_is_damaged(text, tmp_path):
    with pytest.raises(ConfigurationError, match=r"table\.csv cannot be read: line 1 does not name the columns"):
        table(text, tmp_path)


@pytest.mark.parametrize("text", ["", "update,a", "update,a\n"])
def test_a_table_without_rows_is_empty(text, tmp_path):
    assert len(table(text, tmp_path)) == 0
    assert len(table(text, tmp_path)["a"]) == 0


def test_a_run_that_is_whole(tmp_path):
    (run,) = find([write_run(tmp_path / "run", seed=3, scores=SCORES)])
    assert run.finished
    assert (run.seed, run.updates) == (3, 40)
    assert run.score_names == ["frechet/raw", "frechet/ema"]
    assert sorted(run.samples) == [20, 40]


def test_a_run_without_scores_has_those_of_its_evaluation(tmp_path):
    run = tmp_path / "run"
    write_run(run)
    (run / "evaluation.csv").write_text(
        "update,samples,score,weights,value,bias\n"
        "20.0,100,fid,ema,30.0,1.5\n20.0,100,kid,ema,0.25,\n20.0,100,fid,ema,31.0,1.5\n"
    )
    (found,) = find([run])
    assert found.score_names == ["fid/ema", "kid/ema"]
    assert found.scores["fid/ema"].tolist() == [31.0]  # the last word
    assert found.scores["bias/fid"].tolist() == [1.5]
    elapsed = np.interp(20, found.metrics["update"], found.metrics["seconds/elapsed"])
    assert found.scores["seconds/elapsed"].tolist() == [elapsed]
    (run / "evaluation.csv").write_text("update,score\n1,fid\n")
    with pytest.raises(ConfigurationError, match=r"evaluation\.csv cannot be read"):
        find([run])


def test_an_interrupted_run_counts_until_its_last_row(tmp_path):
    path = write_run(tmp_path / "run", scores=SCORES, finished=False)
    text = (path / "metrics.csv").read_text()
    (path / "metrics.csv").write_text(text[: len(text) - 5])
    (path / "scores.csv").unlink()
    (run,) = find([path])
    assert not run.finished
    assert run.updates == 20
    assert run.score_names == []


def test_runs_are_found_however_deep_and_once(tmp_path):
    for name in ("a/b/none-0", "a/b/none-1", "a/none-2"):
        write_run(tmp_path / name)
    (tmp_path / "a/game").mkdir()
    (tmp_path / "a/game/config.json").write_text('{"iterations": 10}')
    found = find([tmp_path, tmp_path / "a/none-2"])
    assert [run.path.name for run in found] == ["none-0", "none-1", "none-2"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("config.json", '{"iterations": 10}', "is not the configuration of a training run"),
        ("config.json", "{", "cannot be read"),
        ("summary.json", "{", "cannot be read"),
        ("config.json", None, "holds no run"),
    ],
)
def test_what_is_no_run_is_an_error_that_names_it(tmp_path, name, content, sentence):
    path = write_run(tmp_path / "run")
    (path / name).unlink()
    if content is not None:
        (path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=sentence) as error:
        find([path])
    assert str(path) in str(error.value)


def test_bad_runs_are_passed_on_and_the_others_read(tmp_path):
    write_run(tmp_path / "whole")
    for name in ("damaged", "no-summary", "empty"):
        write_run(tmp_path / name, finished=False)
    (tmp_path / "damaged/config.json").write_text("{")
    (tmp_path / "no-summary/summary.json").write_text("{")
    (tmp_path / "empty/metrics.csv").unlink()
    (tmp_path / "nothing").mkdir()
    errors: list[ConfigurationError] = []
    found = find([tmp_path, tmp_path / "nothing", tmp_path / "nowhere"], errors.append)
    assert [run.path.name for run in found] == ["whole"]
    bad = ("nothing", "nowhere", "damaged", "empty", "no-summary")
    assert len(errors) == len(bad)
    assert all(str(tmp_path / name) in str(error) for name, error in zip(bad, errors, strict=True))
    assert str(errors[3]) == f"{tmp_path / 'empty'} has no results: neither metrics.csv nor scores.csv has a row"
    with pytest.raises(ConfigurationError, match="damaged"):
        find([tmp_path])


@pytest.mark.parametrize(
    ("key", "value"), [("seed", [1]), ("seed", {}), ("seed", "x"), ("compressor", {}), ("preset", 1), ("command", "x")]
)
def test_a_configuration_with_a_value_of_another_type_is_damaged(tmp_path, key, value):
    path = write_run(tmp_path / "run")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ConfigurationError, match=f"config.json is damaged: {key} is "):
        find([path])


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere"):
        find([tmp_path / "nowhere"])


def test_curves_are_aligned_where_all_runs_have_them():
    runs = [
        Table({"update": np.array([10.0, 20, 30]), "s/w": np.array([9.0, 7, 5]), "seconds/elapsed": np.arange(1.0, 4)}),
        Table({"update": np.array([15.0, 25]), "s/w": np.array([6.0, 4]), "seconds/elapsed": np.array([3.0, 5])}),
    ]
    found = curve(runs, "s/w")
    assert found.update.tolist() == [15, 20, 25]
    assert found.values.tolist() == [[8, 7, 6], [6, 5, 4]]
    assert found.mean.tolist() == [7, 6, 5]
    assert found.seconds.tolist() == [2.25, 3, 3.75]
    assert np.isnan(found.megabytes).all()


def test_a_curve_leaves_out_what_is_missing():
    runs = [
        Table({"update": np.array([10.0, 20]), "s/w": np.array([np.nan, 5])}),
        Table({"update": np.array([10.0]), "other": np.array([1.0])}),
    ]
    assert curve(runs, "s/w").values.tolist() == [[5]]
    assert curve(runs, "none") is None


def test_of_runs_without_a_common_update_the_longest_is_taken():
    runs = [Table({"update": np.array([u]), "s/w": np.array([v])}) for u, v in ((10.0, 1.0), (20.0, 2.0))]
    found = curve(runs, "s/w")
    assert (found.update.tolist(), found.values.tolist()) == ([20], [[2]])


def test_means_since_the_last_row_weigh_as_much_as_the_updates_they_are_over():
    found = Table({"update": np.array([10.0, 40, 50]), "seconds/update": np.array([1.0, 2, np.nan])})
    assert per_update(found, "seconds/update") == pytest.approx((10 * 1 + 30 * 2) / 40)
    assert np.isnan(per_update(found, "other"))


def test_spread():
    assert Spread.of([2.0, 4.0, float("nan")]) == Spread(3.0, pytest.approx(2**0.5), 2)
    assert Spread.of([2.0]) == Spread(2.0, None, 1)
    assert Spread.of([float("nan")]) is None
