"""hvd-qgenx sweep: real runs, stopped and gone on with; what is found before any run."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.sweep import plan, read
from tests import launch
from tests.stopping import stopped_before

TINY = {"updates": 6, "filters": 4, "latent": 8, "batch_size": 8, "log_every": 2, "checkpoint_every": 2}
WORDS = shlex.split("gan --updates 6 --filters 4 --latent 8 --batch-size 8 --log-every 2 --checkpoint-every 2 --seed 5")
MODES = {"full": ("--compressor", "none"), "uq4": ("--bits", "4"), "uq2": ("--bits", "2")}


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def replica_hash(run: Path) -> str:
    return str(json.loads((run / "summary.json").read_text())["replica_hash"])


def sweep_file(folder: Path, modes: str, head: str = "seeds = [5]", options: dict[str, object] = TINY) -> Path:
    lines = [
        f'out = "{folder / "out"}"',
        head,
        "[options]",
        *(f"{k} = {json.dumps(v)}" for k, v in options.items()),
        modes,
    ]
    path = folder / "sweep.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every mode, trained without a pause."""
    folder = tmp_path_factory.mktemp("whole")
    for mode, arguments in MODES.items():
        result = call(*WORDS, *arguments, "--out", folder / mode)
        assert result.exit_code == 0, result.output
    return folder


def interrupt(monkeypatch, move: int, *arguments: object) -> None:
    """Trains until just before a move."""
    with stopped_before(monkeypatch, move):
        assert call(*WORDS, *arguments).exit_code == 130


def test_a_stopped_sweep_goes_on_and_ends_in_the_same_replicas(tmp_path, monkeypatch, whole):
    """Of three runs one is done, one has a checkpoint, and one was stopped before it had one."""
    out = tmp_path / "out"
    shutil.copytree(whole / "full", out / "full-seed5")
    interrupt(monkeypatch, 9, *MODES["uq4"], "--out", out / "uq4-seed5")
    interrupt(monkeypatch, 3, *MODES["uq2"], "--out", out / "uq2-seed5")
    before = (out / "full-seed5" / "summary.json").stat().st_mtime_ns
    modes = "[modes.full]\ncompressor = 'none'\n[modes.uq4]\nbits = 4\n[modes.uq2]\nbits = 2"
    result = call("sweep", sweep_file(tmp_path, modes))
    assert result.exit_code == 0, result.output
    for mode in MODES:
        assert replica_hash(out / f"{mode}-seed5") == replica_hash(whole / mode)
    assert (out / "full-seed5" / "summary.json").stat().st_mtime_ns == before
    assert "gan --resume" in (out / "uq4-seed5.log").read_text()
    assert (out / "uq2-seed5.aside-1" / "config.json").exists()
    assert "3 of 3 runs are done" in result.stderr
    assert all(f"{mode}-seed5" in (out / "report" / "index.html").read_text() for mode in MODES)


def test_a_failing_run_ends_the_sweep_with_code_1(tmp_path, whole):
    out = tmp_path / "out"
    shutil.copytree(whole / "uq4", out / "uq4-seed5")
    failing = "seeds = [5]\nlaunch = \"sh -c 'echo Error: no such host >&2; exit 3'\""
    result = call("sweep", sweep_file(tmp_path, "[modes.uq2]\nbits = 2\n[modes.uq4]\nbits = 4", failing))
    assert result.exit_code == 1
    assert f"uq2-seed5 failed with exit code 3; its log {out / 'uq2-seed5.log'} ends with:" in result.stderr
    assert "  Error: no such host" in result.stderr
    assert "1 of 2 runs are done" in result.stderr
    assert "Error: 1 of 2 runs failed: uq2-seed5 (exit code 3)" in result.stderr
    page = (out / "report" / "index.html").read_text()
    assert "uq4-seed5" in page
    assert "uq2-seed5" not in page


def test_a_dry_run_prints_what_is_left(tmp_path, whole):
    out = tmp_path / "out"
    shutil.copytree(whole / "uq4", out / "uq4-seed5")
    shutil.copytree(whole / "uq2", out / "uq2-seed5")
    (out / "uq2-seed5" / "summary.json").unlink()
    more = "amsgrad = true\nconditional = false\ndownload = true\nlabel = 'wire'"
    modes = f"[modes.new]\n{more}\n[modes.uq4]\nbits = 4\n[modes.uq2]\nbits = 2"
    result = call("sweep", "--dry-run", sweep_file(tmp_path, modes, "seeds = [5]\nlaunch = 'sh -c \"a b\"'"))
    assert result.exit_code == 0, result.output
    new, done, stopped = result.output.splitlines()
    assert shlex.split(new)[1:3] == ["-c", "a b"]
    assert shlex.split(new)[4:7] == ["gan", "--out", str(out / "new-seed5")]
    assert new.endswith("--checkpoint-every 2 --amsgrad --no-conditional --download --label wire --seed 5")
    assert done == f"# {out / 'uq4-seed5'} is done"
    assert f"gan --resume {out / 'uq2-seed5'} --updates 6" in stopped
    assert not (out / "new-seed5").exists()


