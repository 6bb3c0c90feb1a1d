"""Where a page goes, if there is one already."""

import pytest

from hvd_qgenx.report import place


def wrote(folder, *runs):
    """Leaves a page of these runs in a folder, as a report does."""
    folder.mkdir(parents=True, exist_ok=True)
    place.record(folder, runs)
    (folder / "index.html").touch()


def test_a_page_of_other_runs_is_kept(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    for runs, name in (((a, b), "report"), ((b, c), "report-2"), ((c, b), "report-2"), ((c, a), "report-3")):
        folder, sentences = place.choose(None, runs)
        assert (folder, bool(sentences)) == (tmp_path / name, name != "report")
        wrote(folder, *runs)


def test_a_page_of_the_same_runs_and_more_takes_its_place(tmp_path):
    runs = [tmp_path / f"{seed}" for seed in range(3)]
    for count in (1, 3, 3):
        folder, sentences = place.choose(None, runs[:count])
        assert (folder, sentences) == (tmp_path / "report", [])
        wrote(folder, *runs[:count])
    assert place.choose(None, runs[:2])[0] == tmp_path / "report-2"


def test_a_folder_that_is_asked_for_is_taken_and_a_loss_is_said(tmp_path):
    out = tmp_path / "out"
    assert place.choose(out, [tmp_path / "a"]) == (out, [])
    wrote(out, tmp_path / "a")
    assert place.choose(out, [tmp_path / "a"]) == (out, [])
    sentence = f"The page in {out} was one of other runs, and is replaced."
    assert place.choose(out, [tmp_path / "b"]) == (out, [sentence])


@pytest.mark.parametrize("record", [None, b"[", b"{}", b"[1]", b"3", b"\xff", b"[" * 100_000])
def test_a_page_that_does_not_tell_its_runs_is_kept(tmp_path, record):
    wrote(tmp_path / "report", tmp_path / "run")
    (tmp_path / "report/runs.json").unlink()
    if record is not None:
        (tmp_path / "report/runs.json").write_bytes(record)
    assert place.choose(None, [tmp_path / "run"])[0] == tmp_path / "report-2"


def test_runs_may_be_moved_with_their_page(tmp_path):
    wrote(tmp_path / "old/report", tmp_path / "old/run")
    (tmp_path / "old").rename(tmp_path / "new")
    assert place.choose(None, [tmp_path / "new/run"])[0] == tmp_path / "new/report"
