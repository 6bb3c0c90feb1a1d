"""Checks before work starts: the expected ranks are there, with the same packages."""

from hvd_qgenx.transport.agreement import DisagreementError, Row, differences, items, wrong_size
from hvd_qgenx.transport.base import Transport
from hvd_qgenx.transport.launcher import launcher_size

LAUNCHED, RANKS, HOSTS = "launched ranks", "ranks", "hosts"


def check_start(transport: Transport, ranks: int | None = None, hosts: int | None = None) -> None:
    """Requires as many ranks as expected, on as many hosts, with the same versions. One collective.

    A launcher numbers its processes without asking the transport. If the transport was built for another launcher,
    every process is a group of its own, and each would do all the work alone.

    Args:
        transport: to be checked again when another takes its place.
        ranks: how many there are to be; None accepts any.
        hosts: likewise.

    Raises:
        DisagreementError: on all ranks, with a row for every value that does not fit.
    """
    mine = {LAUNCHED: launcher_size(), RANKS: ranks, HOSTS: hosts}
    versions = transport.versions() if transport.size > 1 else {}
    everyone = transport.all_gather_object((transport.host(), mine, versions), "start")
    names = [name for name, _, _ in everyone]
    found = {LAUNCHED: transport.size, RANKS: transport.size, HOSTS: len(set(names))}
    rows: list[Row] = []
    sentences = []
    for item, number in found.items():
        wanted = {rank: wants[item] for rank, (_, wants, _) in enumerate(everyone)}
        wrong = [number_ for number_ in dict.fromkeys(wanted.values()) if number_ not in (None, number)]
        for other in wrong:
            rows.append((item, f"{other} expected", [rank for rank in wanted if wanted[rank] == other]))
        if wrong:
            rows.append((item, f"{number} found", list(wanted)))
            sentences.append(_sentence(item, wrong[0], number))
    if unlike := differences([theirs for _, _, theirs in everyone]):
        rows += unlike
        sentences.append(f"ranks have different versions of {items(unlike)}; install the same on every host")
    if rows:
        raise DisagreementError(sentences[0], rows, names)


def _sentence(item: str, wanted: int, found: int) -> str:
    if item == LAUNCHED:
        return (
            f"the launcher started {wanted} ranks but Horovod sees {found}: each would do all the work alone; "
            "start with horovodrun, and with the MPI that Horovod was built with (see `hvd-qgenx doctor`)"
        )
    if item == RANKS:
        return wrong_size(found, wanted)
    return (
        f"expected ranks on {wanted} hosts but they are on {found}; check the list of hosts, and use Open MPI 4.1: "
        "Open MPI 5 ignores the list that the MPI operator gives it"
    )
