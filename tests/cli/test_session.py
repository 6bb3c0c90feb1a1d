"""Errors that end a command, as sentences and exit codes."""

import errno
import os
import re

import pytest
import torch

from hvd_qgenx.cli.session import exit_codes


def too_much() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def python_has_none() -> None:
    raise MemoryError("Unable to allocate 8.00 EiB for an array")


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        (too_much, "Error: out of memory: .*; use smaller batches or models"),
        (python_has_none, "Error: out of memory: Unable to allocate 8.00 EiB for an array; use smaller"),
        (full, "Error: No space left on device\n"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(fails, sentence, capsys):
    with pytest.raises(SystemExit) as ended, exit_codes():
        fails()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.match(sentence, printed)


def test_errors_of_the_program_itself_keep_their_traceback():
    for error in (RuntimeError("a bug"), OSError(errno.EBADF, "Bad file descriptor")):
        with pytest.raises(type(error)), exit_codes():
            raise error
