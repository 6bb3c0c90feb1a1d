"""One writer a run: locks, and drafts that no one else can have prepared."""

import multiprocessing
import os
from pathlib import Path

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.runs.folder import write_atomically
from tests import holding


@pytest.fixture
def holder(tmp_path):
    """Another process that has reserved the folder."""
    with holding.holder(tmp_path) as process:
        yield process


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_another_process_writes_is_refused_until_that_ends(holder, tmp_path, again):
    folder = RunFolder(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"in use by a run, process {holder.pid} on .*; wait for it"):
        folder.reserve(again)
    holder.kill()
    holder.wait()
    folder.reserve(again)
    folder.release()


def test_what_another_process_has_made_meanwhile_is_not_written_over(tmp_path, monkeypatch):
    config = tmp_path / "config.json"
    with holding.held_until_waited_for(monkeypatch, tmp_path, lambda: config.write_text("of another")) as waited:
        with pytest.raises(ConfigurationError, match="already holds a run"):
            RunFolder(tmp_path).reserve()
        assert waited
    assert config.read_text() == "of another"
    RunFolder(tmp_path).reserve(again=True)  # nothing keeps it locked
    RunFolder(tmp_path).release()


def test_the_process_that_has_a_folder_can_reserve_it_again(tmp_path):
    for _ in range(2):
        RunFolder(tmp_path).reserve()
    RunFolder(tmp_path).release()


def test_what_a_killed_process_was_writing_is_removed_with_the_next(tmp_path):
    for name in (".checkpoint.pt.12-ab.draft", "mine.draft"):
        (tmp_path / name).write_text("half")
    folder = RunFolder(tmp_path)
    folder.reserve()
    folder.release()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.draft", "samples", ".lock"}


def test_a_link_in_place_of_a_draft_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("a.json.draft", f".a.json.{os.getpid()}.draft"):
        (tmp_path / name).symlink_to(victim)
    write_atomically(tmp_path / "a.json", lambda file: file.write(b"new"))
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == victim.stat().st_mode & 0o777


def _write(path: Path, letter: bytes) -> None:
    for _ in range(200):
        write_atomically(path, lambda file: [file.write(letter * 1000) for _ in range(50)])


def test_a_reader_sees_one_writer_or_the_other_but_no_mixture(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"a" * 50_000))
    writers = [multiprocessing.Process(target=_write, args=(path, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes())
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {b"a" * 50_000, b"b" * 50_000}
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
