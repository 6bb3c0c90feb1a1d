"""Files and payloads from elsewhere are parsed, never executed; nothing secret is written down."""

import ast
import json
import os
import pickle
import random
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import compressors
import hvd_qgenx
from compressors import Coded, Compressor
from compressors.quantizer import BucketQuantizer
from hvd_qgenx.cli import main
from hvd_qgenx.data import cache
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.levels import sources
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.scores import weights
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.training import launch, presets
from hvd_qgenx.training.settings import declared

KIND = GanTask.kind
SECRET = "wJalrXUtnFEMI-not-a-real-key"
SOURCES = sorted(
    path for package in (compressors, hvd_qgenx) for path in Path(str(package.__file__)).parent.rglob("*.py")
)


class Evil:
    """A pickle of this makes a folder when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run, made while a secret was in the environment."""
    out = tmp_path_factory.mktemp("security") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_SECRET_ACCESS_KEY", "OMPI_MCA_password", "HOROVOD_SECRET", "HVD_QGENX_TOKEN"):
            patch.setenv(name, SECRET)
        words = ("--filters", 4, "--latent", 8, "--batch-size", 8, "--updates", 1, "--gradients-at", 1)
        result = call("gan", *words, "--device", "cpu", "--out", out)
        failed = call("gan", "--resume", out, "--bits", 99)
    assert result.exit_code == 0, result.output
    assert failed.exit_code == 2
    (out / "output").write_text(result.output + failed.output)
    return out


def test_no_secret_of_the_environment_is_written_or_printed(run):
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"config.json", "checkpoint.pt", "metrics.csv", "summary.json"} < {path.name for path in files}
    for path in files:
        assert SECRET.encode() not in path.read_bytes()


class TestPickles:
    """Each reader gets a pickle that would make a folder, as it is and inside of a file of its kind."""

    @pytest.fixture
    def target(self, tmp_path):
        yield tmp_path / "made"
        assert not (tmp_path / "made").exists()

    @pytest.fixture(params=["pickle", "archive", "nested"])
    def evil(self, request, tmp_path, target):
        path = tmp_path / "evil.pt"
        if request.param == "pickle":
            path.write_bytes(pickle.dumps(Evil(target)))
        else:
            torch.save({"kind": KIND, "a": [Evil(target)]} if request.param == "nested" else Evil(target), path)
        return path

    def test_as_it_would_harm(self, evil, target):
        torch.load(evil, weights_only=False) if evil.read_bytes()[:2] == b"PK" else pickle.loads(evil.read_bytes())
        target.rmdir()

    def test_checkpoint(self, evil):
        with pytest.raises(ConfigurationError, match="is damaged or not a checkpoint"):
            checkpoint.load(evil, KIND)
        with pytest.raises(pickle.UnpicklingError):
            checkpoint.from_bytes(evil.read_bytes())

    def test_gradients(self, evil):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            sources.read_tensors(evil)

    def test_weights(self, evil):
        with pytest.raises(ConfigurationError, match="cannot be read as a file of weights"):
            weights.read(evil)

    def test_arrays(self, tmp_path, target):
        path = tmp_path / "evil.npy"
        np.save(path, np.array([Evil(target)], dtype=object), allow_pickle=True)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            sources.read_tensors(path)
        for command in (("game", "bilinear", "--matrix", path), ("levels", "--gradients", path)):
            result = call(*command, "--out", tmp_path / "out")
            assert (result.exit_code, result.stderr[:7]) == (2, "Error: ")

    def test_statistics(self, tmp_path, target, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        kept = cache.Cached("statistics", "digits", {})
        kept.path.parent.mkdir(parents=True)
        np.savez(kept.path, mean=np.array([Evil(target)], dtype=object))
        assert kept.read() is None

    def test_commands(self, run, tmp_path, target):
        copy = tmp_path / "run"
        shutil.copytree(run, copy)
        torch.save({"kind": KIND, "move": Evil(target)}, copy / "checkpoint.pt")
        for command in (("gan", "--resume", copy), ("sample", copy), ("evaluate", copy)):
            result = call(*command)
            assert (result.exit_code, result.stderr[:7]) == (2, "Error: ")


class TestCheckpoints:
    def test_cut_short(self, run, tmp_path):
        whole = (run / "checkpoint.pt").read_bytes()
        path = tmp_path / "checkpoint.pt"
        for length in [0, 1, *random.Random(0).sample(range(len(whole)), 40), len(whole) - 1]:
            path.write_bytes(whole[:length])
            with pytest.raises(ConfigurationError, match="is damaged"):
                checkpoint.load(path, KIND)

    def test_damaged(self, run, tmp_path):
        """What is read at all is what was written: the archive has checksums."""
        whole = (run / "checkpoint.pt").read_bytes()
        state = repr(checkpoint.load(run / "checkpoint.pt", KIND))
        path = tmp_path / "checkpoint.pt"
        refused = 0
        for position in random.Random(1).sample(range(len(whole)), 60):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            try:
                assert repr(checkpoint.load(path, KIND)) == state
            except ConfigurationError:
                refused += 1
        assert refused > 30

    def test_of_another_kind(self, run):
        with pytest.raises(ConfigurationError, match="is not a checkpoint of hvd-qgenx table"):
            checkpoint.load(run / "checkpoint.pt", "hvd-qgenx table")


class TestSettings:
    """Of presets, which are read strictly."""

    @pytest.mark.parametrize(
        "line",
        [
            "updates = '../../x'",
            "updates = 1.5",
            "updates = [1]",
            "data_dir = 3",
            "seed = '0'",
            "spectral_norm = 1",
            "bits = {a = 1}",
            "extends = 3",
            "extends = '/etc/passwd'",
            "extends = '../../../../etc/passwd'",
            "__class__ = 'x'",
            "out = '/tmp/x'",
            "updates = " + "9" * 5000,
            "a" * 100_000,
            "[" * 2000,
        ],
    )
    def test_hostile_preset(self, tmp_path, line):
        path = tmp_path / "mine.toml"
        path.write_text(f"# Mine\n{line}\n")
        with pytest.raises(ConfigurationError):
            presets.load(GanConfig, str(path)).merged()

    def test_hostile_sweep(self, tmp_path):
        for text in ("modes = 3", "launch = [1]", "seeds = ['x']", "out = 3", "[" * 2000, "\0"):
            path = tmp_path / "sweep.toml"
            path.write_text(text)
            result = call("sweep", path, "--dry-run")
            assert (result.exit_code, result.stderr[:7]) == (2, "Error: "), text

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0", "9" * 5000, "[" * 100_000, '{"dataset": "digits"}'])
    def test_hostile_configuration(self, run, tmp_path, text):
        copy = tmp_path / "run"
        shutil.copytree(run, copy)
        (copy / "config.json").write_text(text)
        for command in (("gan", "--resume", copy), ("sample", copy)):
            result = call(*command)
            assert (result.exit_code, result.stderr[:7]) == (2, "Error: "), result.output

    @pytest.mark.parametrize("value", ["../../x", 1.5, -1, None, [1], {"a": 1}, float("nan"), 10**400])
    def test_hostile_values_of_a_configuration(self, run, value):
        """Refused in one sentence where they cannot be meant."""
        stored = RunFolder(run).read_config()
        for name in declared(GanConfig):
            try:
                config = launch._continued(GanConfig, 1, {**stored, name: value}, {})
                config.check(1)
            except ConfigurationError:
                continue
            assert not isinstance(value, list | dict)

    def test_unknown_keys_of_a_configuration_are_left_alone(self, run, tmp_path):
        copy = tmp_path / "run"
        shutil.copytree(run, copy)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "__class__": "x", "command": ["rm", "-rf", "/"]}))
        assert call("gan", "--resume", copy).exit_code == 0


