"""Parts of an installed package, and of modules that the command line names; and what a run remembers of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hvd_qgenx.cli import main
from hvd_qgenx.cli.plugins import split
from tests import documents, launch
from tests.documents import ROOT

EXAMPLE = ROOT / "examples" / "plugin"
SMALL = ("--filters", "4", "--latent", "8", "--batch-size", "8", "--device", "cpu")
PACKAGE = {"name": "hvd-qgenx-example", "version": "1.0", "installed": True}
MODULE = '''
from dataclasses import dataclass
from compressors import MinMax, register
from hvd_qgenx.gossip.graphs import RING
from hvd_qgenx.gossip.registry import TOPOLOGIES
from hvd_qgenx.tasks.classify.models.mlp import mlp
from hvd_qgenx.tasks.classify.models.registry import MODELS
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.gan.losses import HINGE
from hvd_qgenx.tasks.gan.registry import LOSSES
from hvd_qgenx.tasks.registry import TASKS

@register("mine")
@dataclass(eq=False)
class Mine(MinMax):
    """MinMax by another name."""

TOPOLOGIES.register("circle")(RING)
MODELS.register("perceptron")(mlp)
LOSSES.register("own-hinge")(HINGE)

@TASKS.register("tell-apart")
@dataclass(frozen=True)
class TellApart(ClassifyConfig):
    """Tells digits apart."""
    task = "tell-apart"
'''


def fake(folder: Path, name: str, entry_points: str) -> None:
    """Writes what an installed package leaves beside its code."""
    info = folder / f"{name}-3.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def call(path: Path | str, *words: object, launched: "list[str] | None" = None) -> subprocess.CompletedProcess[str]:
    """Calls hvd-qgenx with a folder of packages in the path."""
    return launch.run([*(launched or []), launch.COMMAND, *map(str, words)], PYTHONPATH=str(path))


def refused(done: "subprocess.CompletedProcess[str] | Result", *sentences: str) -> None:
    code = done.returncode if isinstance(done, subprocess.CompletedProcess) else done.exit_code
    assert code == 2, done.stderr
    for sentence in sentences:
        assert sentence in " ".join(launch.untagged(done.stderr).split()), done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder that the example is installed in."""
    folder = tmp_path_factory.mktemp("plugins")
    shutil.copytree(EXAMPLE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder / "site", folder / "source"], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def run(site, tmp_path_factory) -> Path:
    """A run of two Horovod ranks with the example's compressor, which two ranks of torch.distributed go on with."""
    launch_error = launch.without_horovod()
    out = tmp_path_factory.mktemp("run") / "run"
    ranks = launch.torchrun(2) if launch_error else launch.horovodrun(2)
    words = ("gan", *SMALL, "--compressor", "logarithmic", "--steps", "4", "--updates", "2", "--out", out)
    done = call(site, *words, launched=ranks)
    assert done.returncode == 0, done.stderr
    done = call(site, "gan", "--resume", out, "--updates", "3", launched=launch.torchrun(2))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    """A folder with a module that registers parts of many kinds."""
    folder = tmp_path_factory.mktemp("module")
    (folder / "my_parts.py").write_text(MODULE)
    return folder


