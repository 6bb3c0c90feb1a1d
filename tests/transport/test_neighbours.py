"""Neighbour exchanges among threads: who waits for whom, what arrives, and what is counted."""

import threading

import pytest
import torch

from hvd_qgenx.transport import inprocess
from tests.multiprocess import neighbours

SECONDS = 60
"""Longest wait for something that happens at once."""


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_neighbours_hear_what_is_sent_to_them(size):
    def work(transport):
        found = neighbours.exchanges(transport), neighbours.under_way(transport)
        transport.all_gather_object(None, "done")
        return *found, transport._rendezvous

    cases = list(neighbours.cases(size))
    for rank, (one_by_one, at_once, rendezvous) in enumerate(inprocess.run(size, work)):
        expected = {name: case.expected(rank) for name, case in cases}
        assert one_by_one == expected
        short = [expected[name] for name, case in cases if case.scale < neighbours.ABOVE_A_PIECE]
        assert at_once == short[::-1]
        assert rendezvous._tables == {}


def test_ranks_without_a_link_do_not_wait_for_each_other():
    assert inprocess.run(3, lambda transport: neighbours.ahead(transport, transport)) == [[1], [2], [1]]


def test_a_sender_waits_for_nobody_whom_it_does_not_hear():
    sent = threading.Event()

    def work(transport):
        if transport.rank == 1:
            assert sent.wait(SECONDS)
            return transport.neighbour_exchange({}, [0], [2], "n", torch.zeros(0)).wait()[0].tolist()
        mine = torch.ones(2)
        assert transport.neighbour_exchange({1: mine}, [], [], "n").wait() == {}
        mine.zero_()  # it is the sender's again
        sent.set()
        return None

    assert inprocess.run(2, work) == [None, [1.0, 1.0]]


def test_one_tensor_for_several_ranks_is_copied_once():
    def work(transport):
        mine = torch.ones(2)
        sent = {1: mine, 2: mine} if transport.rank == 0 else {}
        heard = [] if transport.rank == 0 else [0]
        received = transport.neighbour_exchange(sent, heard, [2] * len(heard), "n", mine).wait()
        return mine.data_ptr(), [part.data_ptr() for part in received.values()]

    (mine, _), (_, first), (_, second) = inprocess.run(3, work)
    assert first == second != [mine]


@pytest.mark.parametrize("waiting", [[], [1], [2]])
def test_the_failure_of_a_rank_ends_all_that_wait(waiting):
    """Whether they wait for the rank itself, or for one that does."""

    def work(transport):
        if transport.rank == 1:
            raise KeyError("mine")
        heard = {0: waiting, 2: [1]}[transport.rank]
        transport.neighbour_exchange({}, heard, None, "n").wait()
        transport.neighbour_exchange({}, [1], None, "n").wait()

    with pytest.raises(KeyError, match="mine"):
        inprocess.run(3, work)


def test_bytes_sent():
    def work(transport):
        other = [1 - transport.rank]
        five, none = torch.zeros(5, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8)
        return [
            transport.neighbour_exchange(dict.fromkeys(other, tensor), other, sizes, "n").bytes_sent
            for tensor, sizes in ((five, [5]), (five, None), (none, [0]), (none, None), (torch.zeros(5), [5]))
        ]

    assert inprocess.run(2, work) == [[5, 13, 0, 8, 20]] * 2


def test_other_lengths_than_those_announced_are_refused():
    def work(transport):
        other = [1 - transport.rank]
        transport.neighbour_exchange(dict.fromkeys(other, torch.zeros(2)), other, [3], "n").wait()

    with pytest.raises(ValueError, match=r"n: received \[2\] elements, not \[3\]"):
        inprocess.run(2, work)


BYTES = torch.zeros(4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("sent", "heard", "sizes", "problem"),
    [
        ({0: BYTES}, [], [], "rank 0 of 3 cannot have a link with rank 0"),
        ({}, [0], [4], "rank 0 of 3 cannot have a link with rank 0"),
        ({3: BYTES}, [], [], "rank 0 of 3 cannot have a link with rank 3"),
        ({}, [-1], [4], "rank 0 of 3 cannot have a link with rank -1"),
        ({}, [1, 1], [4, 4], r"a rank is heard twice: \[1, 1\]"),
        ({}, [1, 2], [4], r"one length for each of the ranks \[1, 2\], not \[4\]"),
        ({}, [1], [-4], r"one length for each of the ranks \[1\], not \[-4\]"),
        ({1: BYTES, 2: torch.zeros(4)}, [], [], r"tensors of torch.float32 on cpu and of torch.uint8 on cpu are mixed"),
        ({1: BYTES[::2]}, [], [], r"must be contiguous and 1-D, not of shape \(2,\)"),
        ({1: BYTES.view(2, 2)}, [], [], r"must be contiguous and 1-D, not of shape \(2, 2\)"),
        ({1: torch.zeros(4)}, [], None, "whose length is not known must be uint8, not torch.float32"),
    ],
)
def test_what_cannot_be_exchanged_is_refused(sent, heard, sizes, problem):
    transport = inprocess.InProcess(0, (0, 0, 0))
    with pytest.raises(ValueError, match=f"^n: .*{problem}"):
        transport.neighbour_exchange(sent, heard, sizes, "n")
