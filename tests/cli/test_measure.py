"""hvd-qgenx measure: errors and bits against what is known, and bad input."""

import csv
import json

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import compressors
from compressors.rotated import relative_error
from hvd_qgenx.cli import main
from hvd_qgenx.levels.measure import measure


def call(*arguments: object):
    return CliRunner().invoke(main, ["measure", *(str(argument) for argument in arguments)])


def rows(out, *arguments: object):
    result = call("--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {(row["compressor"], row["setting"]): row for row in json.loads(result.stdout)}


def test_known_errors_of_a_gaussian_vector(tmp_path):
    found = rows(tmp_path / "run", "--bits", 2, "--bits", 4, "--draws", 1)
    for bits in (2, 4):
        assert found["rotated", f"{bits} bits"]["error"] == pytest.approx(relative_error(bits), rel=0.02)
    assert found["minmax", "4 bits"]["error"] == pytest.approx(0.0315, rel=0.03)
    assert found["alq", "4 bits"]["error"] == pytest.approx(0.037, rel=0.05)
    assert found["minmax", "4 bits"]["bits"] == 4 + 64 / 1024
    assert all(row["bound"] == pytest.approx(2 ** (-2 * row["bits"])) for row in found.values())
    assert Image.open(tmp_path / "run" / "measure.png").size[0] > 500
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rows"]
    with (tmp_path / "run" / "measure.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["error"]) for row in written] == [row["error"] for row in found.values()]


def test_coded_bits_are_those_of_the_payload():
    vector = torch.randn(50000)
    found = measure(compressors.make("uniform", bits=4, norm="linf"), [vector])
    coded = compressors.Coded(compressors.make("uniform", bits=4, norm="linf"))
    assert found.huffman == pytest.approx(8 * len(coded.compress(vector)[0]) / 50000, rel=1e-2)
    assert found.entropy <= found.huffman * 1.005
    assert found.huffman < found.entropy * 1.03


def test_what_a_run_would_leave_alone_is_left_out(tmp_path):
    path = tmp_path / "gradients.pt"
    tensors = {"generator.weight": torch.randn(40, 30), "generator.bias": 1000 * torch.randn(40)}
    torch.save({**tensors, "discriminator.weight": torch.randn(50, 50)}, path)
    found = rows(tmp_path / "run", "--gradients", path, "--player", "generator", "--compressor", "minmax", "--bits", 8)
    alone = measure(compressors.make("minmax", bits=8), [tensors["generator.weight"]])
    (row,) = found.values()
    assert row["error"] == pytest.approx(alone.error, rel=1e-6)


def test_fractions_go_to_those_who_take_them(tmp_path):
    found = rows(tmp_path / "run", "--bits", 2.5, "--bits", 3, "--compressor", "variable", "--compressor", "minmax")
    assert set(found) == {("variable", "2.5 bits"), ("variable", "3 bits"), ("minmax", "3 bits")}


def test_of_the_default_compressors_those_are_measured_that_can_have_the_bits(tmp_path):
    found = rows(tmp_path / "run", "--bits", 2.5, "--draws", 1)
    assert list(found) == [("variable", "2.5 bits"), ("variable:weighting=per-layer", "2.5 bits")]
    assert json.loads((tmp_path / "run/config.json").read_text())["specs"] == [name for name, _ in found]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--compressor", "minmx"], "did you mean 'minmax'?"),
        (["--compressor", "minmax:bit=3"], "minmax has no parameter 'bit'"),
        (["--compressor", "minmax", "--bits", "2.5"], "minmax: bits must be a whole number, not 2.5"),
        (["--gradients", "nothing.pt"], "there is no file nothing.pt"),
        (["--distribution", "gausian"], "unknown distribution 'gausian'; did you mean 'gaussian'?"),
    ],
)
def test_bad_input(tmp_path, arguments, sentence):
    result = call("--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_without_anything_to_compress(tmp_path):
    torch.save({"generator.bias": torch.randn(300), "generator.scale": torch.randn(3)}, tmp_path / "few.pt")
    result = call("--out", tmp_path / "run", "--gradients", tmp_path / "few.pt")
    assert result.exit_code == 2
    assert "holds no tensor to compress" in result.stderr


class TestMeans:
    """--mean: files are the gradients of ranks."""

    @staticmethod
    def files(tmp_path, count: int = 3) -> list[object]:
        random = torch.Generator().manual_seed(1)
        paths = [tmp_path / f"000010-rank{rank}.pt" for rank in range(count)]
        for path in paths:
            torch.save({"a.weight": torch.randn(200, 300, generator=random), "a.bias": torch.ones(9)}, path)
        return [word for path in paths for word in ("--gradients", path)]

    def test_correlated_rounding_lowers_the_error_of_the_mean(self, tmp_path):
        specs = ("minmax", "minmax:rounding=random", "intsgd", "intsgd:rounding=random", "dither")
        words = [word for spec in specs for word in ("--compressor", spec)]
        found = rows(tmp_path / "run", "--mean", *self.files(tmp_path), *words, "--bits", 4)
        errors = [row["error"] for row in found.values()]
        assert errors[1] / errors[0] == pytest.approx(1.8, rel=0.05)
        assert errors[3] / errors[2] == pytest.approx(1.8, rel=0.05)
        assert errors[3] == pytest.approx(1 / 3, rel=0.05)
        alone = measure(compressors.make("dither", bits=4), [torch.randn(200, 300)])
        assert errors[4] == pytest.approx(alone.error, rel=0.05)  # errors and means of independent ranks fall alike

    def test_bad_input(self, tmp_path):
        first = self.files(tmp_path)[:2]
        other = tmp_path / "other.pt"
        torch.save({"a.weight": torch.randn(20, 30)}, other)
        assert "several ranks" in refused("--mean", *first)
        assert "of one run" in refused("--mean", *first, "--gradients", other)


def refused(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 2
    return result.output


def test_two_phase_compresses_the_mean_once_more(tmp_path):
    """Of equal Gaussian vectors the mean has a third of one vector's error, to which a whole one comes."""
    paths = []
    vector = torch.randn(1 << 15, generator=torch.Generator().manual_seed(1))
    for rank in range(3):
        paths += ["--gradients", tmp_path / f"{rank}.pt"]
        torch.save({"weight": vector.view(256, -1)}, paths[-1])
    found = [
        rows(tmp_path / each, "--mean", "--exchange", each, *paths, "--compressor", "rotated", "--bits", 4)
        for each in ("allgather", "two-phase")
    ]
    once, twice = (row["rotated", "4 bits"]["error"] for row in found)
    assert once == pytest.approx(relative_error(4) / 3, rel=0.03)
    assert twice == pytest.approx(relative_error(4) * 4 / 3, rel=0.03)
    result = call("--exchange", "two-phase", "--compressor", "rotated")
    assert result.exit_code == 2
    assert "give --mean" in result.output


def layer_rows(tmp_path, *arguments: object):
    path = tmp_path / "gradients.pt"
    random = torch.Generator().manual_seed(0)
    sparse, dense = torch.randn(2, 64, 64, generator=random)
    torch.save({"a.weight": 100 * sparse * (torch.rand(64, 64, generator=random) < 0.05), "b.weight": dense}, path)
    arguments = ("--gradients", path, "--levels-by", "tensor", "--bits", 4, *arguments)
    result = call("--out", tmp_path / "run", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {(row["compressor"], row["layer"]): row for row in json.loads(result.stdout)}


def test_levels_of_their_own_never_raise_the_error_of_a_layer(tmp_path):
    """At equal bits; and errors by layer add up to what is measured without layers."""
    specs = ("alq", "alq-gd", "amq", "variable")
    found = layer_rows(tmp_path, *(part for spec in specs for part in ("--compressor", spec)), "--draws", 1)
    for spec in specs:
        layers, everything = [found[spec, f"{name}.weight"] for name in "ab"], found[spec, "all"]
        assert everything["error"] == pytest.approx(sum(row["energy"] * row["error"] for row in layers))
        for row in (*layers, everything) if spec != "variable" else ():
            assert row["own_error"] <= row["apart_error"] * (1 + 1e-4)  # fitted to bins, not to every value
            assert row["own_bits"] == pytest.approx(row["bits"], abs=0.01)
        assert (everything["own_error"] is None) == (spec == "variable")
    assert found["alq", "b.weight"]["own_error"] < 0.9 * found["alq", "b.weight"]["apart_error"]
    assert Image.open(tmp_path / "run" / "measure.png").size[0] > 500
    plain = rows(tmp_path / "plain", "--gradients", tmp_path / "gradients.pt", "--compressor", "alq", "--bits", 4)
    assert found["alq", "all"]["error"] == pytest.approx(plain["alq", "4 bits"]["error"], rel=0.1)


def test_shared_out_bits_lower_the_error_of_all(tmp_path):
    found = layer_rows(tmp_path, "--compressor", "alq:norm=linf", "--layer-bits", "global")
    own = {layer: row["own_bits"] for (_, layer), row in found.items()}
    assert own["a.weight"] != own["b.weight"]
    assert own["all"] <= found["alq:norm=linf", "all"]["bits"] + 0.01
    assert found["alq:norm=linf", "all"]["own_error"] < found["alq:norm=linf", "all"]["apart_error"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--levels-by", "kind"), "--levels-by is for the tensors of files; give --gradients, and no --mean"),
        (("--layer-bits", "global"), "--layer-bits is for groups of tensors; give --levels-by"),
    ],
)
def test_groups_are_of_the_tensors_of_files(tmp_path, arguments, sentence):
    result = call("--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