class TestInstalled:
    def test_a_run_remembers_the_plugins_that_it_uses(self, run):
        config = json.loads((run / "config.json").read_text())
        assert config["plugins"] == [PACKAGE]
        assert config["versions"]["plugin hvd-qgenx-example"] == "1.0"
        assert config["compressor_parameters"] == {"steps": 4}
        assert json.loads((run / "summary.json").read_text())["updates"] == 3

    def test_other_commands_find_them(self, site, run, tmp_path):
        assert call(site, "evaluate", run, "--samples", "64").returncode == 0
        shown = call(site, "gan", "--help").stdout
        assert "logarithmic" in shown
        assert "--steps" in shown
        words = ("--iterations", 20, "--seeds", 2, "--jobs", 2, "--compressor", "logarithmic:steps=2", "--pull", 0.3)
        done = call(site, "game", "rock-paper-scissors", *words, "--out", tmp_path / "game")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "game" / "config.json").read_text())["pull"] == 0.3

    def test_the_doctor_lists_them_and_a_run_without_their_parts_needs_none(self, site):
        program = """if True:
            from hvd_qgenx import plugins
            from hvd_qgenx.doctor import software
            from hvd_qgenx.tasks.registry import TASKS
            from hvd_qgenx.training.asked import configure
            print(software.plugins(None), plugins.record(configure(TASKS["gan"], {}).origins()))
        """
        done = launch.run([sys.executable, "-c", program], PYTHONPATH=str(site))
        assert done.stdout.endswith(" []\n"), done.stderr
        assert "hvd-qgenx-example 1.0 (compressors logarithmic, games rock-paper-scissors)" in done.stdout, done.stderr

    def test_the_example_tests_itself(self, site):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
        done = launch.run([*command, "-k", "pull or 8"], PYTHONPATH=str(site))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no tests ran" not in done.stdout

    def test_a_run_whose_plugin_is_gone_is_refused(self, run, tmp_path):
        """This process never had it."""
        for words in (("gan", "--resume", run, "--local-ranks", 2), ("evaluate", run), ("sample", run)):
            result = CliRunner().invoke(main, [str(word) for word in words])
            refused(result, f"{run} needs the plugin 'hvd-qgenx-example' of version '1.0'", "not installed")
        result = CliRunner().invoke(main, ["report", str(run), "--out", str(tmp_path / "page")])
        assert result.exit_code == 0, result.stderr
        assert "logarithmic" in result.stdout

    def test_another_version_is_refused_unless_it_is_accepted(self, site, run, tmp_path):
        shutil.copytree(site, tmp_path / "site")
        (metadata,) = (tmp_path / "site").glob("*.dist-info/METADATA")
        metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 2.0"))
        words = ("sample", run, "--count", 1, "--out", tmp_path / "one.png")
        refused(call(tmp_path / "site", *words), "this is '2.0'", "--changed-plugins")
        assert call(tmp_path / "site", *words, "--changed-plugins").returncode == 0

    def test_a_name_that_there_is_already(self, tmp_path):
        fake(tmp_path, "second", "[hvd_qgenx.losses]\nwgan = math:sqrt\n")
        refused(
            call(tmp_path, "gan", *SMALL, "--show-config"),
            "two entries are called loss 'wgan': one of hvd-qgenx, one of second; rename or leave out one",
        )

    def test_a_name_of_two_packages(self, site, tmp_path):
        shutil.copytree(site, tmp_path / "site")
        fake(tmp_path / "site", "second", "[hvd_qgenx.compressors]\nlogarithmic = compressors:MinMax\n")
        done = call(tmp_path / "site", "gan", "--help")
        refused(done, "two entries are called compressor 'logarithmic'", "one of second", "one of hvd-qgenx-example")

    def test_a_package_that_cannot_be_imported(self, tmp_path):
        fake(tmp_path, "broken", "[hvd_qgenx.compressors]\nbroken = broken_part:Part\n")
        (tmp_path / "broken_part.py").write_text("def fail():\n    return 1 / 0\n\nfail()\n")
        done = call(tmp_path, "gan", "--help")
        refused(done, "plugin broken cannot be imported: ZeroDivisionError: division by zero; repair or uninstall it")
        assert 'broken_part.py", line 2, in fail' in done.stderr
        assert "importlib" not in done.stderr
        assert call(tmp_path, "--help").returncode == 0  # it imports nothing

    def test_a_model_that_names_no_task(self, tmp_path):
        fake(tmp_path, "nameless", "[hvd_qgenx.models]\nbig = math:sqrt\n")
        refused(call(tmp_path, "classify", "--show-config"), "does not say of which task", "call it classify.big")


