"""The built image: who runs in it, what it does not hold, and jobs in it. `make image-test` builds it first."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE = os.environ.get("HVD_QGENX_IMAGE", "")
PRIVATE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
ALONE = ("env", "OMP_NUM_THREADS=1", "HVD_QGENX_THREADS=1")  # ranks share the cores of one machine

pytestmark = [
    pytest.mark.skipif(not IMAGE, reason="HVD_QGENX_IMAGE names no image; see make image-test"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run containers in network namespaces"),
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
]


def run(*command: str) -> str:
    """What a command prints, both streams; it must succeed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=540
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def new_container() -> Iterator[str]:
    """A container's name, while it is there."""
    name = subprocess.run(["buildah", "from", IMAGE], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    yield name
    run("buildah", "rm", name)


container = pytest.fixture(new_container, scope="module", name="container")
another = pytest.fixture(new_container, scope="module", name="another")


@pytest.fixture(scope="module")
def root(container: str) -> Path:
    """The container's root folder."""
    return Path(run("buildah", "mount", container).strip())


def inside(container: str, *command: str) -> str:
    return run("buildah", "run", container, "--", *command)


def test_jobs_run_as_mpiuser_who_cannot_change_what_is_installed(container: str) -> None:
    assert inside(container, "id").startswith("uid=1000(mpiuser) gid=1000(mpiuser)")
    assert inside(container, "pwd").strip() == "/home/mpiuser"
    folders = ["/opt/venv", "/opt/venv/bin", "/etc/ssh", "/etc/openmpi", "/home/mpiuser", "/data"]
    writable = [
        folder for folder in folders if "yes" in inside(container, "sh", "-c", f"test -w {folder} && echo yes; :")
    ]
    assert writable == ["/home/mpiuser", "/data"]


def test_no_key_and_no_password_is_in_the_image(root: Path) -> None:
    keys = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and holds_private_key(path)]
    assert keys == []
    assert list((root / "home/mpiuser/.ssh").iterdir()) == []
    assert list((root / "etc/ssh").glob("ssh_host_*")) == []
    passwords = {line.split(":")[1] for line in (root / "etc/shadow").read_text().splitlines()}
    assert passwords <= {"*", "!", "!*"}


def holds_private_key(path: Path) -> bool:
    """Whether a file is a private key: a line of it is the first of one."""
    if path.stat().st_size > 1 << 16:
        return False
    return any(line.startswith(b"-----BEGIN") and b"PRIVATE KEY" in line for line in path.read_bytes().splitlines())


def test_ranks_get_time_to_write_a_checkpoint(container: str) -> None:
    shown = inside(container, "ompi_info", "--param", "odls", "all", "--level", "9")
    assert 'parameter "odls_base_sigkill_timeout" (current value: "3"' in shown


def test_labels_say_what_the_image_is_made_of() -> None:
    labels = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))["OCIv1"]["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "hvd-qgenx"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.revision"] not in ("", "unknown")
    assert labels["org.opencontainers.image.base.name"]


def test_three_ranks_train(container: str) -> None:
    train = ("hvd-qgenx", "gan", "--expect-ranks", "3", "--updates", "30", "--device", "cpu", "--out", "runs/local")
    inside(container, *ALONE, "horovodrun", "-np", "3", "-H", "localhost:3", *train)
    summary = json.loads(inside(container, "cat", "runs/local/summary.json"))
    assert (summary["ranks"], summary["updates"]) == (3, 30)


def test_two_hosts_train(container: str, another: str) -> None:
    script = Path(__file__).with_name("two_hosts.sh")
    launch = (*ALONE, "OMPI_MCA_mpi_yield_when_idle=1", "horovodrun", "--disable-cache", "-np", "2", "-H", "x:1,y:1")
    train = ("hvd-qgenx", "gan", "--expect-ranks", "2", "--updates", "30", "--device", "cpu", "--out", "runs/hosts")
    run(*PRIVATE, str(script), container, another, *launch, "sh", "-c", 'hostname > name && exec "$@"', "sh", *train)
    assert [inside(name, "cat", "name").strip() for name in (container, another)] == ["x", "y"]
    summary = json.loads(inside(container, "cat", "runs/hosts/summary.json"))
    assert (summary["ranks"], summary["updates"]) == (2, 30)