@pytest.mark.parametrize(
    ("modes", "sentence"),
    [
        ("[modes.uq4]\nbit = 4", "[modes.uq4]: unknown setting 'bit'; did you mean 'bits'?"),
        ("[modes.uq4]\nseed = 4", "[modes.uq4]: seed is not an option of a mode"),
        ("[modes.uq4]\nresume = 'run'", "[modes.uq4]: unknown setting 'resume'"),
        ("[modes.uq4]\nbits = 9", "uq4: minmax: bits must be from 1 to 8, not 9"),
        ("[modes.uq4]\nlevels_at = [1, 2]", "[modes.uq4]: levels_at must be text, not [1, 2]"),
        ("[modes.uq4]\namsgrad = 1", "[modes.uq4]: amsgrad must be true or false, not 1"),
        ("[modes.uq4]\ndownload = 'yes'", "[modes.uq4]: download must be true or false, not 'yes'"),
        ("[modes.uq4]\nlatent = 'many'", "[modes.uq4]: latent must be a whole number, not 'many'"),
        ("[modes.uq4]\ndataset = 'imagenet'", "[modes.uq4]: unknown dataset 'imagenet'"),
        ("[modes.good]\n[modes.uq4]\ncompressor = 'none'\nbits = 4", "uq4: none has no parameter 'bits'"),
        ("[modes.uq4]\npreset = 'small-uq5'", "uq4: unknown preset 'small-uq5'; did you mean 'small-uq"),
        ("[modes.uq4]\npreset = 4", "[modes.uq4]: preset must be a string, not 4"),
        ("[modes.uq4]\npreset = 'PRESET'", "uq4: PRESET: line 1: unknown setting 'bitts'"),
    ],
)
def test_bad_options_are_found_before_any_run(tmp_path, modes, sentence):
    preset = tmp_path / "preset.toml"
    preset.write_text("bitts = 4")
    result = call("sweep", sweep_file(tmp_path, modes.replace("PRESET", str(preset))))
    assert result.exit_code == 2, result.output
    assert sentence.replace("PRESET", str(preset)) in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_sweep_that_contradicts_its_runs(tmp_path, whole):
    shutil.copytree(whole / "uq4", tmp_path / "out" / "uq4-seed5")
    path = sweep_file(tmp_path, "[modes.new]\n[modes.uq4]\nbits = 4", options={**TINY, "batch_size": 16})
    result = call("sweep", path)
    assert result.exit_code == 2
    assert "uq4-seed5 was started with other settings: batch_size was 8, not 16" in result.stderr
    assert not (tmp_path / "out" / "new-seed5").exists()


def test_no_launcher_of_that_name(tmp_path):
    result = call("sweep", sweep_file(tmp_path, "[modes.uq4]", "launch = 'horovodrnu -np 3'"))
    assert (result.exit_code, "there is no program 'horovodrnu'" in result.stderr) == (2, True)


