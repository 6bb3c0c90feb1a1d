"""One writer a run: locks, and drafts that no one else can have prepared."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.runs.folder import write_atomically

HOLD = """
import sys
from pathlib import Path
from hvd_qgenx.runs import RunFolder
RunFolder(Path(sys.argv[1])).reserve()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has reserved the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_another_process_writes_is_refused_until_that_ends(holder, tmp_path, again):
    folder = RunFolder(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"in use by a run, process {holder.pid} on .*; wait for it"):
        folder.reserve(again)
    holder.kill()
    holder.wait()
    folder.reserve(again)
    folder.release()


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
