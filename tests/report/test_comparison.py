"""Groups, their names and places, warnings, and the numbers of the table."""

import functools
from dataclasses import replace

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.report import compare, find, rows, text
from hvd_qgenx.report.curves import Spread
from hvd_qgenx.report.results import Reached
from tests.report.synthetic import write_run


def compared(path, score=None):
    return compare(find([path]), score)


def names(comparison):
    return [group.title for group in comparison.groups]


def test_runs_that_differ_in_seed_or_in_what_changes_no_update_are_one_group(tmp_path):
    write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=10, every=10, log_every=10, data_dir="elsewhere", command=["x"])
    write_run(tmp_path / "c", seed=2, versions={"torch": "2.4"}, preset="full", score_every=5, extractor="x")
    comparison = compared(tmp_path)
    assert [len(group.records) for group in comparison.groups] == [3]
    assert rows(comparison)[0].seeds == [0, 2, 10]
    assert names(comparison) == ["none"]
    assert comparison.differences == []


@pytest.mark.parametrize("parts", [(), ("train",), ("test",)])
def test_files_that_are_not_trained_on_set_no_run_apart_but_images_do(tmp_path, parts):
    folders = {
        "a": {"count": 3, "classes": {"damaged": 3}, "skipped": {}, "damaged": []},
        "b": {"count": 3, "classes": {"damaged": 3}, "skipped": {".txt": 1}, "damaged": ["x.png"]},
        "c": {"count": 2, "classes": {"damaged": 2}, "skipped": {}, "damaged": []},
    }
    for name, images in folders.items():
        write_run(tmp_path / name, images=functools.reduce(lambda inner, part: {part: inner}, parts, images))
    comparison = compared(tmp_path)
    assert sorted(len(group.records) for group in comparison.groups) == [1, 2]
    assert len(comparison.differences) == 2  # of images, and of those in the class


def test_the_baseline_comes_first_and_the_others_by_falling_traffic(tmp_path):
    write_run(tmp_path / "a", "alq", megabytes=0.3)
    write_run(tmp_path / "b", "minmax", megabytes=0.5)
    write_run(tmp_path / "c", "none", megabytes=0.1)
    comparison = compared(tmp_path)
    assert names(comparison) == ["none", "minmax 4 bits", "alq 3 bits"]
    assert len({mode.color for mode in comparison.modes}) == 3


def test_without_gossip_is_the_baseline(tmp_path):
    write_run(tmp_path / "a", megabytes=5, mixing="dpsgd")
    write_run(tmp_path / "b", megabytes=1, mixing="none")
    comparison = compared(tmp_path)
    assert comparison.baseline("").name == "none, mixing none"
    assert [group.mode.outcome["mixing"] for group in comparison.groups] == ["none", "dpsgd"]


def test_runs_of_a_sweep_have_the_names_of_its_modes(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"uq4-long-seed{seed}", "minmax", seed=seed, preset="uq4")
    write_run(tmp_path / "full-seed0")
    write_run(tmp_path / "other", "alq", preset="nuq", megabytes=0.5)
    assert names(compared(tmp_path)) == ["full", "uq4-long", "nuq"]


def test_a_preset_of_a_file_is_named_without_its_folder(tmp_path):
    write_run(tmp_path / "a", preset="presets/of mine/slow.toml")
    assert names(compared(tmp_path)) == ["slow"]


def test_many_groups_look_different(tmp_path):
    for bits in range(2, 20):
        write_run(tmp_path / str(bits), "minmax", compressor_parameters={"bits": bits})
    assert len({(mode.color, mode.marker) for mode in compared(tmp_path).modes}) == 18


def test_a_preset_names_its_group_unless_two_groups_have_it(tmp_path):
    write_run(tmp_path / "a", preset="full")
    write_run(tmp_path / "b", "minmax", preset="uq4")
    write_run(tmp_path / "c", "minmax", preset="uq4", compressor_parameters={"bits": 2}, megabytes=1)
    assert names(compared(tmp_path)) == ["full", "minmax 4 bits", "minmax 2 bits"]


