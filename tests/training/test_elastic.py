"""Runs that go on with other numbers of ranks, in process."""

import copy
import dataclasses
from pathlib import Path

import pytest

from hvd_qgenx.runs import RunFolder
from hvd_qgenx.training.elastic import ElasticRun
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.run import Run
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from tests.training.test_trainer import players, trainer

UPDATES = 12


def trained(ranks: int, updates: int, state: dict | None = None, **changes) -> list[dict]:
    """Every rank's state after an update, trained from a state that another number of ranks may have left."""

    def work(transport):
        run = trainer(transport, **changes)
        if state:
            run.load_state_dict(resized(copy.deepcopy(state), transport.size))
        while run.updates < updates:
            run.advance()
        places = run.task.batches.split.places(0)
        return {**run.state_dict(), "hash": run.replica_hash(), "shares": [places.start, places.stop]}

    return inprocess.run(ranks, work)


@pytest.mark.parametrize("sizes", [(3, 2, 3), (2, 4, 1)])
@pytest.mark.parametrize("optimizer", ["extra-adam", "adam", "qgenx-de"])
def test_replicas_agree_and_shares_cover_the_batch(sizes, optimizer):
    state = None
    for part, ranks in enumerate(sizes):
        states = trained(ranks, 3 * (part + 1), state, optimizer=optimizer)
        state = states[0]
        assert len({each["hash"] for each in states}) == 1
        shares = [each["shares"] for each in states]
        assert [first for first, _ in shares] == [0, *(last for _, last in shares[:-1])]
        assert shares[-1][1] == 8
        assert len(state["ranks"]) == ranks


def test_the_same_ranks_go_on_bit_for_bit():
    whole = trained(3, 6)[0]["hash"]
    assert trained(3, 6, trained(3, 3)[0])[0]["hash"] == whole


def test_levels_stay_and_every_rank_has_a_stream_of_its_own():
    adaptive = {"compressor": "alq", "compressor_parameters": {"bits": 3}, "levels_at": "1"}
    state = trained(3, 3, **adaptive)[0]
    compression = [each["optimizers"][0]["compression"]["inner"] for each in state["ranks"]]
    assert compression[0]["version"] == 1
    for ranks in (2, 5):
        now = [each["optimizers"][0]["compression"]["inner"] for each in resized(state, ranks)["ranks"]]
        assert [each["stream"]["rank"] for each in now] == list(range(ranks))
        assert {each["stream"]["step"] for each in now} == {compression[0]["stream"]["step"]}
        assert all(each["levels"] == compression[0]["levels"] for each in now)
        later = trained(ranks, 4, state, **adaptive)
        assert len({each["hash"] for each in later}) == 1


def test_a_new_rank_begins_its_counts_at_zero():
    state = resized(trained(2, 2)[0], 3)
    old, new = state["ranks"][1:]
    assert old["reports"][0]["bytes_sent"] > 0
    assert new["reports"][0]["bytes_sent"] == 0
    assert old["seconds"].keys() == new["seconds"].keys()
    assert not any(new["seconds"].values())


class RankLostError(Exception):
    """Stands for Horovod's."""


@dataclasses.dataclass
class FakeCommitted:
    """Keeps what was committed last."""

    value: dict | None = None
    puts: int = 0

    def put(self, value):
        self.value = value
        self.puts += 1


def begin_in(folder: Path, stop_at: float, seen: list):
    def begin(transport, where, stored):
        seen.append((where, None if stored is None else stored["state"]["move"]))
        made: Trainer = trainer(transport, updates=UPDATES, log_every=1, sample_every=100, checkpoint_every=100)
        run = Run(made, RunFolder(where or folder))
        if stored:
            run.load(resized(stored["state"], transport.size))
        if run.writes:
            run.folder.reserve(again=stored is not None)
        advance = made.advance

        def advance_or_fail(**options):
            if made.updates == stop_at and made.move % 2 == 0 and not seen[-1][1]:
                raise RankLostError
            advance(**options)

        made.advance = advance_or_fail
        return run

    return begin


def test_a_lost_rank_costs_what_came_after_the_last_commit(tmp_path):
    """Three ranks commit every 4 updates and fail after 6; two go on from 4."""
    commits = {}

    def first(transport):
        committed, seen = FakeCommitted(), []
        elastic = ElasticRun(begin_in(tmp_path / "run", 6, seen), commit_every=4)
        with pytest.raises(RankLostError):
            elastic.train(transport, committed)
        assert seen == [(None, None)]
        assert committed.puts == 2  # at the start, and at 4
        commits[transport.rank] = elastic, committed
        return committed.value

    values = inprocess.run(3, first)
    assert all(value["folder"] == str(tmp_path / "run") for value in values)

    def again(transport):
        elastic, committed = commits[transport.rank]
        seen: list = []
        elastic._begin = begin_in(tmp_path / "elsewhere", 6, seen)
        run, summary = elastic.train(transport, committed)
        assert seen == [(tmp_path / "run", 8)]
        return summary["replica_hash"], players(run.trainer)["generator"]

    (hash_0, _), (hash_1, _) = inprocess.run(2, again)
    assert hash_0 == hash_1 == trained(2, UPDATES, trained(3, 4)[0])[0]["hash"]
    rows = (tmp_path / "run" / "ranks.csv").read_text().splitlines()
    assert rows[0] == "update,ranks,hosts,lost_updates"
    assert rows[1:] == ["0,3,1,0.0", "4,2,1,2.0"]
    updates = [int(row.split(",")[0]) for row in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]]
    assert updates == list(range(1, UPDATES + 1))