class TestNamed:
    def test_parts_of_every_kind(self, module, tmp_path):
        out = tmp_path / "run"
        words = ("tell-apart", "--model", "perceptron", "--mixing", "choco", "--topology", "circle", "--batch-size", 8)
        words += ("--compressor", "mine", "--bits", 2, "--updates", 2, "--device", "cpu", "--local-ranks", 3)
        done = call(module, *words, "--plugin", "my_parts", "--out", out)
        assert done.returncode == 0, done.stderr
        config = json.loads((out / "config.json").read_text())
        (plugin,) = config["plugins"]
        assert (plugin["name"], plugin["installed"], plugin["version"][:7]) == ("my_parts", False, "sha256:")
        assert [config[name] for name in ("task", "topology", "compressor")] == ["tell-apart", "circle", "mine"]
        shown = call(module, "--plugin=my_parts", "--help").stdout
        assert "Train: a task of my_parts." in " ".join(shown.split())
        assert "Tells digits apart." in call(module, "tell-apart", "--help", "--plugin", "my_parts").stdout

    def test_a_run_asks_for_its_module(self, module, tmp_path):
        out = tmp_path / "run"
        done = call(module, "gan", *SMALL, "--plugin", "my_parts", "--loss", "own-hinge", "--updates", 1, "--out", out)
        assert done.returncode == 0, done.stderr
        resume = ("gan", "--resume", out, "--updates", 2)
        command = f"hvd-qgenx gan --resume {out} --updates 2 --plugin my_parts"
        refused(call(module, *resume), "which no file may import", f"name it: {command}")
        assert call(module, *resume, "--plugin", "my_parts").returncode == 0
        changed = tmp_path / "changed"
        changed.mkdir()
        (changed / "my_parts.py").write_text(MODULE + "# changed\n")
        refused(call(changed, "sample", out, "--plugin", "my_parts"), "has the plugin 'my_parts'", "--changed-plugins")

    def test_ranks_compare_versions(self, tmp_path):
        (tmp_path / "unlike.py").write_text("import os\n__version__ = os.environ['RANK']\n")
        done = call(tmp_path, "gan", "--plugin", "unlike", *SMALL, "--updates", 1, launched=launch.torchrun(2))
        assert done.returncode != 0
        assert "ranks have different versions of plugin unlike" in " ".join(done.stderr.split())

    def test_a_manifest_passes_them_on(self, module, tmp_path):
        own = ("--", "gan", "--compressor", "mine", "--bits", 2)
        done = call(module, "mpijob", "--plugin", "my_parts", "--out", tmp_path / "job.yaml", *own)
        assert done.returncode == 0, done.stderr
        words = " ".join((tmp_path / "job.yaml").read_text().replace("- ", "").split())
        assert "--plugin my_parts --compressor mine" in words
        check = ("mpijob", "--check", tmp_path / "job.yaml")
        assert call(module, *check, "--plugin", "my_parts").returncode == 0
        refused(
            call(module, "mpijob", *own, "--plugin", "my_parts"),
            "needs '--plugin my_parts'",
            "give it before `--`, too",
        )
        done = call(module, *check)
        assert done.returncode == 2
        assert "needs '--plugin my_parts'" in done.stdout

    def test_a_sweep_passes_them_on(self, module, tmp_path):
        (tmp_path / "two.toml").write_text('[modes.own]\ncompressor = "mine"\nbits = 2\n')
        done = call(module, "sweep", tmp_path / "two.toml", "--dry-run", "--plugin", "my_parts")
        assert done.returncode == 0, done.stderr
        assert "hvd-qgenx --plugin my_parts gan --out" in done.stdout
        refused(call(module, "sweep", tmp_path / "two.toml", "--dry-run"), "unknown compressor 'mine'")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "import no_such_package",
            ["No module named 'no_such_package'; repair it, or leave it out"],
        ),
        ("raise SystemExit(3)", ["plugin bad_parts cannot be imported: SystemExit: 3"]),
        ("def (", ["plugin bad_parts cannot be imported: SyntaxError"]),
        (
            "from compressors import MinMax, register\nregister('minmax')(type('Own', (MinMax,), {}))",
            ["two entries are called compressor 'minmax': one of compressors.minmax, one of bad_parts; rename"],
        ),
        (
            "from hvd_qgenx.gossip.registry import TOPOLOGIES\nTOPOLOGIES.register('ring')(1)",
            ["two entries are called topology 'ring': one of hvd-qgenx, one of bad_parts"],
        ),
    ],
    ids=["package", "exit", "syntax", "compressor", "topology"],
)
def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch, text, sentences):
    (tmp_path / "bad_parts.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(main, ["gan", "--plugin", "bad_parts"])
    refused(result, *sentences)
    assert "Traceback" in result.stderr or "SyntaxError" in result.stderr
    assert result.stderr.startswith("Error: plugin bad_parts cannot be imported: ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_parts", "install it, or put the folder that it is in into PYTHONPATH"),
        ("../parts.py", "a plugin is a module, like package.module, not '../parts.py'"),
        ("", "a plugin is a module"),
    ],
)
def test_a_name_that_is_no_module(name, sentence):
    refused(CliRunner().invoke(main, ["gan", "--plugin", name]), sentence)


