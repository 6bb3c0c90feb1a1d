"""Kernels that several processes want at the same time."""

import os
import subprocess
import sys

CALL = """
import numpy as np
from compressors.kernels.cpu.allocation import _bisect
numbers = np.arange(4.0)
_bisect(numbers, numbers, numbers, 1.0, 3.0, -1.0, 1.0)
print(sum(_bisect.stats.cache_misses.values()))
"""


def start(folder):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen([sys.executable, "-c", CALL], env=environment, stdout=subprocess.PIPE, text=True)


def compiled(processes):
    return sorted(int(process.communicate(timeout=240)[0]) for process in processes)


def test_one_process_compiles_and_the_others_load(tmp_path):
    assert compiled([start(tmp_path) for _ in range(3)]) == [0, 0, 1]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder can be made here")
    assert compiled([start(tmp_path / "file")]) == [1]
