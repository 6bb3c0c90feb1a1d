"""hvd-qgenx trainjob: what it writes, what it refuses to write, and what it says of manifests."""

import shlex

import pytest
import yaml
from click.testing import CliRunner

from hvd_qgenx import mpijob, trainjob
from hvd_qgenx.cli import main
from tests.mpijob.files import DEMO
from tests.trainjob.files import FILES, JOB, ROOT, RUNTIME, changed, good, put


def call(*arguments: object, command: str = "trainjob", **settings: object):
    return CliRunner().invoke(main, [command, *map(str, arguments)], **settings)


def written(*arguments: object):
    """The manifests of a call, and the words of the container that gets the command."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    documents = mpijob.load(result.stdout, "output")
    training = trainjob.joined(documents[JOB], documents[:1])
    assert training is not None
    return documents, training.words


@pytest.mark.parametrize("path", FILES.values())
def test_jobs_are_what_their_first_line_writes(path, tmp_path, monkeypatch):
    kept = (ROOT / path).read_text()
    program, command, *arguments = shlex.split(kept.partition("\n")[0].removeprefix("# "))
    assert (program, command) == ("hvd-qgenx", "trainjob")
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / path).read_text() == kept


@pytest.mark.parametrize("command", ["mpijob", "trainjob"])
def test_both_commands_check_every_kind(command):
    files = [word for path in (*FILES.values(), DEMO) for word in ("--check", ROOT / path)]
    result = call(*files, "--check", ROOT / "jobs/mpijob/runs-claim.yaml", command=command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.rpartition(": ")[2] for line in result.stdout.splitlines()[:-1]] == ["ok"] * 5
    assert "passed over, it is no MPIJob, TrainJob" in result.stdout.splitlines()[-1]


def test_torchrun_learns_its_nodes_from_the_operator():
    (runtime, job), words = written("--nodes", 2, "--procs-per-node", 2, "--", "gan", "--updates", 5)
    line = "gan --expect-ranks 4 --expect-hosts 2 --out /runs/hvd-qgenx --continue --updates 5"
    assert words == shlex.split(f"torchrun --no-python hvd-qgenx {line}")
    assert (job["spec"]["trainer"]["numNodes"], job["spec"]["trainer"]["numProcPerNode"]) == (2, 2)
    assert runtime["spec"]["mlPolicy"]["torch"] == {}


def test_mpirun_is_told_of_the_hostfile_and_of_all_variables():
    (_, job), words = written("--launcher", "mpi", "--gpus", 2, "--env", "NCCL_DEBUG=$(A)", "--", "gan")
    assert words[:5] == ["mpirun", "--hostfile", "/etc/mpi/hostfile", "-np", "6"]
    for entry in job["spec"]["trainer"]["env"]:
        assert words[words.index(entry["name"]) - 1] == "-x"
    assert job["spec"]["trainer"]["env"][-1] == {"name": "NCCL_DEBUG", "value": "$$(A)"}


def test_a_runtime_may_be_of_a_namespace():
    (runtime, job), _ = written("--namespaced", "--namespace", "research", "--", "gan")
    assert (runtime["kind"], runtime["metadata"]["namespace"]) == ("TrainingRuntime", "research")
    assert job["spec"]["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org",
        "kind": "TrainingRuntime",
        "name": "hvd-qgenx",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("-- gan --updats 5", "No such option '--updats'"),
        ("-- gan --batch-size 2", "a batch of 2 cannot be split over 3 ranks"),
        ("-- gan --out runs/here", "--out runs/here would be lost with its pod; choose a folder in /runs"),
        ("-- gan --elastic", "say between how many ranks: hvd-qgenx mpijob --elastic 2:3"),
        ("-- gan --expect-ranks 2", "--expect-ranks 2, but 3 nodes with 1 ranks each are 3 ranks"),
        ("--launcher mpi --image python:3 -- gan", "python:3 has no ssh server, by which mpirun starts ranks"),
        ("--env PET_NNODES=1 -- gan", "PET_NNODES is the operator's own; leave it out"),
        ("--launcher slurm -- gan", "'slurm' is not one of 'torch', 'mpi'"),
        (f"--name {'a' * 60} -- gan", "so shorten the name by"),
        ("--check - -- gan", "--check takes no COMMAND"),
    ],
)
def test_what_could_not_run_is_not_written(arguments, sentence):
    result = call(*shlex.split(arguments))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert sentence in result.stderr


def test_the_command_and_its_folder_are_checked_with_the_runtime():
    lost = good("torch", command=("gan", "--expect-ranks", "3", "--out", "/tmp/run"))
    wrong = good("mpi", name="wrong", command=("gan", "--expect-ranks", "3", "--out", "/runs/x", "--contine"))
    result = call("--check", "-", input=yaml.safe_dump_all([*lost, *wrong]))
    assert result.exit_code == 2
    assert "TrainJob job: error: spec.trainer.command: --out /tmp/run is on no volume of node" in result.stdout
    assert "TrainJob wrong: error: spec.trainer.command: `hvd-qgenx gan --expect-ranks 3" in result.stdout
    assert "No such option '--contine'" in result.stdout
    assert result.stderr == "Error: 2 errors; repair what is listed and check again\n"


def test_a_runtime_of_another_file_is_found(tmp_path):
    runtime, job = changed("torch", JOB, "spec.trainer.numNodes", 2)
    (tmp_path / "runtime.yaml").write_text(yaml.safe_dump(runtime))
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    alone = call("--check", tmp_path / "job.yaml")
    assert (alone.exit_code, "is not here" in alone.stdout) == (0, True)
    both = call("--check", tmp_path / "job.yaml", "--check", tmp_path / "runtime.yaml")
    assert both.exit_code == 2
    assert "--expect-ranks 3, but 2 nodes with 1 ranks each are 2 ranks" in both.stdout


@pytest.mark.parametrize(("which", "kind"), [(JOB, "TrainJbo"), (JOB, "trainjob"), (RUNTIME, "TrainingRunTime")])
def test_a_misspelt_kind_is_not_passed_over(which, kind):
    documents = good("torch")
    put(documents[which], "kind", kind)
    result = call("--check", "-", input=yaml.safe_dump_all(documents))
    assert result.exit_code == 2
    assert "error: kind: must be " in result.stdout
