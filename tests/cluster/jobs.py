"""``hvd-qgenx gan`` on three hosts, to be hurt."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from tests.cluster.hosts import Host, Hosts
from tests.launch import command_lines, until


class Job:
    """One life of a run, from its launcher's start to its end.

    Args:
        hosts: where it runs, one rank on each.
        run: its folder.
        log: gets what it prints.
        options: of ``hvd-qgenx gan``, but for the folder: the run goes on, or begins if it has no checkpoint yet.
    """

    def __init__(self, hosts: Hosts, run: Path, log: Path, *options: str) -> None:
        self.hosts, self.run, self.log = hosts, run, log
        goes_on = (run / "checkpoint.pt").exists()
        if not goes_on:
            shutil.rmtree(run, ignore_errors=True)
        where = ("--resume" if goes_on else "--out", str(run))
        self._before = self._processes()
        self.launcher = hosts.horovodrun("hvd-qgenx", "gan", *where, *options, log=log)

    def updates(self) -> int:
        """Updates that the run's table tells of."""
        with suppress(OSError, IndexError, ValueError):
            return int((self.run / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
        return 0

    def rank(self, host: Host) -> int | None:
        """The process that is the rank on a host; None if there is none."""
        return next(iter(host.ranks()), None)

    def until_update(self, update: int, seconds: float = 240) -> None:
        """Waits until the run has done so many updates.

        Raises:
            RuntimeError: it ended before.
        """
        until(lambda: self.updates() >= update or self.launcher.poll() is not None, seconds, f"{update} updates")
        if self.launcher.poll() is not None:
            raise RuntimeError(f"the job ended: {self.text()}")

    def send(self, number: signal.Signals, host: Host) -> None:
        """Sends a signal to the rank on a host, if there is one."""
        if pid := self.rank(host):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, seconds: float) -> int:
        """Waits for the launcher's end and returns its exit code, as a shell would."""
        code = self.launcher.wait(timeout=seconds)
        return code if code >= 0 else 128 - code

    def left(self) -> dict[int, str]:
        """Processes on the hosts that were not there before the job, and their command lines."""
        new = self._processes() - self._before
        return {pid: " ".join(words)[:120] for pid, words in command_lines() if pid in new}

    def text(self) -> str:
        """All that was printed so far."""
        return self.log.read_text(errors="replace")

    def _processes(self) -> set[int]:
        return {pid for host in self.hosts for pid in host.processes()}
