"""How much of its host's processors a container may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def host_cores() -> int:
    """Returns the number of cores that all processes of this host, or of this container on it, may keep busy."""
    return max(1, int(min(os.cpu_count() or 1, cpu_quota())))


def process_cores() -> int:
    """Returns the number of cores that this process may keep busy: those of its host that it is not kept from."""
    cores = host_cores()
    return min(cores, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else cores


def cpu_quota(groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> float:
    """Returns how many cores' time the control groups of this process allow; infinity if they set no limit.

    Kubernetes and Docker limit a container so. Inside, it sees all cores of its host, and threads for each of them
    would be stopped again and again, once the quota of a period is spent.

    Args:
        groups: names the process's groups, see cgroups(7).
        mounted: where control groups are mounted, of version 1 or 2.
    """
    return min(map(_cores, _folders(groups, mounted)), default=math.inf)


def _folders(groups: Path, mounted: Path) -> Iterator[Path]:
    """Yields the folders of the groups that limit processors, and of all above them, which limit them too.

    A container may see its group by the name that it has on the host, but mounted as the root.
    """
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, name = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            path = PurePosixPath(name)
            for each in (path, *path.parents):
                yield mounted / ("cpu" if controllers else "") / each.relative_to("/")


def _cores(folder: Path) -> float:
    """Returns the limit of one group."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if quota.strip() not in ("max", "-1") else math.inf
    except (OSError, ValueError):  # no such group, or none that limits processors
        return math.inf
