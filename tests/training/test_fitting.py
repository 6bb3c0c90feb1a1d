"""Checkpoints that are whole, but damaged or of another run, are refused before anything is changed."""

import copy
import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hvd_qgenx.cli import main
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.training.fitting import filled, require_like, require_moments
from tests import damage

KIND = "hvd-qgenx gan"
WANTED = {"a": torch.zeros(2, 3), "b": {"n": 1, "x": 0.5, "s": "text"}, "c": [1, 2], "open": None, "empty": {}}


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(out: Path, *options: object) -> Path:
    short = ("--filters", 4, "--latent", 8, "--batch-size", 8, "--updates", 2, "--device", "cpu")
    result = call("gan", *short, *options, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def changed(run, tmp_path):
    """A copy of the run, and a function that writes another state into its checkpoint."""
    folder = RunFolder(shutil.copytree(run, tmp_path / "run"))

    def write(change):
        state = checkpoint.load(folder.checkpoint, KIND)
        change(state)
        checkpoint.save(folder.checkpoint, KIND, {name: value for name, value in state.items() if name != "kind"})
        return folder

    return write


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({**WANTED, "a": torch.zeros(3, 2)}, r"a is float32 of shape \(3, 2\), not float32 of shape \(2, 3\)"),
        ({**WANTED, "a": torch.zeros(2, 3).double()}, "a is float64 of shape"),
        ({**WANTED, "a": torch.zeros(2, 3).to_sparse()}, "a is float32 of shape .* not a tensor of numbers"),
        ({**WANTED, "a": [0.0]}, r"a is \[0.0\], not a tensor"),
        ({**WANTED, "b": {"n": 1, "x": 0.5}}, "b lacks s"),
        ({**WANTED, "b": {"n": 1.5, "x": 0.5, "s": ""}}, "b.n is 1.5, not of the type int"),
        ({**WANTED, "b": {"n": True, "x": 0.5, "s": ""}}, "b.n is True, not of the type int"),
        ({**WANTED, "b": {"n": 1, "x": "0.5", "s": ""}}, "b.x is '0.5', not of the type float"),
        ({**WANTED, "b": 3}, "b is 3, not a table"),
        ({**WANTED, "c": [1, 2, 3]}, r"c is \[1, 2, 3\], not a list of 2"),
        ({**WANTED, "c": [1, "x"]}, r"c\[1\] is 'x'"),
        ({}, "the checkpoint lacks a"),
    ],
)
def test_a_state_of_another_form_is_refused_with_the_place(found, fault):
    with pytest.raises(ConfigurationError, match=f"^{fault}.*; the checkpoint is damaged, or not one of the run"):
        require_like(found, WANTED)


def test_a_state_of_the_form_passes():
    require_like(copy.deepcopy(WANTED), WANTED)
    require_like({**WANTED, "open": [1], "empty": Counter(a=1), "more": 1, "b": {"n": 2, "x": 3, "s": ""}}, WANTED)


@pytest.mark.parametrize(
    "found",
    [
        {0: {"m": torch.zeros(2), "step": 1}},
        {0: {"m": torch.zeros(2), "step": 1}, 1: {"m": torch.zeros(4), "step": 1}},
        {0: {"m": torch.zeros(2), "step": 1}, 1: {"step": 1}},
        {0: {"m": torch.zeros(2), "step": 1}, 1: {"m": 3, "step": 1}},
        {0: {"m": torch.zeros(2), "step": "1"}, 1: {"m": torch.zeros(3), "step": "1"}},
        [1],
    ],
)
def test_moments_of_other_parameters_are_refused(found):
    parameters = [torch.zeros(2), torch.zeros(3)]
    require_moments({}, parameters, "state")
    good = {i: {"m": torch.zeros_like(p), "step": torch.tensor(1.0)} for i, p in enumerate(parameters)}
    require_moments(good, parameters, "state")
    with pytest.raises(ConfigurationError, match=r"^state"):
        require_moments(found, parameters, "state")


def test_a_model_that_the_weights_do_not_fit_takes_no_memory():
    weights = nn.Linear(2, 3).state_dict()
    assert filled(lambda: nn.Linear(2, 3), weights, "model").weight.shape == (3, 2)
    with pytest.raises(ConfigurationError, match=r"model\.weight is float32 of shape"):
        filled(lambda: nn.Linear(1 << 20, 1 << 20), weights, "model")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        filled(lambda: nn.Linear(1 << 40, 1 << 40), weights, "model")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--filters", 8), "generator.project.0.weight is float32 of shape"),
        (("--optimizer", "adam"), "settings."),
        (("--seed", 1), "settings.seed is 1, but the run has 0"),
        (("--compressor", "uniform"), "settings."),
        (("--local-ranks", 2), "ranks is .* not a list of 1"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_and_nothing_is_changed(run, tmp_path, options, fault):
    folder = RunFolder(shutil.copytree(run, tmp_path / "run"))
    shutil.copy(RunFolder(train(tmp_path / "other", *options)).checkpoint, folder.checkpoint)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    result = call("gan", "--resume", folder.path, "--updates", 3)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"Error: {folder.checkpoint}: ")
    assert fault.split(" .* ")[0] in result.stderr
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda state: state.pop("averages"), "lacks averages"),
        (lambda state: state["discriminator"].popitem(), "discriminator lacks"),
        (lambda state: state.update(move="4"), "move is '4'"),
        (lambda state: state.update(move=-2), "move is -2"),
        (lambda state: state["ranks"][0]["optimizers"][0].pop("compression"), "optimizers[0] lacks compression"),
        (lambda state: state["ranks"][0]["reports"][0].update(bytes_sent=None), "bytes_sent is None"),
        (lambda state: state["optimizers"][0]["state"].pop(0), "optimizers[0].state is not of"),
        (lambda state: state["optimizers"][0]["param_groups"][0].pop("eps"), "param_groups[0] lacks eps"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(eps=1.0), "param_groups[0].eps is 1.0"),
        (lambda state: state.update(settings=[]), "settings is []"),
    ],
)
def test_a_part_that_is_missing_or_of_another_type_is_named(changed, change, place):
    folder = changed(change)
    result = call("gan", "--resume", folder.path, "--updates", 3)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"Error: {folder.checkpoint}: ")
    assert place in result.stderr


def test_a_compressed_checkpoint_is_refused_before_it_is_read(run, tmp_path):
    data = damage.compressed((run / "checkpoint.pt").read_bytes())
    assert len(data) < 1 << 20
    (tmp_path / "bomb.pt").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"bomb\.pt is damaged .*its parts are compressed"):
        checkpoint.load(tmp_path / "bomb.pt", KIND)


def test_parts_that_overlap_are_refused(run, tmp_path, monkeypatch):
    whole = (run / "checkpoint.pt").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = archive.infolist()
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lambda archive: parts * 3)  # as entries for the same bytes
    (tmp_path / "twice.pt").write_bytes(whole)
    with pytest.raises(ConfigurationError, match="its parts are longer than the file"):
        checkpoint.load(tmp_path / "twice.pt", KIND)


class Bytes:
    """Is pickled as a call that makes so many bytes."""

    def __reduce__(self):
        return bytearray, (1 << 20,)


def test_a_pickle_that_makes_bytes_is_refused(tmp_path):
    torch.save({"kind": KIND, "x": Bytes()}, tmp_path / "c.pt", pickle_protocol=2)
    assert len(torch.load(tmp_path / "c.pt", weights_only=True)["x"]) == 1 << 20
    with pytest.raises(ConfigurationError, match="something else than tensors and plain values"):
        checkpoint.load(tmp_path / "c.pt", KIND)