def test_what_should_not_differ_is_said_and_the_rest_is_not(tmp_path):
    write_run(tmp_path / "a", megabytes=3)
    write_run(tmp_path / "b", "minmax", coding="elias", optimizer="adam", generator_lr=1e-3, megabytes=2)
    write_run(tmp_path / "c", "alq", batch_size=96, ranks=4, megabytes=1)
    assert compared(tmp_path).obstacles == [
        "batch_size is 48 in none and minmax 4 bits, elias but 96 in alq 3 bits.",
        "ranks is 3 in none and minmax 4 bits, elias but 4 in alq 3 bits.",
    ]


def test_sentences_on_differences_name_three_values(tmp_path):
    for bits in range(2, 8):
        write_run(tmp_path / str(bits), "minmax", compressor_parameters={"bits": bits}, dataset=f"{bits}" + "x" * 99)
    (found,) = compared(tmp_path).obstacles
    assert found.count("xx… in minmax") == 3
    assert found.endswith(" but 3 other values in others.")


def test_sentences_on_differences_name_two_groups_and_are_eight_at_most(tmp_path):
    for bits in range(2, 6):
        write_run(tmp_path / str(bits), "minmax", compressor_parameters={"bits": bits})
    write_run(tmp_path / "other", **{f"unknown_{number}": 1 for number in range(11)})
    first, *_, last = found = compared(tmp_path).obstacles
    assert first == "unknown_0 is - in 4 groups but 1 in none."
    assert (len(found), last) == (9, "3 more settings differ: see the page's configuration.")


@pytest.mark.parametrize("key", ["link", "hosts"])
def test_links_are_places(tmp_path, key):
    for place, value in (("x", 1), ("y", 3)):
        write_run(tmp_path / f"{place}-none", **{key: value})
        write_run(tmp_path / f"{place}-minmax", "minmax", **{key: value})
    unit = {1: " host", 3: " hosts"} if key == "hosts" else {1: "", 3: ""}
    comparison = compared(tmp_path)
    assert set(comparison.places) == {f"{value}{unit[value]}" for value in (1, 3)}
    assert len(comparison.modes) == 2
    assert all(comparison.baseline(place).name == "none" for place in comparison.places)


def test_folders_are_places_where_they_tell_equal_runs_apart(tmp_path):
    for place in ("slow", "fast"):
        write_run(tmp_path / place / "seed-0/none")
        write_run(tmp_path / place / "seed-0/minmax", "minmax")
    assert set(names(compared(tmp_path))) == {
        f"{name}, {place}" for name in ("none", "minmax 4 bits") for place in ("slow", "fast")
    }


def test_folders_of_modes_or_seeds_are_no_places(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"seed-{seed}/none", seed=seed)
        write_run(tmp_path / f"seed-{seed}/minmax", "minmax", seed=seed)
    write_run(tmp_path / "seed-1/again", "minmax", seed=1)
    assert names(compared(tmp_path)) == ["none", "minmax 4 bits"]


