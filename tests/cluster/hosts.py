"""Three hosts on one machine, joined by links of a chosen rate.

::

      host a         host b         host c         each: a network namespace, a host name, an sshd
    +---------+    +---------+    +---------+
    |  eth0   |    |  eth0   |    |  eth0   |
    +----|----+    +----|----+    +----|----+
         |              |              |           each: a veth pair, limited by tbf at both ends
    +----|--------------|--------------|----+
    |    a              b              c    |
    |                 bridge                |      a namespace of its own
    +---------------------------------------+

No interface, route or address is added outside these four namespaces. The hosts find each other
through ``/etc/netns/NAME/hosts``, which ``ip netns exec`` binds over ``/etc/hosts``. Keys and
configuration of ssh last as long as a temporary folder; ``~/.ssh`` is neither read nor written.

The first line of ``/etc/netns/NAME/hosts`` names the process that raised the hosts. What a killed
process left behind is known by it and removed; what others made is left alone.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvd_qgenx.cli.bench import Rate
from tests.launch import command_lines, heed_interrupts, runs_command, until

NAMES = ("a", "b", "c")
SWITCH = "hvd-qgenx-switch"
FOLDERS = Path("/etc/netns")
NAMESPACES = Path("/run/netns")
SSHD = "/usr/sbin/sshd"

_BIN = Path(sys.executable).parent
_MARK = "# three-host test of hvd-qgenx, process"
_LEAST_BURST = 128 << 10
_LATE_SECONDS = 0.4e-3
"""Time by which a timer of the kernel may wake a link too late for it to reach its rate all the same."""

_PROBE = """
ip link add eth0 type veth peer name port
ip link add bridge type bridge
tc qdisc add dev eth0 root tbf burst 128kb latency 50ms rate 1gbit
"""

# A fresh /run holds the folder that sshd wants, and hides the sockets of name services, which know other hosts.
_ENTER = """
hostname "$0"
mount -t tmpfs tmpfs /run
mkdir /run/sshd
exec "$@"
"""

_SSHD_CONFIG = """
ListenAddress 0.0.0.0
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
UseDNS no
PidFile none
SetEnv "PATH={path}" "TMPDIR={temporary}"
"""

_SSH_CONFIG = """
IdentityFile {folder}/user_key
IdentitiesOnly yes
UserKnownHostsFile /dev/null
StrictHostKeyChecking no
ServerAliveInterval 5
ServerAliveCountMax 3
LogLevel ERROR
"""


class HostsError(RuntimeError):
    """The hosts cannot be raised; the message is a sentence."""


@dataclass(frozen=True)
class Host:
    """One of the three."""

    name: str

    def bytes_sent(self) -> int:
        """Bytes that have left through eth0; a segment cut up later on its way counts its headers once."""
        link = json.loads(_run("ip", "-netns", self.name, "-statistics", "-json", "link", "show", "eth0"))
        return int(link[0]["stats64"]["tx"]["bytes"])

    def processes(self) -> set[int]:
        """Numbers of all processes on this host."""
        return set(_processes(self.name))

    def set_link(self, state: str) -> None:
        """Takes the host's link ``up`` or ``down``."""
        _run("ip", "-netns", self.name, "link", "set", "dev", "eth0", state)

    def ranks(self) -> list[int]:
        """Process numbers of ``hvd-qgenx`` on this host."""
        here = self.processes()
        return [pid for pid, words in command_lines() if pid in here and runs_command(words)]


