"""hvd-qgenx bench exchange under the real horovodrun: stock Horovod is there to compare with."""

import json

import pytest

from tests import launch

pytestmark = pytest.mark.horovod


def bench(*options: str):
    return launch.run(launch.horovodrun(2, launch.COMMAND, "bench", "exchange", *options))


def test_stock_horovod_takes_turns(tmp_path):
    options = ("--numel", "20000", "--repeats", "2", "--rate", "1gbit", "--json", str(tmp_path / "found.json"))
    done = bench(*options, "--compressor", "minmax:bits=4")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    rows = {row["system"]: row for row in found["rows"]}
    assert list(rows) == ["horovod fp32", "horovod fp16", "none", "minmax:bits=4"]
    assert rows["horovod fp32"]["bytes_sent"] == rows["none"]["bytes_sent"] == 2 * rows["horovod fp16"]["bytes_sent"]
    assert rows["horovod fp32"]["fp32_ratio"] == rows["horovod fp16"]["fp16_ratio"] == 1
    assert {row["ranks"] for row in rows.values()} == {2}
    assert "horovod" in found["machine"]["versions"]


def test_a_wrong_number_of_ranks_ends_it(tmp_path):
    done = bench("--numel", "20000", "--expect-ranks", "3", "--json", str(tmp_path / "found.json"))
    assert done.returncode != 0
    assert "expected 3 ranks but there are 2" in done.stderr + done.stdout
    assert not (tmp_path / "found.json").exists()
