"""hvd-qgenx language under the real horovodrun: resumed as threads do without, scored alike by any number of ranks."""

import json

import pytest

from hvd_qgenx.tasks.language.settings import LanguageConfig
from tests import launch
from tests.multiprocess import threads

SETTINGS = {"compressor": "intsgd", "coding": "huffman", "feedback": "error", "dropout": 0.1, "batch_size": 200}
FIRST, LAST = 25, 50
"""Updates; an epoch has 40, so the first run ends within it, and the model remembers what it has read."""

pytestmark = [pytest.mark.horovod, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run of two ranks that was resumed in the middle of an epoch."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    for arguments in (
        ("--out", str(out), "--updates", str(FIRST), *words),
        ("--resume", str(out), "--updates", str(LAST)),
    ):
        done = launch.run(launch.horovodrun(2, launch.COMMAND, "language", *arguments))
        assert done.returncode == 0, done.stderr
    return out


def test_resumed_in_the_middle_of_an_epoch_it_ends_as_threads_do_without(resumed, tmp_path):
    summary = json.loads((resumed / "summary.json").read_text())
    expected = threads.train(2, LanguageConfig(**SETTINGS, updates=LAST), tmp_path / "threads")
    for key in ("replica_hash", "bytes_sent"):
        assert summary[key] == expected[key]
    assert summary["scores"]["perplexity/raw"] == expected["scores"]["perplexity/raw"]


@pytest.mark.parametrize("ranks", [1, 3])
def test_any_number_of_ranks_finds_the_same_perplexity_to_the_last_bit(ranks, resumed):
    command = [launch.COMMAND, "evaluate", str(resumed), "--weights", "raw", "--json"]
    done = launch.run(launch.horovodrun(ranks, *command))
    assert done.returncode == 0, done.stderr
    rows = (resumed / "evaluation.csv").read_text().splitlines()
    values = {row.split(",")[2]: float(row.split(",")[4]) for row in rows[-2:]}
    scores = json.loads((resumed / "summary.json").read_text())["scores"]
    assert values == {name: scores[f"{name}/raw"] for name in ("perplexity", "valid_perplexity")}