@dataclass(frozen=True)
class Hosts:
    """The three, and a way to start commands on the first."""

    a: Host
    b: Host
    c: Host
    environment: dict[str, str]

    def __iter__(self) -> Iterator[Host]:
        return iter((self.a, self.b, self.c))

    def start(self, *command: str, **settings: Any) -> "subprocess.Popen[bytes]":
        """Starts a command on host a; settings as for ``Popen``."""
        return _start("a", *command, env=self.environment, **settings)

    def horovodrun(self, *command: str, log: Path, count: int = 3) -> "subprocess.Popen[bytes]":
        """Starts a command on the first hosts from host a, one rank each; what they print goes to ``log``."""
        places = ",".join(f"{name}:1" for name in NAMES[:count])
        launcher = ("horovodrun", "-np", str(count), "-H", places, "--disable-cache")
        with log.open("wb") as output:
            return self.start(*launcher, *command, stdout=output, stderr=subprocess.STDOUT)

    def measured_rate(self, megabytes: int) -> float:
        """Returns the bits a second that a plain TCP transfer from host a to host b reaches."""
        stream = (sys.executable, "-m", "tests.cluster.stream")
        receiver = _start("b", *stream, "receive", env=self.environment, stdout=subprocess.PIPE, text=True)
        assert receiver.stdout is not None
        receiver.stdout.readline()
        self.start(*stream, "send", "b", str(megabytes)).wait()
        return float(receiver.communicate()[0])

    def torchrun(self, *command: str, log: Path) -> "list[subprocess.Popen[bytes]]":
        """Starts torchrun on all three, with one rank each; what all print goes to ``log``."""
        meeting = ("--nnodes", "3", "--rdzv-backend", "c10d", "--rdzv-endpoint", "a:29500")
        launcher = ("torchrun", *meeting, "--nproc-per-node", "1", "--no-python")
        with log.open("ab") as output:
            settings = {"env": self.environment, "stdout": output, "stderr": subprocess.STDOUT}
            return [_start(name, *launcher, *command, **settings) for name in NAMES]


@contextmanager
def three_hosts(rate: str, folder: Path) -> Iterator[Hosts]:
    """Raises the hosts, and takes them down with all that runs on them.

    Args:
        rate: of every link in both directions, as ``tc`` understands it, such as ``1gbit``.
        folder: for keys and logs; may be used again.

    Raises:
        HostsError: they cannot be raised, or a namespace or folder of their name belongs to someone else.
    """
    _remove_leftovers()
    with ExitStack() as cleanup:
        for number, name in enumerate((SWITCH, *NAMES)):
            _claim(name)
            cleanup.callback(_remove, name)
            _run("ip", "netns", "add", name)
            if name == SWITCH:
                _run("ip", "-netns", SWITCH, "link", "add", "bridge", "up", "type", "bridge")
            else:
                _connect(name, number, rate)
        environment = _environment(folder)
        _prepare_ssh(folder, environment)
        for name in NAMES:
            cleanup.enter_context(_sshd(name, folder, environment))
        yield Hosts(Host("a"), Host("b"), Host("c"), environment)


def command(main: Callable[..., int], usage: str | None) -> None:
    """Ends this program with what ``main`` returns for the words of its command line, or with how to use it."""
    if len(sys.argv) < 3:
        sys.exit((usage or "").strip())
    heed_interrupts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the hosts down on its way
    try:
        sys.exit(main(*sys.argv[1:]))
    except HostsError as error:
        sys.exit(f"Error: {error}")


def missing() -> str | None:
    """Why hosts cannot be raised here, in one sentence; None if they can."""
    if os.geteuid() != 0:
        return "only root can raise hosts in network namespaces."
    tools = ("ip", "tc", "unshare", "mount", "hostname", "ssh", "ssh-keygen", SSHD)
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        return f"hosts need {', '.join(absent)}, which cannot be found."
    probe = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "sh", "-ec", _PROBE], capture_output=True, text=True
    )
    if probe.returncode != 0:
        return f"the kernel does not let this process raise hosts: {probe.stderr.strip()}."
    return None


def _address(number: int) -> str:
    return f"10.77.0.{number}"


def _connect(name: str, number: int, rate: str) -> None:
    """Joins a host to the bridge."""
    _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", name, "netns", SWITCH)
    _run("ip", "-netns", SWITCH, "link", "set", "dev", name, "master", "bridge", "up")
    _run("ip", "-netns", name, "address", "add", f"{_address(number)}/24", "dev", "eth0")
    _run("ip", "-netns", name, "link", "set", "dev", "lo", "up")
    _run("ip", "-netns", name, "link", "set", "dev", "eth0", "up")
    for namespace, interface in ((name, "eth0"), (SWITCH, name)):
        _run("tc", "-netns", namespace, "qdisc", "add", "dev", interface, "root", *_shape(rate))


def _shape(rate: str) -> tuple[str, ...]:
    """The limit of a link; its burst is what may be sent at once after a pause."""
    burst = max(_LEAST_BURST, round(Rate().convert(rate, None, None) * _LATE_SECONDS))
    return ("tbf", "burst", str(burst), "latency", "50ms", "rate", rate)


