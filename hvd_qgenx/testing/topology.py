"""The contract of topologies of gossip."""

from collections.abc import Iterable

import numpy as np

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.family import Family, Request
from hvd_qgenx.gossip.spectrum import analyse
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.testing.requirement import require

ROUNDING = 1e-12
"""How far sums of rows and columns may be from 1."""
STEPS = 8
"""Steps that are looked at where there is no period."""


def check_topology(family: Family, sizes: Iterable[int] = range(1, 33), connected: bool = True) -> None:
    """Checks the contract of the topologies of one name.

    Every mixing matrix is doubly stochastic, so that mixing keeps the mean; it comes again after the period; who hears
    and who is told agree; the ranks come to consensus. Numbers of ranks that there are none for are refused.

    Args:
        family: the entry of the registry.
        sizes: numbers of ranks to look at.
        connected: whether the ranks come to consensus.

    Raises:
        AssertionError: it breaks its contract; says for which number of ranks.
    """
    for ranks in sizes:
        if ranks > 1 and not family.accepts(ranks):
            _check_refusal(family, ranks)
            continue
        topology = family.make(Request("topology", ranks))
        what = f"{ranks} ranks"
        require(topology.size == ranks, f"{what}: size is {topology.size}")
        for step in range(topology.period or STEPS):
            _check_matrix(topology, step, f"{what}, step {step}")
        converges = analyse(topology).connected
        require(converges == (connected or ranks == 1), f"{what}: {_told(converges)} to consensus")


def _told(converges: bool) -> str:
    return "they come" if converges else "they do not come"


def _check_refusal(family: Family, ranks: int) -> None:
    try:
        family.make(Request("topology", ranks))
    except ConfigurationError:
        return
    raise AssertionError(f"{ranks} ranks are made, although `accepts` denies them")


def _check_matrix(topology: Topology, step: int, what: str) -> None:
    matrix = topology.matrix(step)
    right = matrix.shape == (topology.size, topology.size) and matrix.dtype == np.float64
    require(right, f"{what}: the matrix is {matrix.dtype} {matrix.shape}, not float64 ({topology.size}, ...)")
    require(matrix.min() >= 0, f"{what}: a weight is {matrix.min():.3g}")
    for axis, name in enumerate(("column", "row")):
        off = float(np.abs(matrix.sum(axis) - 1).max())
        require(off < ROUNDING, f"{what}: a {name} adds up to 1 only up to {off:.3g}, so mixing would move the mean")
    again = topology.matrix(step + (topology.period or 0))
    require((matrix == again).all(), f"{what}: the matrix is another one when it is asked for again")
    links = [topology.links(rank, step) for rank in range(topology.size)]
    for rank, own in enumerate(links):
        weights = own.own + sum(own.heard.values())
        require(abs(weights - 1) < ROUNDING, f"{what}: the weights of rank {rank} add up to {weights:.6g}")
        for other in range(topology.size):
            agree = (other in own.heard) == (rank in links[other].told)
            require(agree, f"{what}: ranks {rank} and {other} disagree whether one hears the other")
