"""hvd-qgenx levels: known errors and bits, files of gradients, and what cannot be read."""

import json
import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import compressors
from compressors.levels import sets
from hvd_qgenx.cli.levels import levels


def call(*arguments: object):
    return CliRunner().invoke(levels, [str(argument) for argument in arguments])


def rows(out, *arguments: object):
    """(bits, name, fitted to): row"""
    result = call("--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {(row["bits"], row["name"], row["fitted_to"]): row for row in json.loads(result.stdout)}


def test_a_gaussian_bucket(tmp_path):
    """Error, Huffman with sign, and the bound on it, of eight levels in buckets of 1024."""
    found = rows(tmp_path / "run")
    for name, fitted_to, error, huffman, bound in (
        ("uniform", "", 2.647, 1.35, 1.84),
        ("exponential", "", 0.0955, 2.96, 3.78),
        ("alq", "normals", 0.037, 3.39, 4.31),
        ("alq", "histogram", 0.037, 3.39, 4.31),
    ):
        row = found[4, name, fitted_to]
        assert row["relative_error"] == pytest.approx(error, rel=0.01)
        assert row["huffman"] == pytest.approx(huffman, abs=0.01)
        assert row["bound"] == pytest.approx(bound, abs=0.01)
        assert row["entropy"] <= row["huffman"] <= row["bound"]
        assert row["fixed"] == 4
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["relative_error"] <= row["epsilon"]
    assert found[4, "uniform", ""]["epsilon"] == pytest.approx(3.696, rel=1e-3)
    assert found[4, "uniform", ""]["levels"] == pytest.approx(np.arange(8) / 7)
    assert found[4, "alq", "normals"]["levels"] == pytest.approx(
        [0, 0.0112, 0.0230, 0.0359, 0.0513, 0.0723, 0.1149, 1], abs=2e-4
    )
    assert found[2, "ternary", ""]["levels"] == [0, 1]


def test_adapted_levels_beat_fixed_ones_on_every_source(tmp_path):
    for i, arguments in enumerate(
        (
            ("--distribution", "laplace", "--norm", "linf"),
            ("--distribution", "student-t", "--norm", "l2"),
            ("--distribution", "uniform", "--norm", "l1", "--bucket-size", 100),
        )
    ):
        found = rows(tmp_path / str(i), "--bits", 3, "--bits", 3, *arguments)
        assert len(found) == 9
        least = min(found[3, name, ""]["relative_error"] for name in ("uniform", "exponential"))
        best = found[3, "alq", "histogram"]["relative_error"]
        assert best <= least
        assert found[3, "alq-gd", "histogram"]["relative_error"] == pytest.approx(best, rel=0.01)
        assert found[3, "amq", "histogram"]["relative_error"] <= found[3, "exponential", ""]["relative_error"]


def test_gradients_of_a_run(tmp_path):
    """Tensors by name lie end to end, in a bucket or not; several files count together."""
    random = torch.Generator().manual_seed(0)
    vector = torch.randn(3000, generator=random)
    torch.save({"w": vector[:1000].view(10, 100), "b": vector[1000:]}, tmp_path / "named.pt")
    torch.save(vector, tmp_path / "flat.pt")
    np.save(tmp_path / "half", vector[:1500].numpy())
    np.save(tmp_path / "rest", vector[1500:].double().numpy())
    flat = rows(tmp_path / "1", "--gradients", tmp_path / "flat.pt", "--bucket-size", 500)
    assert rows(tmp_path / "2", "--gradients", tmp_path / "named.pt", "--bucket-size", 500) == flat
    halves = ("--gradients", tmp_path / "half.npy", "--gradients", tmp_path / "rest.npy")
    both = rows(tmp_path / "3", *halves, "--bucket-size", 500)
    assert both[4, "uniform", ""]["relative_error"] == pytest.approx(flat[4, "uniform", ""]["relative_error"])


def test_the_seed_decides(tmp_path):
    one, same, other = (rows(tmp_path / str(i), "--bits", 2, "--seed", seed) for i, seed in enumerate((0, 0, 1)))
    assert one == same != other


def test_the_folder_and_the_table(tmp_path):
    result = call("--out", tmp_path / "run", "--bits", 2, "--bits", 8)
    assert result.exit_code == 0, result.output
    assert "alq-gd, histogram" in result.stdout
    assert "8 bits: levels and % of coordinates" in result.stdout
    saved = json.loads((tmp_path / "run/levels.json").read_text())
    assert [row["levels"] for row in saved if (row["name"], row["bits"]) == ("exponential", 8)] == [
        sets.exponential(8).tolist()
    ]
    assert json.loads((tmp_path / "run/config.json").read_text())["norm"] == "l2"
    assert json.loads((tmp_path / "run/summary.json").read_text()) == {"source": "gaussian", "levels": saved}
    with Image.open(tmp_path / "run/levels.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("L").getcolors()) > 50


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no file"),
        (torch.zeros(100), "holds nothing but zeros"),
        (torch.zeros(0), "holds nothing but zeros"),
        ({}, "must hold floating-point tensors: one, or a dictionary of them by name"),
        (torch.tensor([1.0, torch.nan]), "holds Inf or NaN"),
        (torch.arange(10), "must hold floating-point tensors"),
        ({"w": [1.0]}, "must hold floating-point tensors"),
    ],
)
def test_what_is_no_gradient(tmp_path, content, sentence):
    if content is not None:
        torch.save(content, tmp_path / "g.pt")
    result = call("--gradients", tmp_path / "g.pt", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_sparse_gradient_is_read_with_its_zeros(tmp_path):
    dense = torch.randn(40, 50) * (torch.arange(40) % 3 == 0)[:, None]
    torch.save({"rows": dense.to_sparse(1)}, tmp_path / "sparse.pt")
    torch.save({"rows": dense}, tmp_path / "dense.pt")
    found = [rows(tmp_path / name, "--gradients", tmp_path / f"{name}.pt") for name in ("sparse", "dense")]
    assert found[0] == found[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("g.pt", b"nonsense", "g.pt cannot be read: it does not hold tensors and plain values"),
        ("g.pt", pickle.dumps({"a": 1}, 4), "g.pt cannot be read: it does not hold tensors and plain values"),
        ("g.npy", b"nonsense", "g.npy cannot be read: it does not hold an array of numbers"),
        ("g.txt", b"1 2 3", "g.txt: numbers are read from .pt and .npy files only"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    result = call("--gradients", tmp_path / name, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path}/{sentence}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--distribution", "gaussian", "--gradients", "g.pt"), "leave one of them out"),
        (("--distribution", "gausian"), "gausian"),
        (("--bits", "9"), "9 is not in the range"),
        (("--norm", "l3"), "l3"),
    ],
)
def test_options_that_make_no_sense(arguments, sentence):
    result = call(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_levels_of_kinds_of_layers(tmp_path):
    path = tmp_path / "gradients.pt"
    random = torch.Generator().manual_seed(0)
    tensors = {
        "a.weight": torch.randn(40, 30, generator=random) ** 5,
        "b.weight": torch.randn(90, 50, generator=random),
    }
    torch.save({**tensors, "b.bias": torch.randn(90, generator=random)}, path)
    (tmp_path / "layers.json").write_text(json.dumps({"a.weight": "first"}))
    found = rows(tmp_path / "run", "--gradients", path, "--bits", 3, "--levels-by", "kind")
    assert {group for _, _, group in found} == {"all", "first", "linear"}
    for group, name in (("first", "a.weight"), ("linear", "b.weight")):
        compressor = compressors.make("alq", bits=3)
        alone = compressor.fit([compressor.observe(tensors[name].flatten())])
        assert found[3, "alq", group]["levels"] == pytest.approx(alone.levels, rel=1e-3)
    assert Image.open(tmp_path / "run" / "levels.png").size[0] > 500


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--levels-by", "kind"), "--levels-by is for the tensors of files; give --gradients"),
        (("--gradients", "FILE", "--levels-by", "kinds"), "unknown rule for levels_by 'kinds'; did you mean 'kind'?"),
        (("--gradients", "FILE", "--levels-by", "global"), "known are kind, tensor, NAME=PATTERN"),
        (("--gradients", "FILE", "--levels-by", "a=c*"), "no tensor's name fits 'c*'; there are a.weight, b.weight"),
        (("--gradients", "FILE", "--levels-by", "a=a*"), "'b.weight' is in none of the groups; add one such as rest=*"),
    ],
)
def test_groups_that_there_are_not(tmp_path, arguments, sentence):
    path = tmp_path / "gradients.pt"
    torch.save({"a.weight": torch.ones(40, 30), "b.weight": torch.ones(40, 30)}, path)
    result = call("--out", tmp_path / "run", *(path if argument == "FILE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()
