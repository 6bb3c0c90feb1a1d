"""Published values: their table, and measured ones beside them."""

import json
from pathlib import Path

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.report import compare, find, page, text
from hvd_qgenx.report.published import Published, Value, parse
from hvd_qgenx.report.replication import Pair, Replication, replicate
from tests.report.synthetic import write_run
from tests.report.test_page import EVIL, Parsed

MODES = ("full", "a", "b", "c")
HEAD = {"title": "Table 1", "source": "A paper", "score": "top1/raw"}


def published(scores: str | tuple[str, ...] = "top1/raw", **values: object) -> Published:
    return parse({**HEAD, "score": scores if isinstance(scores, str) else list(scores), "values": values}, MODES)


def leave(path: Path, mode: str, seed: int, score: float, column: str = "top1/raw", diverged: int = 0) -> None:
    """A run of a mode as a sweep leaves it."""
    run = write_run(path / f"{mode}-seed{seed}", seed=seed, scores={column: (0.0, score)}, finished=not diverged)
    if diverged:
        (run / "diverged.json").write_text(json.dumps({"update": diverged, "sentence": "the loss is nan"}))


def replicated(path: Path, scores: str | tuple[str, ...] = "top1/raw", **values: object) -> Replication:
    return replicate(published(scores, **values), find([path]))


class TestTable:
    def test_a_value_is_a_number_or_a_word_or_has_a_spread_and_bytes(self):
        found = published(
            full=92, a="diverges", b={"value": 91.5, "spread": 0.25, "megabytes": 1}, c={"value": "diverges"}
        )
        assert found.values == {
            "full": Value(92.0),
            "a": Value(None),
            "b": Value(91.5, 0.25, 1.0),
            "c": Value(None),
        }
        assert (found.title, found.source, found.note, found.scores) == ("Table 1", "A paper", "", ("top1/raw",))

    def test_several_columns(self):
        assert published(("top1/local_mean", "top1/raw"), full=1).scores == ("top1/local_mean", "top1/raw")

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"titel": "x"}, "published: unknown key 'titel'; did you mean 'title'?"),
            ({"title": 1}, "published.title must be a string, not 1"),
            ({"note": ["x"]}, "published.note must be a string"),
            ({"score": "top1"}, "published.score must be a column of scores.csv like 'top1/raw'"),
            ({"score": []}, "published.score must be a column"),
            ({"score": None}, "published.score must be a column"),
            ({"values": 1}, "published.values must be a table, not 1"),
            ({"values": {}}, "published.values is empty"),
            ({"values": {"ful": 1}}, "published.values: unknown mode 'ful'; did you mean 'full'?"),
            ({"values": {"full": "div."}}, "published.values.full must be a number or 'diverges', not 'div.'"),
            ({"values": {"full": True}}, "published.values.full must be a number"),
            ({"values": {"full": float("nan")}}, "published.values.full must be a number"),
            ({"values": {"full": {}}}, "published.values.full.value is missing"),
            ({"values": {"full": {"value": [1]}}}, "published.values.full.value must be a number"),
            ({"values": {"full": {"value": 1, "std": 1}}}, "published.values.full: unknown key 'std'"),
            ({"values": {"full": {"value": 1, "spread": -1}}}, "published.values.full.spread must be a number of at"),
            ({"values": {"full": {"value": 1, "megabytes": "1"}}}, "published.values.full.megabytes must be a number"),
        ],
    )
    def test_what_cannot_be_meant(self, changes, sentence):
        with pytest.raises(ConfigurationError) as error:
            parse({**HEAD, "values": {"full": 1}, **changes}, MODES)
        assert sentence in str(error.value)

    @pytest.mark.parametrize("key", ["title", "source"])
    def test_it_says_where_values_are_from(self, key):
        with pytest.raises(ConfigurationError, match=f"published.{key} is missing"):
            parse({**{name: value for name, value in HEAD.items() if name != key}, "values": {"full": 1}}, MODES)


