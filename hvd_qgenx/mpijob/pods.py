"""Rules for the containers of a pod: amounts of resources, and mounts of volumes."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from compressors.naming import shown
from hvd_qgenx.mpijob import quantity
from hvd_qgenx.mpijob.document import Document, Place
from hvd_qgenx.mpijob.finding import Finding


def resource_findings(containers: Iterable[Place]) -> Iterator[Finding]:
    """Yields amounts that are none, and requests that Kubernetes refuses."""
    for path, container in containers:
        amounts: dict[str, dict[str, Fraction]] = {}
        for which in ("requests", "limits"):
            amounts[which] = {}
            for name, value in (Document(container).at(f"resources.{which}", dict) or {}).items():
                try:
                    amounts[which][name] = quantity.parse(value)
                except ValueError as error:
                    yield Finding(f"{path}.resources.{which}.{name}", str(error))
        for name, requested in amounts["requests"].items():
            if name in amounts["limits"] and requested > amounts["limits"][name]:
                yield Finding(f"{path}.resources.requests.{name}", "asks for more than the limit")
            if "/" in str(name) and requested != amounts["limits"].get(name):
                yield Finding(f"{path}.resources.requests.{name}", "must be the same as the limit, for devices")


def volume_findings(containers: Iterable[Place], volumes: Iterable[Place], who: str) -> Iterator[Finding]:
    """Yields mounts without a volume in their pod.

    Args:
        containers: those of a pod.
        volumes: those of the same pod.
        who: the name of the pod's role.
    """
    names = [volume.get("name") for _, volume in volumes]
    for path, container in containers:
        for place, mount in Document(container).listed("volumeMounts"):
            if mount.get("name") not in names:
                yield Finding(f"{path}.{place}.name", f"{who} has no volume {shown(mount.get('name'))}")
