"""Sweeps: their file, what folders tell, and processes, with programs that only look like training."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.sweep import Command, Commands, Job, Standing, drive, plan_commands, process, read
from hvd_qgenx.tasks.gan.settings import GanConfig
from tests.launch import until

CONFIG = GanConfig(updates=6).completed()

TRAINS = """
import json, pathlib, sys
where, folder, words = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
print(where, *words)
if "--fail" in words:
    print("Error: it went wrong")
    sys.exit(3)
if "--leave" in words:
    sys.exit()
if "--diverge" in words:
    folder.mkdir(exist_ok=where == "--resume")
    (folder / "config.json").touch()
    (folder / "metrics.csv").write_text("update,loss\\n2,0\\n")
    print("[1,3]<stderr>:Error: the loss is nan")
    print("[1,3]<stderr>:Training has diverged after update 3.")
    sys.exit(1)
folder.mkdir(exist_ok=where == "--resume")
(folder / "metrics.csv").write_text("update,loss\\n2,0\\n4,0\\n6,0\\n")
(folder / "summary.json").write_text(json.dumps({"updates": 6}))
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def job(folder: Path, *arguments: str, config: GanConfig = CONFIG) -> Job:
    return Job(RunFolder(folder), arguments, config)


def leave(folder: Path, *, updates: int = 0, rows: str = "", checkpoint: bool = False, **changes: object) -> Job:
    """A folder as a run leaves it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG.as_dict(), "ranks": 3, **changes}))
    (folder / "metrics.csv").write_text(f"update,loss\n{rows}")
    if checkpoint:
        (folder / "checkpoint.pt").touch()
    if updates:
        (folder / "summary.json").write_text(json.dumps({"updates": updates}))
    return job(folder)


def diverge(folder: Path, **changes: object) -> Job:
    """A folder as a run leaves it that diverges after update 3."""
    run = leave(folder, rows="2,0\n", checkpoint=True, **changes)
    (folder / "diverged.json").write_text(json.dumps({"update": 3, "sentence": "the loss is nan"}))
    return run


class TestFile:
    def test_every_mode_has_the_common_options_and_its_own(self, tmp_path):
        text = """
            out = "here"
            launch = "mpirun -np 3 -x 'A=b c'"
            presets = ["small-full", "jobs/mine.toml"]
            seeds = [3, 1]
            [options]
            updates = 9
            bits = 2
            [modes.coded]
            preset = "small-uq4"
            bits = 4
        """
        sweep = read(write(tmp_path / "s.toml", text))
        assert sweep.out == Path("here")
        assert sweep.launch == ("mpirun", "-np", "3", "-x", "A=b c")
        assert sweep.seeds == (3, 1)
        assert sweep.modes == {
            "small-full": {"updates": 9, "bits": 2, "preset": "small-full"},
            "mine": {"updates": 9, "bits": 2, "preset": "jobs/mine.toml"},
            "coded": {"updates": 9, "bits": 4, "preset": "small-uq4"},
        }

    def test_one_rank_and_one_seed_in_a_folder_of_the_files_name_unless_told(self, tmp_path):
        sweep = read(write(tmp_path / "mine.toml", "[modes.a]"))
        assert (sweep.out, sweep.launch, sweep.seeds) == (Path("runs/mine"), (), (0,))

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("presets = ['small-full']\n[options]\nupdates = 9\nbatch_sise = 12", r"line 4, \[options\]"),
            ("[modes.a]\nbits = 2\n[modes.b]\n# batch_sise = 1\n batch_sise= 12", r"line 5, \[modes\.b\]"),
            ("modes = { a = { batch_sise = 12 } }", r"\[modes\.a\]"),
        ],
    )
    def test_a_misspelt_option_is_blamed_on_its_line(self, tmp_path, text, place):
        with pytest.raises(
            ConfigurationError, match=rf"s\.toml: .*{place}.*unknown setting 'batch_sise'; did you mean"
        ):
            read(write(tmp_path / "s.toml", text))

    def test_a_home_folder_is_expanded(self, tmp_path):
        assert read(write(tmp_path / "s.toml", "out = '~/runs'\n[modes.a]")).out == Path.home() / "runs"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("presets = [", "s.toml is not TOML"),
            ("preset = ['a']", "unknown key 'preset'; did you mean 'presets'?"),
            ("presets = 'a'", "presets must be a list of names or paths of presets, not 'a'"),
            ("presets = [1]", "presets must be a list"),
            ("", "there is nothing to run"),
            ("presets = []\n[modes]", "there is nothing to run"),
            ("presets = ['a']\nseeds = []", "seeds must be one or more different numbers"),
            ("presets = ['a']\nseeds = [1, 2, 1]", "seeds must be one or more different numbers"),
            ("presets = ['a']\nseeds = [0x" + "f" * 5000 + "]", "seed must be at most"),
            ('out = "a\\u0000"', "out holds the character"),
            ("presets = ['a']\nseeds = [0.5]", "seeds must be a list of whole numbers"),
            ("presets = ['a']\nseeds = [true]", "seeds must be a list of whole numbers"),
            ("presets = ['a']\nout = 1", "out must be a string"),
            ("presets = ['a']\nlaunch = ['mpirun']", "launch must be a string"),
            ("presets = ['a']\nlaunch = \"mpirun '\"", "launch cannot be split into words"),
            ("presets = ['a']\noptions = 1", "options must be a table"),
            ("modes = ['a']", "modes must be a table"),
            ("[modes]\na = 1", "modes.a must be a table"),
            ("presets = ['a', 'dir/a.toml']", "there are 2 modes called 'a'"),
            ("presets = ['a']\n[modes.a]", "there are 2 modes called 'a'"),
            ("[modes.'../a']", "the mode '../a' cannot be the name of a folder"),
            ("[modes.'']", "the mode '' cannot be the name of a folder"),
            ("presets = ['a']\ndiverging = 'allow'", "unknown value of diverging 'allow'; did you mean 'allowed'?"),
            ("presets = ['a']\ndiverging = true", "diverging must be a string, not True"),
            ("presets = ['a']\npublished = 1", "published must be a table"),
            ("presets = ['a']\n[published]\ntitle = 't'", "published.source is missing"),
            (
                "presets = ['a']\n[published]\ntitle = 't'\nsource = 's'\nscore = 'fid/raw'\nvalues = {b = 1}",
                "published.values: unknown mode 'b'",
            ),
            ("seeds = [1]\n[commands]\na = 'logistic'", "seeds is for training runs"),
            ("commands = 1", "commands must be a table"),
            ("[commands]", "[commands] needs words"),
            ("[commands]\na = ''", "[commands] needs words"),
            ("[commands]\na = ['logistic']", "commands.a must be a string"),
            ('[commands]\na = "logistic \'"', "commands.a cannot be split into words"),
            ("[commands]\n'../a' = 'logistic'", "the command '../a' cannot be the name of a folder"),
            ("[commands]\nreport = 'logistic'", "a command cannot be called 'report'"),
        ],
    )
    def test_what_cannot_be_meant(self, tmp_path, text, sentence):
        with pytest.raises(ConfigurationError) as error:
            read(write(tmp_path / "s.toml", text))
        assert sentence in str(error.value)
        assert "s.toml" in str(error.value)

    def test_whether_runs_may_diverge(self, tmp_path):
        assert not read(write(tmp_path / "s.toml", "[modes.a]")).may_diverge
        assert not read(write(tmp_path / "s.toml", "diverging = 'fails'\n[modes.a]")).may_diverge
        assert read(write(tmp_path / "s.toml", "diverging = 'allowed'\n[modes.a]")).may_diverge

    def test_commands_are_words_by_name(self, tmp_path):
        text = "out = 'here'\n[commands]\na5a = 'logistic --data \"a b\"'\ngossip = 'consensus'"
        found = read(write(tmp_path / "s.toml", text))
        assert found == Commands(Path("here"), (), {"a5a": ("logistic", "--data", "a b"), "gossip": ("consensus",)})
        assert read(write(tmp_path / "s.toml", "[commands]\na = 'game'")).out == Path("runs/s")

    def test_no_file(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"s\.toml cannot be read: No such file"):
            read(tmp_path / "s.toml")


class TestJob:
    def test_standing(self, tmp_path):
        assert job(tmp_path / "none").standing() is Standing.NEW
        assert leave(tmp_path / "begun", rows="2,0\n").standing() is Standing.STARTED
        assert leave(tmp_path / "stopped", checkpoint=True).standing() is Standing.STOPPED
        assert leave(tmp_path / "done", checkpoint=True, updates=6).standing() is Standing.DONE
        assert leave(tmp_path / "longer-asked", checkpoint=True, updates=5).standing() is Standing.STOPPED

    def test_a_run_that_diverged_has_ended(self, tmp_path):
        run = diverge(tmp_path / "run")
        assert run.standing() is Standing.DIVERGED
        assert run.standing().ended
        assert (run.done(), str(run.divergence)) == (2, "diverged after update 3")
        (tmp_path / "run/summary.json").write_text('{"updates": 6}')
        assert run.standing() is Standing.DONE

    def test_a_run_that_diverged_under_other_settings(self, tmp_path):
        with pytest.raises(ConfigurationError, match="batch_size was 48, not 96"):
            diverge(tmp_path / "run", batch_size=48).check()

    def test_updates_done_are_those_of_whole_rows(self, tmp_path):
        assert job(tmp_path / "none").done() == 0
        assert leave(tmp_path / "empty").done() == 0
        assert leave(tmp_path / "some", rows="2,0\n4,0\n6,").done() == 4
        assert leave(tmp_path / "many", rows="".join(f"{row},0\n" for row in range(2000))).done() == 6
        assert leave(tmp_path / "done", updates=6).done() == 6

    def test_a_stopped_run_is_resumed_with_its_options(self, tmp_path):
        new, stopped = tmp_path / "new", tmp_path / "stopped"
        leave(stopped, checkpoint=True)
        assert job(new, "--bits", "4").words() == ["--out", str(new), "--bits", "4"]
        assert job(stopped, "--bits", "4").words() == ["--resume", str(stopped), "--bits", "4"]

    def test_folders_are_set_aside_under_names_of_their_own(self, tmp_path):
        first = leave(tmp_path / "run", rows="1,0\n").set_aside()
        second = leave(tmp_path / "run", rows="2,0\n").set_aside()
        assert [path.name for path in (first, second)] == ["run.aside-1", "run.aside-2"]
        assert (first / "metrics.csv").read_text().endswith("1,0\n")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("updates", [0, 6])
    def test_a_run_that_began_otherwise_is_not_gone_on_with(self, tmp_path, updates):
        changes = {"batch_size": 48, "compressor_parameters": {**CONFIG.compressor_parameters, "bits": 2}}
        other = leave(tmp_path / "run", checkpoint=True, updates=updates, **changes)
        with pytest.raises(ConfigurationError, match=r"batch_size was 48, not 96; bits was 2, not 4; change the"):
            other.check()

    def test_what_does_not_change_an_update_may_differ(self, tmp_path):
        leave(tmp_path / "run", checkpoint=True, log_every=77, data_dir="elsewhere", updates=3).check()
        leave(tmp_path / "begun", batch_size=48).check()  # begins again
        job(tmp_path / "new").check()

    def test_a_run_with_more_updates_than_asked(self, tmp_path):
        with pytest.raises(ConfigurationError, match="already has 8 updates, more than 6"):
            leave(tmp_path / "run", checkpoint=True, updates=8).check()


class TestDrive:
    @pytest.fixture
    def launch(self, tmp_path, monkeypatch):
        monkeypatch.setattr(process, "LOOK", 0.02)
        return [sys.executable, "-S", str(write(tmp_path / "train.py", TRAINS))]

    def test_only_what_is_left_is_run(self, tmp_path, launch, capfd):
        done = leave(tmp_path / "done", updates=6)
        stopped = leave(tmp_path / "stopped", rows="2,0\n", checkpoint=True)
        begun, new = leave(tmp_path / "begun", rows="4,0\n"), job(tmp_path / "new", "--bits", "4")
        jobs = [done, stopped, begun, new]
        assert drive(jobs, launch) == []
        assert all(each.standing() is Standing.DONE for each in jobs)
        assert not done.log.exists()
        assert stopped.log.read_text().splitlines()[1] == "--resume"
        assert begun.log.read_text().splitlines()[1] == "--out"
        assert (tmp_path / "begun.aside-1" / "metrics.csv").read_text().endswith("4,0\n")
        assert "--bits 4" in new.log.read_text().splitlines()[0]
        printed = capfd.readouterr().err
        assert "begun has no checkpoint; it is kept as" in printed
        assert "24/24" in printed  # all updates of all runs

    def test_a_failing_run_does_not_stop_the_others(self, tmp_path, launch, capfd):
        jobs = [job(tmp_path / "bad", "--fail"), job(tmp_path / "lazy", "--leave"), job(tmp_path / "good")]
        assert drive(jobs, launch) == [(jobs[0], 3), (jobs[1], 0)]
        assert jobs[2].standing() is Standing.DONE
        printed = capfd.readouterr().err
        assert f"bad failed with exit code 3; its log {tmp_path / 'bad.log'} ends with:" in printed
        assert "Error: it went wrong" in printed
        assert "6/6" in printed

    def test_a_log_keeps_what_earlier_attempts_printed_and_shows_only_the_last(self, tmp_path, launch, capfd):
        failing = job(tmp_path / "bad", "--fail")
        drive([failing], launch)
        write(Path(launch[-1]), "import sys; print('another', end=''); sys.exit(1)")
        capfd.readouterr()
        drive([failing], launch)
        drive([failing], launch)
        lines = failing.log.read_text().splitlines()
        assert sum(line.startswith("$ ") for line in lines) == 3
        assert "Error: it went wrong" in lines
        printed = capfd.readouterr().err
        assert "another" in printed
        assert "it went wrong" not in printed

    def test_a_run_that_diverges_is_not_started_again(self, tmp_path, launch, capfd):
        """Its ranks may be on hosts without its folder: the line they print is enough."""
        old, new = diverge(tmp_path / "old"), job(tmp_path / "new", "--diverge")
        assert drive([old, new], launch) == []
        assert not old.log.exists()
        assert new.standing() is Standing.DIVERGED
        assert (new.divergence.update, new.divergence.sentence) == (3, "the loss is nan")
        printed = capfd.readouterr().err
        assert "new diverged after update 3" in printed
        assert "4/4" in printed
        before = new.log.read_text()
        assert drive([old, new], launch) == []
        assert new.log.read_text() == before


class TestCommand:
    WRITES = """