def test_a_sweep_is_not_started_by_a_launcher(tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    result = call("sweep", sweep_file(tmp_path, "[modes.uq4]"))
    assert (result.exit_code, "a sweep starts ranks itself" in result.stderr) == (2, True)


@pytest.mark.parametrize("preset", ["small-nuq", "dcgan_wgan_adam5"])
def test_what_a_sweep_plans_is_what_gan_makes_of_its_words(tmp_path, monkeypatch, preset):
    monkeypatch.delenv("HVD_QGENX_DATA", raising=False)
    options = {"bucket_size": 64, "nesterov": False, "score_every": 0, "checkpoint_every": 2.5}
    modes = f'[modes.it]\npreset = "{preset}"\nbits = 2\ncompressor = "alq"'
    (job,) = plan(read(sweep_file(tmp_path, modes, options=options)))
    result = call("gan", *job.arguments, "--show-config", "--json")
    assert result.exit_code == 0, result.output
    shown = {name: setting["value"] for name, setting in json.loads(result.stdout).items()}
    config = job.config.as_dict()
    config |= config.pop("compressor_parameters")
    assert shown == config
    assert (shown["compressor"], shown["bits"], shown["seed"]) == ("alq", 2, 5)


def test_folder_and_label_may_be_others_than_the_file_says(tmp_path):
    path = sweep_file(tmp_path, "[modes.uq4]\nbits = 4\nlabel = 'wire'")
    result = call("sweep", "--dry-run", path, "--out", tmp_path / "other", "--label", "1 gbit")
    assert result.exit_code == 0, result.output
    words = shlex.split(result.output)
    assert words[words.index("--out") + 1] == str(tmp_path / "other" / "uq4-seed5")
    assert words[words.index("--label") + 1] == "1 gbit"


@pytest.mark.parametrize("path", sorted(Path("jobs/sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_the_project_can_be_run(path):
    assert path.read_text().startswith("# ")
    result = call("sweep", "--dry-run", path)
    if "horovodrun" in path.read_text() and (reason := launch.without_horovod()):
        assert "there is no program 'horovodrun'; install it, or change `launch`" in result.output
        pytest.skip(reason)
    assert result.exit_code == 0, result.output


DIGITS = {"dataset": "digits", "batch_size": 64, "updates": 12, "log_every": 4}
BOTH = "[modes.good]\n[modes.bad]\nlr = 50.0\n"
TABLE = """
[published]
title = "Table 1"
source = "A paper"
score = "top1/raw"
values = { good = 92.5, bad = "diverges" }
"""


def test_runs_that_may_diverge(tmp_path):
    """They are results, beside published ones, and are not started again."""
    head = 'task = "classify"\ndiverging = "allowed"'
    path = sweep_file(tmp_path, BOTH + TABLE, head, DIGITS)
    result = call("sweep", path)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    record = json.loads((out / "bad-seed0/diverged.json").read_text())
    assert record["sentence"].startswith(("Inf or NaN in a gradient", "training has diverged"))
    assert "1 of 2 runs are done\n1 has diverged\n" in result.stderr
    assert f"diverged after update {record['update']}" in result.stdout
    assert "Of 1 pair of modes that the published values tell apart, 1 is in the same order" in result.stdout
    assert "Beside the paper: Table 1" in (out / "report/index.html").read_text()
    before = (out / "bad-seed0.log").read_text()
    assert call("sweep", path).exit_code == 0
    assert (out / "bad-seed0.log").read_text() == before
    assert f"# {out / 'bad-seed0'} has diverged" in call("sweep", "--dry-run", path).output


def test_runs_that_may_not_diverge(tmp_path):
    path = sweep_file(tmp_path, BOTH, 'task = "classify"', DIGITS)
    for _ in range(2):
        result = call("sweep", path)
        assert result.exit_code == 1
        assert "Error: 1 of 2 runs failed: bad-seed0 (diverged after update" in result.stderr
    assert (tmp_path / "out/bad-seed0.log").read_text().count("$ ") == 1


def test_a_published_mode_that_the_sweep_has_not(tmp_path):
    path = sweep_file(tmp_path, BOTH + TABLE.replace("bad =", "worse ="), 'task = "classify"', DIGITS)
    for result in (call("sweep", path), call("report", tmp_path, "--published", path)):
        assert result.exit_code == 2
        assert f"Error: {path}: published.values: unknown mode 'worse'" in result.stderr


WORDS_OF_COMMANDS = "logistic --workers 3 --iterations 40 --method gd"


def commands_file(folder: Path, **words: str) -> Path:
    path = folder / "sweep.toml"
    lines = (f"{name} = {json.dumps(each)}\n" for name, each in words.items())
    path.write_text(f'out = "{folder / "out"}"\n[commands]\n{"".join(lines)}')
    return path


def test_commands_are_run_once_and_shown_on_a_page(tmp_path):
    path = commands_file(tmp_path, convex=WORDS_OF_COMMANDS, gossip="consensus --ranks 3 --rounds 20")
    result = call("sweep", path)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    page = (out / "report/index.html").read_text()
    assert f"hvd-qgenx {WORDS_OF_COMMANDS}" in page
    assert "squared distance" in page
    assert page.count("data:image/png;base64,") == 2
    assert {each.name for each in (out / "convex").glob("[!.]*.*")} == {
        *("config.json", "logistic.csv", "logistic.png", "summary.json", "words.json")
    }
    before = (out / "convex.log").read_text()
    assert call("sweep", path).exit_code == 0
    assert (out / "convex.log").read_text() == before
    other = call("sweep", commands_file(tmp_path, convex="logistic --workers 4"))
    assert other.exit_code == 2
    assert "convex holds the results of other words" in other.stderr


def test_a_command_that_fails(tmp_path):
    path = commands_file(tmp_path, convex="logistic --data no-such.libsvm", gossip="consensus --ranks 3 --rounds 20")
    result = call("sweep", path)
    assert result.exit_code == 1
    assert "1 of 2 commands are done" in result.stderr
    assert "Error: 1 of 2 commands failed: convex (exit code 2); see their logs" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("logistics", "commands.it: there is no command 'logistics'"),
        ("logistic --lrr 1", "commands.it: No such option"),
        ("logistic --lr many", "commands.it: Invalid value for '--lr'"),
        ("doctor", "commands.it: No such option"),
    ],
)
def test_words_that_are_no_command(tmp_path, words, sentence):
    result = call("sweep", commands_file(tmp_path, it=words))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_commands_have_no_label(tmp_path):
    result = call("sweep", commands_file(tmp_path, it="logistic"), "--label", "1 gbit")
    assert (result.exit_code, "--label is for training runs" in result.stderr) == (2, True)
