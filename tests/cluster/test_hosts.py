"""Training over links that are as slow as a network's.

Every rank runs on a host of its own, see ``hosts``. What the command reports to have sent is held
against what the hosts' interfaces have counted. Starting and ending (ssh, MPI, configuration)
cost about the same however long a run is, so the difference of two runs is free of them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import FOLDERS, NAMES, NAMESPACES, SWITCH, Hosts, HostsError, missing, three_hosts
from tests.launch import command_lines, until

pytestmark = pytest.mark.horovod

RATE = os.environ.get("HVD_QGENX_RATE", "1gbit")
SHORT, LONG = 3, 23
TRAIN = (
    *("hvd-qgenx", "gan", "--expect-ranks", "3", "--dataset", "digits", "--device", "cpu"),
    # Few images and a wide network: much to send, little to compute.
    *("--batch-size", "3", "--filters", "128", "--sample-every", "100000", "--checkpoint-every", "100000"),
)
COLUMNS = ("compressor", "rate", "host", "reported MB/update", "eth0 MB/update", "ratio", "s/update")


@dataclass(frozen=True)
class Trained:
    """One run, and the bytes that left every host meanwhile."""

    summary: dict[str, Any]
    sent: dict[str, int]


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with three_hosts(RATE, tmp_path / "hosts") as up:
        yield up


@pytest.fixture(scope="module")
def table() -> Iterator[list[tuple[str, ...]]]:
    """Rows to be printed after the last test."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    yield rows
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("\n")
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def train(hosts: Hosts, folder: Path, updates: int, *options: str) -> Trained:
    """Runs the command on all three hosts."""
    before = {host.name: host.bytes_sent() for host in hosts}
    out, log = folder / f"{updates}-updates", folder / f"{updates}-updates.log"
    command = (*TRAIN, "--log-every", "100000", "--updates", str(updates), "--out", str(out), *options)
    code = hosts.horovodrun(*command, log=log).wait(timeout=300)
    assert code == 0, log.read_text()
    sent = {host.name: host.bytes_sent() - before[host.name] for host in hosts}
    return Trained(json.loads((out / "summary.json").read_text()), sent)


CODED = ("alq", "--bits", "3", "--coding", "huffman", "--levels-at", "0")


@pytest.mark.parametrize("options", [("none",), ("minmax", "--bits", "4"), CODED], ids=" ".join)
def test_interfaces_count_what_is_reported(
    hosts: Hosts, tmp_path: Path, options: tuple[str, ...], table: list[tuple[str, ...]]
) -> None:
    short, long = (train(hosts, tmp_path, updates, "--compressor", *options) for updates in (SHORT, LONG))
    updates = LONG - SHORT
    reported = (long.summary["bytes_sent"] - short.summary["bytes_sent"]) / updates
    seconds = (long.summary["seconds"]["total"] - short.summary["seconds"]["total"]) / updates
    ratios = {}
    for name in NAMES:
        counted = (long.sent[name] - short.sent[name]) / updates
        ratios[name] = counted / reported
        numbers = (f"{reported / 1e6:.3f}", f"{counted / 1e6:.3f}", f"{ratios[name]:.3f}", f"{seconds:.3f}")
        table.append((" ".join(options), RATE, name, *numbers))
    assert long.summary["ranks"] == 3
    varies = 0.1 if options is CODED else 0
    assert reported == pytest.approx(long.summary["bytes_per_update"], rel=varies, abs=0)
    assert ratios == dict.fromkeys(NAMES, pytest.approx(1, abs=0.1))


def test_every_rank_has_a_host_of_its_own(hosts: Hosts, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert hosts.horovodrun("hostname", log=log).wait(timeout=60) == 0
    assert {f"[1,{rank}]<stdout>:{name}" for rank, name in enumerate(NAMES)} <= set(log.read_text().split())


def test_nothing_is_left_behind_after_a_failure(tmp_path: Path) -> None:
    before = surroundings(tmp_path)

    def fail() -> None:
        with three_hosts(RATE, tmp_path / "hosts") as hosts:
            assert surroundings(tmp_path) != before
            hosts.horovodrun("sh", "-c", f"touch {tmp_path}/$(hostname); sleep 600", log=tmp_path / "log")
            until(lambda: all((tmp_path / name).exists() for name in NAMES), 60, "starting a command on every host")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert surroundings(tmp_path) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_process_leaves_nothing_that_lasts(tmp_path: Path, how: signal.Signals) -> None:
    before = surroundings(tmp_path)
    program = (
        "import os, pathlib; from tests.cluster.hosts import three_hosts\n"
        f"with three_hosts('{RATE}', pathlib.Path('{tmp_path}/first')): os.kill(os.getpid(), {how.value})"
    )
    project = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, timeout=60)
    assert done.returncode == -how
    assert (surroundings(tmp_path) != before) == (how == signal.SIGKILL)
    with three_hosts(RATE, tmp_path / "second"):
        pass
    assert surroundings(tmp_path) == before


def test_hosts_of_others_are_left_alone(tmp_path: Path) -> None:
    with three_hosts(RATE, tmp_path):
        owned = [(FOLDERS / name).stat() for name in NAMES]
        with pytest.raises(HostsError, match=f"process {os.getpid()} has raised"), three_hosts(RATE, tmp_path):
            pass
        assert [(FOLDERS / name).stat() for name in NAMES] == owned
    subprocess.run(["ip", "netns", "add", "b"], check=True)
    try:
        with pytest.raises(HostsError, match=r"network namespace b .* made by someone else"):
            three_hosts(RATE, tmp_path).__enter__()
        assert (NAMESPACES / "b").exists()
        assert not (FOLDERS / "a").exists()
    finally:
        subprocess.run(["ip", "netns", "delete", "b"], check=True)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = shutil.which
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "tc" else find(tool))
    assert missing() == "hosts need tc, which cannot be found."
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing() == "only root can raise hosts in network namespaces."


def surroundings(folder: Path) -> dict[str, Any]:
    """What the hosts must not change: namespaces, interfaces, routes, files of name service and ssh, processes."""

    def shown(*what: str) -> str:
        return subprocess.run(["ip", "-oneline", *what], capture_output=True, text=True, check=True).stdout

    private = Path("~/.ssh").expanduser()
    return {
        "namespaces": [name for name in (*NAMES, SWITCH) if (NAMESPACES / name).exists()],
        "interfaces": shown("address", "show"),
        "routes": shown("route", "show"),
        "folders": sorted(FOLDERS.rglob("*")) if FOLDERS.exists() else None,
        "hosts": Path("/etc/hosts").read_bytes(),
        "ssh": {path: path.stat().st_mtime for path in private.rglob("*")} if private.exists() else None,
        "scratch": [*Path("/tmp").glob("ompi.[abc].*"), *Path("/dev/shm").glob("*.[abc].*")],
        "processes": [pid for pid, words in command_lines() if any(str(folder) in word for word in words)],
    }