def test_two_modules_with_one_name(module, tmp_path):
    (tmp_path / "others.py").write_text(MODULE)
    done = call(f"{module}:{tmp_path}", "gan", "--plugin", "my_parts", "--plugin", "others")
    refused(done, "two entries are called compressor 'mine': one of my_parts, one of others")


@pytest.mark.parametrize(
    ("words", "own", "others"),
    [
        ("gan --plugin a --updates 3", "--plugin a", "gan --updates 3"),
        ("--plugin=a gan --plugin b.c --changed-plugins", "--plugin=a --plugin b.c --changed-plugins", "gan"),
        ("mpijob -- gan --plugin a", "", "mpijob -- gan --plugin a"),
        ("gan --plugins a", "", "gan --plugins a"),
    ],
)
def test_where_the_option_stands(words, own, others):
    assert split(words.split()) == (own.split(), others.split())


def test_the_option_needs_a_name():
    refused(CliRunner().invoke(main, ["gan", "--plugin"]), "Option '--plugin' requires an argument.")


@pytest.mark.parametrize(
    "plugins",
    [
        [{"name": "evil_parts", "version": "1", "installed": False}],
        [{"name": "evil_parts", "version": "1", "installed": True}],
        [{"name": "evil_parts; rm -rf /", "version": "$(reboot)", "installed": False}],
        [{"name": ["evil_parts"], "version": "1", "installed": False}],
        ["evil_parts"],
        {"evil_parts": "1"},
        3,
    ],
)
def test_a_file_imports_nothing(tmp_path, monkeypatch, plugins):
    """Whatever a run's config.json lists; it is refused in a sentence."""
    (tmp_path / "evil_parts.py").write_text(f"open({str(tmp_path / 'made')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text(json.dumps({"task": "gan", "compressor": "minmax", "seed": 0, "plugins": plugins}))
    for words in (["gan", "--resume", out], ["evaluate", out], ["sample", out], ["report", out]):
        result = CliRunner().invoke(main, [str(word) for word in words])
        refused(result, "plugin" if words[0] != "report" else str(out))
    assert not (tmp_path / "made").exists()


def test_the_commands_of_the_page(site, module):
    """They are understood with the example installed, and those that train can begin."""
    tried = 0
    for command in documents.commands():
        if command.plugged and not {"--resume", "FILE", "NAME", "mpijob"} & set(command.words):
            tried += 1
            own = [word.replace("mine", "none") for word in command.own]
            ending = ["--show-config"] if own[0] == "gan" else ["--help"]
            done = call(f"{site}:{module}", *own, *ending)
            assert done.returncode == 0, f"{command}: {done.stderr}"
    assert tried >= 3
