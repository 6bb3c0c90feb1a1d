"""Ranks of one process take memory each, not each for all the others."""

import sys

from tests import launch

RANKS, NUMEL = 32, 250_000
MOST = 12 * 10**8
"""Bytes; 0.65e9 to 1.03e9 are used. Ranks that hold the gradients of all add 1.02e9 for these alone."""
PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Started by a large process, the command itself would count with what that holds."""


def test_memory_does_not_grow_with_the_square_of_ranks():
    words = ["bench", "exchange", "--numel", str(NUMEL), "--workers", str(RANKS), "--repeats", "1"]
    words += ["--compressor", "fp16"]
    done = launch.run([sys.executable, "-c", PEAK, launch.COMMAND, *words])
    assert done.returncode == 0, done.stderr
    code, peak = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert peak < MOST
