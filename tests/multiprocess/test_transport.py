"""The Horovod transports' collectives, under the real horovodrun; in-process ranks say what is right."""

import json
import sys
from pathlib import Path

import pytest

from hvd_qgenx.transport import inprocess
from tests import launch
from tests.multiprocess.collectives import work

PROGRAM = str(Path(__file__).with_name("collectives.py"))

pytestmark = pytest.mark.horovod

KIND = """
import logging
from hvd_qgenx.transport import launched
logging.basicConfig()
transport = launched()
print(f"{type(transport.ordered('first')).__name__} {transport.local()} {transport.all_gather_object(1, 'ones')}")
"""
SHARED_NAME = """
import socket
from hvd_qgenx.transport import launched, launcher_rank
socket.gethostname = lambda: str(launcher_rank() // 2)
transport = launched()
print(f"{type(transport.ordered('first')).__name__} {transport.hosts()} {transport.local()}")
"""
ABSENT = """
import logging, threading, torch
from hvd_qgenx.transport import launched
logging.basicConfig()
transport = launched()
ordered = transport.ordered("first")
if transport.rank == 1:
    threading.Event().wait()
print("rank 0 waits", flush=True)
ordered.all_gather(torch.zeros(5), [5, 5], "gradients").wait()
"""
PATIENT = """
import threading
from hvd_qgenx.transport import launched
from hvd_qgenx.transport.agreement import with_keep_alive
transport = launched()
with_keep_alive(transport, "download", lambda: threading.Event().wait(5 * transport.rank))
transport.all_gather_object(None, "next")
print("both are here", flush=True)
"""
LIMITS = {"HOROVOD_STALL_CHECK_TIME_SECONDS": "1", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "2"}


def test_all_collectives_on_all_transports_agree_with_threads(tmp_path):
    file = tmp_path / "horovod.json"
    command = launch.horovodrun(4, sys.executable, PROGRAM, str(file))
    done = launch.run(command, HOROVOD_DYNAMIC_PROCESS_SETS="1")
    assert done.returncode == 0, done.stderr
    expected = json.loads(json.dumps(inprocess.run(4, work, hosts=2)))
    assert json.loads(file.read_text()) == expected
    assert len(expected) == 4
    assert all(len(found) == 7 for found in expected)


def test_ordered_collectives_go_over_mpi():
    done = launch.run(launch.horovodrun(2, sys.executable, "-c", KIND))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Ordered None [1, 1]") == 2


def test_without_mpi_they_stay_with_horovod_and_one_rank_says_so():
    done = launch.run(launch.horovodrun(2, "--gloo", "--network-interface", "lo", sys.executable, "-c", KIND))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Horovod None [1, 1]") == 2
    assert done.stderr.count("Horovod does not run on MPI") == 1


def test_without_process_sets_there_are_no_levels():
    done = launch.run(launch.horovodrun(4, sys.executable, "-c", SHARED_NAME), HOROVOD_DYNAMIC_PROCESS_SETS="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Ordered [[0, 1], [2, 3]] None") == 4


def test_a_rank_that_never_joins_ends_the_job_in_bounded_time():
    done = launch.run(launch.horovodrun(2, sys.executable, "-c", ABSENT), **LIMITS)
    assert done.returncode != 0
    assert "rank 0 waits" in done.stdout
    said = launch.untagged(done.stderr)
    assert "gradients: waited 1 s for ranks 1" in said
    assert "HorovodInternalError: gradients: waited 2 s for ranks 1" in said


def test_a_rank_that_works_for_longer_than_that_is_waited_for():
    done = launch.run(launch.horovodrun(2, sys.executable, "-c", PATIENT), **LIMITS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("both are here") == 2