def test_the_table_by_hand(tmp_path):
    """Three seeds each; the baseline ends at 4, which minmax has from update 20 on."""
    for seed, last in enumerate((3.0, 4.0, 5.0)):
        scores = {"frechet/raw": (9.0, last), "frechet/ema": (9.0, 2 * last)}
        write_run(tmp_path / f"none-{seed}", seed=seed, scores=scores, seconds=0.5, megabytes=2)
        scores = {"frechet/raw": (last - 0.5, last + 1), "frechet/ema": (20.0, 19.0)}
        write_run(tmp_path / f"minmax-{seed}", "minmax", seed, scores, seconds=0.2 + 0.1 * seed, megabytes=0.5)
    comparison = compared(tmp_path)
    assert comparison.score == "frechet/ema"
    assert [row.reached for row in rows(comparison)] == [Reached(40, 20, 80), None]

    comparison = replace(comparison, score="frechet/raw")
    none, minmax = rows(comparison)
    assert none.final == Spread(4.0, 1.0, 3)
    assert minmax.final == Spread(5.0, 1.0, 3)
    assert minmax.finals == {"frechet/raw": Spread(5.0, 1.0, 3), "frechet/ema": Spread(19.0, 0.0, 3)}
    assert (none.best, minmax.best) == (3.0, 2.5)
    assert (none.fewer_bytes, minmax.fewer_bytes) == (1, 4)
    assert minmax.megabytes_per_update.mean == 0.5
    assert minmax.seconds_per_update == Spread(pytest.approx(0.3), pytest.approx(0.1), 3)
    assert minmax.faster == pytest.approx(0.5 / 0.3)
    assert none.reached == Reached(40, 20, 80)
    assert minmax.reached == Reached(20, pytest.approx(6), 10)
    assert minmax.less_time == pytest.approx(20 / 6)
    assert minmax.less_traffic == 8
    assert (none.relative_error.mean, minmax.relative_error.mean) == (0, pytest.approx(0.04))
    assert minmax.losses["loss/discriminator"] == Spread(-3.0, 1.0, 3)
    assert (none.seeds, none.unfinished, none.updates) == ([0, 1, 2], [], 40)

    _, cells = text.main(comparison, [none, minmax])
    assert cells["frechet/raw"] == "5.0 ± 1.0"
    assert cells["fewer bytes"] == "4.00x"
    assert cells["s/update"] == "0.30 ± 0.10"
    assert cells["time to baseline"] == "6.000 s (3.33x less)"
    assert cells["MB to baseline"] == "10.00 MB (8.00x less)"
    slow = replace(minmax, faster=0.4, fewer_bytes=0.8, less_time=0.405)
    _, cells = text.main(comparison, [none, slow])
    assert (cells["faster"], cells["fewer bytes"]) == ("2.50x slower", "1.25x more")
    assert cells["time to baseline"] == "6.000 s (2.47x more)"


def test_higher_inception_scores_are_better(tmp_path):
    write_run(tmp_path / "none", scores={"inception_score/raw": (3.0, 2.5)})
    write_run(tmp_path / "minmax", "minmax", scores={"inception_score/raw": (2.0, 2.6)})
    none, minmax = rows(compared(tmp_path))
    assert (none.best, minmax.best) == (3.0, 2.6)
    assert (none.reached.update, minmax.reached.update) == (20, 40)


def test_the_first_score_is_preferred_by_ema_but_only_if_all_have_it(tmp_path):
    write_run(tmp_path / "a", scores={"fid/raw": (2.0, 1.0), "fid/ema": (2.0, 1.0), "kid/raw": (0.2, 0.1)})
    assert compared(tmp_path).score == "fid/ema"
    write_run(tmp_path / "b", "minmax", scores={"fid/raw": (2.0, 1.0)})
    assert compared(tmp_path).score == "fid/raw"
    comparison = compared(tmp_path, "kid")
    assert comparison.score == "kid/raw"
    assert comparison.remarks == ["There is no kid/raw of minmax 4 bits."]
    with pytest.raises(ConfigurationError, match="did you mean 'fid'"):
        compared(tmp_path, "fidd")


def test_interrupted_runs_are_left_out_of_means_but_not_of_the_page(tmp_path):
    write_run(tmp_path / "a", seed=0, scores={"fid/raw": (2.0, 1.0)})
    write_run(tmp_path / "b", seed=1, scores={"fid/raw": (2.0, 9.0)}, finished=False)
    write_run(tmp_path / "c", "minmax", seed=0, scores={"fid/raw": (2.0, 3.0)}, finished=False)
    comparison = compared(tmp_path)
    none, minmax = rows(comparison)
    assert (none.final.mean, minmax.final.mean) == (1, 3)
    assert (none.seeds, none.unfinished) == ([0, 1], [1])
    first, second = comparison.remarks
    assert str(tmp_path / "b") in first
    assert "means leave it out" in first
    assert str(tmp_path / "c") in second
    assert "means leave it out" not in second
    assert text.main(comparison, [none, minmax])[0]["seeds"] == "0, 1 unfinished"


