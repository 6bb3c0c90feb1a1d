"""Ranks of one process take memory each, not each for all the others."""

import os
import subprocess

from tests import launch

RANKS, NUMEL = 32, 250_000
MOST = 10**9
"""Bytes; 32 ranks that hold the gradients of all take 1.02e9 for these alone, and the libraries 0.35e9."""


def test_memory_does_not_grow_with_the_square_of_ranks():
    words = ["bench", "exchange", "--numel", str(NUMEL), "--workers", str(RANKS), "--repeats", "1"]
    words += ["--compressor", "fp16"]
    process = subprocess.Popen([launch.COMMAND, *words], env=launch.environment(), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert 1024 * used.ru_maxrss < MOST