import pathlib, sys
*words, where, folder = sys.argv[1:]
print("printed", *words)
(pathlib.Path(folder) / "config.json").touch()
if "fail" not in words:
    (pathlib.Path(folder) / "summary.json").write_text("{}")
"""

    @pytest.fixture
    def launch(self, tmp_path, monkeypatch):
        monkeypatch.setattr(process, "LOOK", 0.02)
        return [sys.executable, "-S", str(write(tmp_path / "command.py", self.WRITES))]

    def test_it_is_done_when_its_results_are_there(self, tmp_path, launch):
        command = Command(RunFolder(tmp_path / "out"), ("logistic", "--lr", "1"))
        assert (command.standing(), command.done()) == (Standing.NEW, 0)
        assert drive([command], launch) == []
        assert (command.standing(), command.done()) == (Standing.DONE, 1)
        assert command.printed() == "printed logistic --lr 1\n"
        drive([command], launch)
        assert command.log.read_text().count("$ ") == 1

    def test_one_without_results_starts_again(self, tmp_path, launch):
        command = Command(RunFolder(tmp_path / "out"), ("fail",))
        assert drive([command], launch) == [(command, 0)]
        assert command.standing() is Standing.STARTED
        command = Command(command.folder, ("logistic",))
        command.check()
        assert drive([command], launch) == []
        assert command.printed() == "printed logistic\n"
        assert (tmp_path / "out.aside-1/config.json").exists()

    def test_results_of_other_words(self, tmp_path, launch):
        drive([Command(RunFolder(tmp_path / "out"), ("logistic", "--lr", "1"))], launch)
        with pytest.raises(ConfigurationError, match=r"out: .* results of other words: logistic --lr 1; change"):
            plan_commands(Commands(tmp_path, (), {"out": ("logistic",)}))


class TestProcess:
    @pytest.mark.parametrize("trap", ["", "trap '' TERM;"], ids=["gentle", "deaf"])
    def test_an_interrupt_ends_all_that_was_started(self, tmp_path, monkeypatch, trap):
        monkeypatch.setattr(process, "LOOK", 0.02)
        monkeypatch.setattr(process, "GRACE", 0.3)
        started = tmp_path / "pid"

        def interrupt() -> None:
            if started.exists() and started.read_text().endswith("\n"):
                raise KeyboardInterrupt

        script = f"{trap} sleep 600 & echo $! > {started}; wait"
        with pytest.raises(KeyboardInterrupt):
            process.run(["sh", "-c", script], tmp_path / "log", interrupt, ())
        pid = int(started.read_text())
        until(lambda: not psutil.pid_exists(pid), 10, "the end of what was started")

    def test_a_program_that_is_not_there(self):
        with pytest.raises(ConfigurationError, match="there is no program 'mpiexecute'"):
            process.program("mpiexecute")

    def test_one_sweep_at_a_time_also_behind_a_run_left_behind(self, tmp_path):
        left = None
        with process.alone(tmp_path) as lock:
            with pytest.raises(ConfigurationError, match="in use by a sweep"), process.alone(tmp_path):
                pass
            left = subprocess.Popen(["sleep", "600"], pass_fds=[lock])
        try:
            with pytest.raises(ConfigurationError, match="in use by a sweep"), process.alone(tmp_path):
                pass
        finally:
            left.kill()
            left.wait()
        with process.alone(tmp_path):
            pass

    def test_a_run_inherits_what_it_is_told_to(self, tmp_path):
        with process.alone(tmp_path) as lock:
            words = [sys.executable, "-S", "-c", f"import os; os.fstat({lock})"]
            assert process.run(words, tmp_path / "log", lambda: None, [lock]) == 0
            assert process.run(words, tmp_path / "log", lambda: None, []) != 0

    def test_a_folder_that_cannot_be(self, tmp_path):
        write(tmp_path / "file", "")
        with pytest.raises(ConfigurationError, match="cannot write to"), process.alone(tmp_path / "file"):
            pass