class TestReplication:
    def test_measured_values_are_those_of_finished_runs(self, tmp_path):
        leave(tmp_path, "full", 0, 50.0)
        leave(tmp_path, "full", 1, 52.0)
        leave(tmp_path, "a", 0, 9.0, diverged=7)
        leave(tmp_path, "b", 0, 40.0)
        leave(tmp_path, "b", 1, 9.0, diverged=12)
        full, a, b, c = replicated(tmp_path, full=1, a=1, b=1, c=1).lines
        assert (full.measured.mean, full.measured.count, full.diverged, full.megabytes.mean) == (51.0, 2, [], 2.0)
        assert (a.measured, a.diverged, a.runs) == (None, [7], 1)
        assert (b.measured.mean, b.diverged, b.runs) == (40.0, [12], 2)
        assert (c.measured, c.diverged, c.runs, c.known) == (None, [], 0, False)

    def test_the_first_column_that_a_run_has(self, tmp_path):
        leave(tmp_path, "full", 0, 50.0)
        leave(tmp_path, "a", 0, 40.0, column="top1/local_mean")
        full, a = replicated(tmp_path, ("top1/local_mean", "top1/raw"), full=1, a=1).lines
        assert (full.measured.mean, a.measured.mean) == (50.0, 40.0)

    def test_other_runs_are_known_by_their_preset(self, tmp_path):
        write_run(tmp_path / "run", scores={"top1/raw": (0.0, 50.0)}, preset="a")
        write_run(tmp_path / "another", scores={"top1/raw": (0.0, 10.0)}, preset="z")
        (a,) = replicated(tmp_path, a=1).lines
        assert (a.measured.mean, a.runs) == (50.0, 1)

    def test_the_order_of_modes_that_are_told_apart(self, tmp_path):
        """b and c are not, by their published spreads; that of a and c is the other way around here."""
        for mode, score in (("full", 60.0), ("a", 40.0), ("b", 50.0), ("c", 45.0)):
            leave(tmp_path, mode, 0, score)
        values = {"full": 92, "a": {"value": 90, "spread": 0.5}, "b": {"value": 85, "spread": 3}, "c": 83}
        found = replicated(tmp_path, **values)
        assert found.pairs == [
            Pair("full", "a", "agrees"),
            Pair("full", "b", "agrees"),
            Pair("full", "c", "agrees"),
            Pair("a", "b", "disagrees"),
            Pair("a", "c", "disagrees"),
        ]
        assert found.conclusion == (
            "Of 5 pairs of modes that the published values tell apart, 3 are in the same order, and 2 in the opposite "
            "one: b is better than a, c is better than a."
        )

    def test_a_measured_difference_within_the_spread_of_seeds_decides_nothing(self, tmp_path):
        for seed, (full, a) in enumerate([(50.0, 51.0), (54.0, 55.0)]):
            leave(tmp_path, "full", seed, full)
            leave(tmp_path, "a", seed, a)
        found = replicated(tmp_path, full=92, a=90)
        assert found.pairs == [Pair("full", "a", "undecided")]
        assert found.conclusion == (
            "Of 1 pair of modes that the published values tell apart, 0 are in the same order, 1 cannot be told apart "
            "here, and none is in the opposite one."
        )

    def test_a_mode_that_diverges_is_worse_than_all_others(self, tmp_path):
        leave(tmp_path, "full", 0, 50.0)
        leave(tmp_path, "a", 0, 9.0, diverged=7)
        leave(tmp_path, "b", 0, 40.0)
        found = replicated(tmp_path, full=92, a="diverges", b="diverges", c="diverges")
        assert found.pairs == [Pair("full", "a", "agrees"), Pair("full", "b", "agrees")]
        assert "none is in the opposite one" in found.conclusion
        assert replicated(tmp_path, a=92, b="diverges").pairs == [Pair("a", "b", "disagrees")]

    def test_lower_is_better_for_other_scores(self, tmp_path):
        leave(tmp_path, "full", 0, 5.0, column="fid/raw")
        leave(tmp_path, "a", 0, 6.0, column="fid/raw")
        assert replicated(tmp_path, "fid/raw", full=20, a=30).pairs == [Pair("full", "a", "agrees")]

    def test_nothing_was_run(self, tmp_path):
        leave(tmp_path, "other", 0, 5.0)
        found = replicated(tmp_path, full=92, a=90)
        assert found.conclusion.startswith("No two modes have been run")
        assert [cells["top1/raw here"] for cells in text.replication(found)] == ["not run", "not run"]