def test_diverged_runs_have_no_part_in_means_and_a_group_of_them_has_no_score(tmp_path):
    scores = {"fid/raw": (9.0, 3.0)}
    write_run(tmp_path / "none", scores=scores)
    for compressor, seed in (("none", 1), ("minmax", 0), ("minmax", 1)):
        run = write_run(tmp_path / f"{compressor}-{seed}", compressor, seed, {"fid/raw": (9.0, 100.0)}, finished=False)
        (run / "diverged.json").write_text('{"update": 1234, "sentence": "the loss is nan"}')
    comparison = compared(tmp_path)
    baseline, diverged = rows(comparison)
    assert (baseline.final, baseline.diverged, baseline.unfinished) == (Spread(3.0, None, 1), {"1": 1234}, [])
    assert (diverged.final, diverged.finals, diverged.diverged) == (None, {}, {"0": 1234, "1": 1234})
    none, minmax = text.main(comparison, rows(comparison))
    assert (none["seeds"], none["fid/raw"]) == ("0, 1 diverged", "3.000")
    assert (minmax["seeds"], minmax["fid/raw"]) == ("0 diverged, 1 diverged", "diverged after update 1,234")
    sentences = [remark for remark in comparison.remarks if "diverged" in remark]
    assert (
        sentences[0] == f"{tmp_path / 'none-1'} diverged after update 1,234, and means leave it out: the loss is nan."
    )
    assert len(sentences) == 3


def test_runs_without_scores_say_how_to_score_them(tmp_path):
    write_run(tmp_path / "a")
    comparison = compared(tmp_path)
    (row,) = rows(comparison)
    assert (comparison.score, row.final, row.reached) == (None, None, None)
    assert [remark for remark in comparison.remarks if f"hvd-qgenx evaluate {tmp_path / 'a'}" in remark]
    with pytest.raises(ConfigurationError, match="evaluate"):
        compared(tmp_path, "fid")


def test_without_a_baseline_there_are_no_ratios(tmp_path):
    write_run(tmp_path / "a", "minmax", scores={"fid/raw": (2.0, 1.0)})
    comparison = compared(tmp_path)
    (row,) = rows(comparison)
    assert (row.fewer_bytes, row.faster, row.reached) == (None, None, None)
    assert comparison.remarks == ["No run has --compressor none, so there are no ratios to a baseline."]
    assert "fewer bytes" not in text.main(comparison, [row])[0]


def test_replicas_of_equal_seeds_must_agree(tmp_path):
    write_run(tmp_path / "a", replica_hash="x", link="1 gbit")
    write_run(tmp_path / "b", "minmax", replica_hash="y", link="1 gbit")
    assert [row.replicas_agree for row in rows(compared(tmp_path))] == [None, None]
    write_run(tmp_path / "c", replica_hash="x", link="100 mbit")
    write_run(tmp_path / "d", "minmax", replica_hash="z", link="100 mbit")
    comparison = compared(tmp_path)
    assert {row.group: row.replicas_agree for row in rows(comparison)} == {"none": True, "minmax 4 bits": False}
    assert comparison.remarks[1:] == ["Runs of minmax 4 bits with the same seed ended with different parameters."]


def test_metrics_of_an_earlier_version_leave_gaps(tmp_path):
    path = write_run(tmp_path / "a", scores={"fid/raw": (2.0, 1.0)})
    (path / "metrics.csv").write_text("update,loss/generator,seconds/compute\n10,-1,0.2\n")
    (row,) = rows(compared(tmp_path))
    assert (row.seconds_per_update, row.megabytes_per_update) == (None, None)
    assert row.losses == {"loss/generator": Spread(-1.0, None, 1)}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Spread(37.81, 4.83, 3), "37.8 ± 4.8"),
        (Spread(1234.5, 12.3, 3), "1,234 ± 12"),
        (Spread(0.0361, 0.00048, 3), "0.03610 ± 0.00048"),
        (Spread(6.417, 1e-16, 3), "6.417"),
        (Spread(1.669, None, 1), "1.669"),
        (Spread(0.0, 0.0, 3), "0"),
        (Spread(12345.6, None, 1), "12,346"),
        (Spread(2e-7, None, 1), "2e-07"),
        (None, "-"),
    ],
)
def test_numbers_are_shown_with_the_digits_that_mean_something(value, shown):
    assert text.spread(value) == shown
