import math
import os

import pytest

from hvd_qgenx.transport import quota
from hvd_qgenx.transport.quota import cpu_quota


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


V1_HALF = {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/pod/container\n", {"pod/cpu.max": "150000 100000\n", "pod/container/cpu.max": "max 100000\n"}, 1.5),
        ("0::/pod\n", {"cpu.max": "300000 100000\n", "pod/cpu.max": "400000 100000\n"}, 3),
        ("0::/../other\n", {}, math.inf),
        ("0::/\n", {"cpu.max": "nonsense\n"}, math.inf),
        ("3:cpuset:/a\n2:cpu,cpuacct:/a\n", V1_HALF, 0.5),
        ("2:cpu:/host/a\n", {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("3:cpuset:/a\n", V1_HALF, math.inf),
    ],
)
def test_the_least_limit_of_a_process_and_of_the_groups_above_it_counts(groups, files, cores, tmp_path):
    (tmp_path / "groups").write_text(groups)
    write(files, tmp_path / "mounted")
    assert cpu_quota(tmp_path / "groups", tmp_path / "mounted") == cores


def test_a_system_without_control_groups_sets_no_limit(tmp_path):
    assert cpu_quota(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.parametrize(("limit", "cores"), [(math.inf, 6), (8, 6), (3.5, 3), (0.5, 1)])
def test_a_container_has_no_more_cores_than_it_may_keep_busy(limit, cores, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(quota, "cpu_quota", lambda: limit)
    assert quota.host_cores() == cores