class TestShown:
    def test_the_table(self, tmp_path):
        leave(tmp_path, "full", 0, 50.0)
        leave(tmp_path, "full", 1, 52.0)
        leave(tmp_path, "a", 0, 9.0, diverged=7)
        leave(tmp_path, "a", 1, 9.0, diverged=1200)
        leave(tmp_path, "b", 0, 40.0)
        leave(tmp_path, "b", 1, 9.0, diverged=12)
        found = replicated(tmp_path, full={"value": 92.5, "spread": 0.11, "megabytes": 1.04}, a="diverges", b=17.03)
        assert text.replication(found) == [
            {
                "mode": "full",
                "runs": "2",
                "top1/raw here": "51.0 ± 1.4",
                "published": "92.50 ± 0.11",
                "MB/update here": "2.000",
                "MB/update published": "1.040",
            },
            {
                "mode": "a",
                "runs": "2",
                "top1/raw here": "diverged after update 7 and 1,200",
                "published": "diverges",
                "MB/update here": "2.000",
                "MB/update published": "-",
            },
            {
                "mode": "b",
                "runs": "2",
                "top1/raw here": "40.00, 1 of 2 diverged",
                "published": "17.03",
                "MB/update here": "2.000",
                "MB/update published": "-",
            },
        ]

    def test_the_page_has_a_section(self, tmp_path):
        leave(tmp_path / "runs", "full", 0, 50.0)
        leave(tmp_path / "runs", "a", 0, 9.0, diverged=7)
        records = find([tmp_path / "runs"])
        found = replicate(parse({**HEAD, "title": EVIL, "values": {"full": 92, "a": 90}}, MODES), records)
        html = page.write(compare(records), tmp_path, "Report", found).read_text()
        parsed = Parsed(html)
        assert "<script" not in html
        assert f"Beside the paper: {EVIL}" in parsed.text
        assert "diverged after update 7" in parsed.text
        assert found.conclusion in parsed.text
        assert any("A paper" in each for each in parsed.text)

    def test_a_sentence_names_some_pairs_and_the_page_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr("hvd_qgenx.report.replication.MOST", 1)
        monkeypatch.setattr("hvd_qgenx.report.page.MOST", 1)
        for mode, score in (("full", 10.0), ("a", 20.0), ("b", 30.0)):
            leave(tmp_path / "runs", mode, 0, score)
        found = replicated(tmp_path / "runs", full=92, a=91, b=90)
        assert found.conclusion.endswith("and 3 in the opposite one: a is better than full, and 2 more.")
        html = page.write(compare(find([tmp_path / "runs"])), tmp_path, "Report", found).read_text()
        assert {"a is better than full", "b is better than full", "b is better than a"} <= {*Parsed(html).text}

    def test_plain_values(self, tmp_path):
        leave(tmp_path, "full", 0, 50.0)
        found = json.loads(json.dumps(replicated(tmp_path, full=92, a="diverges").as_dict()))
        assert found["modes"][0]["measured"] == {"mean": 50.0, "deviation": None, "count": 1}
        assert found["modes"][1]["published"] == {"score": None, "spread": None, "megabytes": None}
        assert (found["title"], found["score"], found["pairs"]) == ("Table 1", ["top1/raw"], [])