def _environment(folder: Path) -> dict[str, str]:
    """This process's environment, with the folder's ssh, this Python's commands, and one thread for each rank."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "PATH": f"{folder}:{_BIN}:{os.environ['PATH']}",
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
        "HVD_QGENX_THREADS": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",  # every host sees one rank, but all share the cores of one machine
    }


def _prepare_ssh(folder: Path, environment: dict[str, str]) -> None:
    """Writes keys, configuration, and an ``ssh`` that uses them."""
    for key in ("host_key", "user_key"):
        if not (folder / key).exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
    config = _SSHD_CONFIG.format(folder=folder, path=environment["PATH"], temporary=environment["TMPDIR"])
    (folder / "sshd_config").write_text(config)
    (folder / "ssh_config").write_text(_SSH_CONFIG.format(folder=folder))
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(folder / "ssh_config"))} "$@"\n')
    wrapper.chmod(0o755)


@contextmanager
def _sshd(name: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """An ssh server that has begun to listen on a host."""
    log = folder / f"sshd-{name}.log"
    with log.open("wb") as output:
        command = (SSHD, "-D", "-e", "-f", str(folder / "sshd_config"))
        server = _start(name, *command, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: "listening" in log.read_text() or server.poll() is not None, 10, f"starting sshd on host {name}")
        if server.poll() is not None:
            raise HostsError(f"sshd did not start on host {name}: {log.read_text().strip()}")
        yield
    finally:
        server.kill()
        server.wait()


def _start(name: str, *command: str, **settings: Any) -> "subprocess.Popen[Any]":
    """Starts a command on a host, out of reach of Ctrl-C: ``three_hosts`` ends it in good order."""
    enter = ("ip", "netns", "exec", name, "unshare", "--uts", "sh", "-ec", _ENTER, name)
    return subprocess.Popen([*enter, *command], start_new_session=True, stdin=subprocess.DEVNULL, **settings)


def _claim(name: str) -> None:
    """Takes a name for this process."""
    lines = [f"{_MARK} {os.getpid()} {_start_time(os.getpid())}", "127.0.0.1 localhost"]
    lines += [f"{_address(number)} {host}" for number, host in enumerate(NAMES, start=1)]
    try:
        (FOLDERS / name).mkdir(parents=True)
    except FileExistsError as error:
        raise HostsError(f"{FOLDERS / name} has just been made by another process") from error
    (FOLDERS / name / "hosts").write_text("\n".join(lines) + "\n")


def _remove(name: str) -> None:
    """Takes down one namespace of ours; its mark goes last."""
    if (NAMESPACES / name).exists():
        until(lambda: not _kill_all(name), 30, f"killing what runs on host {name}")
        _run("ip", "netns", "delete", name)
    shutil.rmtree(FOLDERS / name)
    with suppress(OSError):  # others may have folders there
        FOLDERS.rmdir()


def _remove_leftovers() -> None:
    """Removes what a killed process left.

    Raises:
        HostsError: something is not ours, or its process lives; nothing has been removed then.
    """
    found = [name for name in (*NAMES, SWITCH) if (FOLDERS / name).exists() or (NAMESPACES / name).exists()]
    for name in found:
        owner = _owner(name)
        if owner is None:
            raise HostsError(f"there is a network namespace {name} or a folder {FOLDERS / name}, made by someone else")
        if _start_time(owner[0]) == owner[1]:
            raise HostsError(f"process {owner[0]} has raised hosts of the same names")
    for name in found:
        _remove(name)


def _owner(name: str) -> tuple[int, int] | None:
    """Number and start time of the process that claimed a name; None if it is not ours."""
    with suppress(OSError):
        first = (FOLDERS / name / "hosts").read_text().partition("\n")[0]
        if first.startswith(_MARK):
            pid, start_time = first.removeprefix(_MARK).split()
            return int(pid), int(start_time)
    return None


def _start_time(pid: int) -> int | None:
    """When a process began, in clock ticks; None if there is no such process."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        return int(after_name.split()[19])
    return None


def _processes(name: str) -> list[int]:
    return [int(pid) for pid in _run("ip", "netns", "pids", name).split()]


def _kill_all(name: str) -> list[int]:
    """Kills all processes in a namespace and returns their numbers."""
    pids = _processes(name)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise HostsError(f"`{shlex.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
