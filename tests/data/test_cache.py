"""What is kept is read back whole, or not at all."""

import threading

import pytest
import torch

from hvd_qgenx.data.cache import Cached

ARRAYS = {"mean": torch.arange(50.0), "covariance": torch.eye(50, dtype=torch.float64)}


def make(**key):
    return Cached("statistics", "digits", key)


def test_reads_what_was_written_under_the_same_key_only(cache):
    make(flip=True).write(ARRAYS)
    kept = make(flip=True).read()
    assert kept is not None
    assert kept.keys() == ARRAYS.keys()
    assert all(torch.equal(kept[name], array) and kept[name].dtype == array.dtype for name, array in ARRAYS.items())
    assert make(flip=False).read() is None
    assert make(flip=True).path.parent == cache / "hvd-qgenx" / "statistics"


@pytest.mark.parametrize("place", [10, 200, 1000, 15000, -30])
def test_a_changed_byte_is_noticed(place):
    make().write(ARRAYS)
    content = bytearray(make().path.read_bytes())
    content[place] ^= 0xFF
    make().path.write_bytes(content)
    kept = make().read()
    assert kept is None or all(torch.equal(kept[name], array) for name, array in ARRAYS.items())


@pytest.mark.parametrize("length", [0, 100, 15000])
def test_a_file_that_ends_early_is_not_read(length):
    make().write(ARRAYS)
    make().path.write_bytes(make().path.read_bytes()[:length])
    assert make().read() is None


def test_several_writers_leave_one_whole_file():
    threads = [threading.Thread(target=make().write, args=(ARRAYS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make().read() is not None
    assert list(make().path.parent.iterdir()) == [make().path]


def test_a_cache_that_cannot_be_written_is_done_without(cache, logged):
    cache.write_text("a file where the folder should be")
    make().write(ARRAYS)
    assert "it is computed again next time" in logged.text
    assert make().read() is None
