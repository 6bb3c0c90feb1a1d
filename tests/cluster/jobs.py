"""``hvd-qgenx gan`` on three hosts, to be hurt."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.cluster.hosts import Host, Hosts
from tests.launch import command_lines, until

ON_ALL = ("horovodrun", "-np", "3", "-H", "a:1,b:1,c:1", "--disable-cache")
ON_ONE = ("horovodrun", "-np", "3", "-H", "a:3", "--disable-cache")


class Job:
    """One life of a run, from its launcher's start to its end.

    Args:
        hosts: where it runs.
        run: its folder. A run that has a checkpoint goes on, another begins.
        log: gets what is printed.
        words: ``gan`` and its options, but for the folder.
        program: what takes these words.
        launcher: what starts the program.
    """

    def __init__(
        self,
        hosts: Hosts,
        run: Path,
        log: Path,
        *words: str,
        program: tuple[str, ...] = ("hvd-qgenx",),
        launcher: tuple[str, ...] = ON_ALL,
    ) -> None:
        self.hosts, self.run, self.log = hosts, run, log
        goes_on = (run / "checkpoint.pt").exists()
        if not goes_on:
            shutil.rmtree(run, ignore_errors=True)
        self._before = self._processes()
        where = ("--resume" if goes_on else "--out", str(run))
        with log.open("wb") as output:
            self.launcher = hosts.start(*launcher, *program, *words, *where, stdout=output, stderr=subprocess.STDOUT)

    def updates(self) -> int:
        """Updates that the run's table tells of."""
        with suppress(OSError, IndexError, ValueError):
            return int((self.run / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
        return 0

    def rank(self, host: Host) -> int | None:
        """The process that is the rank on a host; None if there is none."""
        return next(iter(host.ranks()), None)

    def until_update(self, update: int, seconds: float = 300) -> None:
        """Waits until the run has done so many updates; raises as ``reach`` does."""
        self.reach(lambda: self.updates() >= update, seconds, f"{update} updates")

    def reach(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits for something to come true while the job runs.

        Raises:
            RuntimeError: it ended before.
        """
        until(lambda: condition() or self.launcher.poll() is not None, seconds, what)
        if not condition():
            raise RuntimeError(f"the job ended before {what}: {self.text()}")

    def send(self, number: signal.Signals, host: Host) -> None:
        """Sends a signal to the rank on a host, if there is one."""
        if pid := self.rank(host):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self, seconds: float) -> int | None:
        """Waits for the launcher's end; returns its exit code as a shell would, or None if it had to be killed."""
        try:
            code = self.launcher.wait(seconds)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait()
            return None
        return code if code >= 0 else 128 - code

    def clear(self, seconds: float) -> list[str]:
        """Waits for the end of all processes of the job, then kills them; returns the command lines of those killed."""
        deadline = time.monotonic() + seconds
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return list(left.values())

    def text(self) -> str:
        """All that was printed so far."""
        return self.log.read_text(errors="replace").replace("\r", "\n")

    def _left(self) -> dict[int, str]:
        """Processes of the job on the hosts, and their command lines.

        Of new ones all but sshd's, which are the host's own, and end when TCP gives up their connection.
        """
        new = self._processes() - self._before
        lines = {pid: " ".join(words)[:120] for pid, words in command_lines() if pid in new}
        return {pid: line for pid, line in lines.items() if not line.startswith("sshd: ")}

    def _processes(self) -> set[int]:
        return {pid for host in self.hosts for pid in host.processes()}