NUMEL = 700
GUARD = 64
MADE: dict[str, Compressor] = {name: compressors.make(name) for name in compressors.names()}
MADE |= {
    f"{name}+{code}": Coded(made, code)
    for name, made in list(MADE.items())
    for code in ("huffman", "elias")
    if isinstance(made, BucketQuantizer)
}


@pytest.mark.parametrize("name", MADE)
class TestPayloads:
    def test_of_another_length(self, name):
        payload, context = MADE[name].compress(torch.ones(NUMEL))
        raw = payload.view(torch.uint8)
        for wrong in (raw[:0], raw[:-1], torch.cat([raw, raw[-1:]]), raw[: len(raw) // 3], torch.cat([raw] * 3)):
            with pytest.raises(ValueError, match=r".+"):
                MADE[name].decompress(wrong, context)

    def test_of_any_content_stay_within_the_vector(self, name):
        compressor = MADE[name]
        payload = compressor.compress(torch.randn(NUMEL, generator=torch.Generator().manual_seed(0)))[0]
        generator = np.random.default_rng(0)
        raw = payload.view(torch.uint8).numpy()
        for trial in range(200):
            hostile = raw.copy()
            if trial % 4 == 0:
                hostile[:] = generator.integers(0, 256, len(raw))
            elif trial % 4 == 1:
                hostile[: generator.integers(1, 64)] = 0xFF  # counts and scales as large as can be
            else:
                for position in generator.integers(0, len(raw), 8):
                    hostile[position] ^= 1 << int(generator.integers(8))
            whole = torch.full((NUMEL + 2 * GUARD,), 123.0)
            with suppress(ValueError):  # for a checksum, or the version of a level set
                compressor.decode(torch.from_numpy(hostile), whole[GUARD:-GUARD], add=trial % 3 == 0)
            assert (whole[:GUARD] == 123).all()
            assert (whole[-GUARD:] == 123).all()


def calls(tree: ast.AST) -> "list[tuple[str, ast.Call]]":
    """Every call with the name of what is called, as it is written."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def faults(source: str) -> list[str]:
    """What a module does that would run what comes from elsewhere."""
    tree = ast.parse(source)
    found = []
    for name, node in calls(tree):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        shell = given.get("shell", "False") != "False" or name in ("os.system", "os.popen", "subprocess.getoutput")
        unsafe = {
            "eval": True,
            "exec": True,
            "compile": True,
            "torch.load": given.get("weights_only") != "True",
            "np.load": given.get("allow_pickle", "False") != "False",
            "yaml.load": "Safe" not in given.get("Loader", "") and not any("Safe" in ast.unparse(a) for a in node.args),
        }
        if shell or unsafe.get(name):
            found.append(ast.unparse(node))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return found + [
        name for name in imported if name.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "joblib")
    ]


def test_the_check_of_sources_finds_what_it_looks_for():
    for source in (
        "import subprocess; subprocess.run(x, shell=True)",
        "os.system(x)",
        "eval(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "import yaml; yaml.load(x, Loader=yaml.Loader)",
        "import pickle",
        "from pickle import loads",
    ):
        assert faults(source), source
    assert not faults("torch.load(x, weights_only=True); model.eval(); np.load(x); subprocess.run([x])")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-2:]))
def test_no_module_runs_what_comes_from_elsewhere(path):
    own = ["pickle"] if path.match("games/compare.py") else []  # between a process and those that it has started
    assert faults(path.read_text()) == own
