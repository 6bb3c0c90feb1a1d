"""No payload, whatever it holds, leads out of its memory or that of the vector, or to other numbers by other kernels.

``HVD_QGENX_FUZZ`` multiplies the number of payloads; from 10 on the kernels are compiled anew with checks of bounds
too, which takes some minutes.
"""

import os
import signal
import subprocess
import sys

import pytest

TIMES = float(os.environ.get("HVD_QGENX_FUZZ", "1"))


def fuzz(kernels: str, trials: float, every: int, **environment: str) -> None:
    """Runs the fuzzer in a process of its own, which an access out of bounds ends."""
    arguments = [kernels, str(max(1, round(trials))), str(every)]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.compressors.fuzz", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    refused, decoded = (int(part.split()[0]) for part in done.stdout.split(", "))
    assert min(refused, decoded) > 30


def test_kernels_of_the_processor():
    fuzz("cpu", 4 * TIMES, 1)


def test_kernels_of_the_gpu():
    pytest.importorskip("triton")
    fuzz("gpu", TIMES, 12)


@pytest.mark.skipif(TIMES < 10, reason="compiles all kernels: HVD_QGENX_FUZZ is below 10")
def test_kernels_with_checks_of_bounds(tmp_path):
    fuzz("cpu", TIMES, 1, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize("access", ["fence.bytes[0].data_ptr() - 1", "fence.bytes[-1].data_ptr() + 1"])
def test_a_fence_ends_who_reads_behind_it(access):
    program = (
        f"import ctypes; from tests.compressors.fuzz import Fence; fence = Fence(9); ctypes.string_at({access}, 1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGSEGV
