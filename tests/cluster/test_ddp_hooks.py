"""The comparison of DDP's communication hooks over three hosts, with a small network; see ``ddp_hooks``."""

import pytest

from tests.cluster import ddp_hooks
from tests.cluster.ddp_rank import HOOKS
from tests.cluster.hosts import missing

EXACT = ("DDP without a hook", "`none`")


def test_hooks_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := missing():
        pytest.skip(reason)
    monkeypatch.setattr(ddp_hooks, "MEASURED", ("1",))
    found = ddp_hooks.measured("1gbit", "1", ddp_hooks.MEASURED, "resnet8")
    assert list(found) == list(HOOKS)
    errors = {name: row["errors"]["1"] for name, row in found.items()}
    assert all(errors[name] < 1e-12 for name in EXACT)
    own = [name for name in HOOKS if not name.startswith("torch: ") and name not in EXACT]
    assert len(own) == 4
    assert all(1e-3 < errors[name] < 1 for name in own)
    counted = {name: row["counted"] for name, row in found.items()}
    assert all(0 < found[name]["reported"] <= counted[name] < counted["`none`"] / 4 for name in own)
    assert found["`none`"]["reported"] <= counted["`none`"]
    lines = ddp_hooks.table({"1gbit": found}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in HOOKS]
