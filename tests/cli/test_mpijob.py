"""hvd-qgenx mpijob: what it writes, what it refuses to write, and what it says of manifests."""

import shlex
from itertools import pairwise

import pytest
import yaml
from click.testing import CliRunner

from hvd_qgenx import mpijob
from hvd_qgenx.cli import main
from hvd_qgenx.mpijob.place import dotted
from tests.mpijob.broken import MISPLACED, MISSPELT, MISTYPED
from tests.mpijob.files import GONE, JOBS, ROOT, changed, container, parts

BROKEN = MISTYPED | {path: value for path, (value, _) in (MISSPELT | MISPLACED).items()}
"""Every broken manifest, by the place of the change."""


def call(*arguments: object, **settings: object):
    return CliRunner().invoke(main, ["mpijob", *map(str, arguments)], **settings)


def written(*arguments: object):
    """The manifest of a call, and the words of its launcher after hvd-qgenx."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    (job,) = mpijob.load(result.stdout, "output")
    words = container(job, "Launcher")["args"]
    return job, words[words.index("hvd-qgenx") + 1 :]


@pytest.mark.parametrize("path", JOBS)
def test_jobs_are_what_their_first_line_writes(path, tmp_path, monkeypatch):
    kept = (ROOT / path).read_text()
    program, command, *arguments = shlex.split(kept.partition("\n")[0].removeprefix("# "))
    assert (program, command) == ("hvd-qgenx", "mpijob")
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / path).read_text() == kept


def test_training_keeps_its_run_and_expects_its_ranks():
    _, words = written("--name", "try", "--gpus", 2, "--", "gan", "--updates", 5)
    assert words == shlex.split("gan --expect-ranks 6 --expect-hosts 3 --out /runs/try --continue --updates 5")


def test_what_the_user_says_stays():
    _, words = written("--", "gan", "--out", "/runs/other/one")
    assert words == shlex.split("gan --expect-ranks 3 --expect-hosts 3 --continue --out /runs/other/one")
    _, words = written("--", "gan", "--resume", "/runs/one")
    assert words == shlex.split("gan --expect-ranks 3 --expect-hosts 3 --resume /runs/one")
    _, words = written("--", "bench", "exchange", "--numel", "1e6")
    assert words == shlex.split("bench exchange --expect-ranks 3 --expect-hosts 3 --numel 1e6")


def test_an_elastic_job_goes_by_the_hosts_that_there_are():
    job, words = written("--elastic", "2:3", "gan", "--commit-every", "5")
    assert words == shlex.split("gan --elastic --out /runs/hvd-qgenx --continue --commit-every 5")
    start = container(job, "Launcher")
    assert start["command"] == ["horovodrun"]
    assert "--min-np 2 --max-np 3 --host-discovery-script /etc/mpi/discover_hosts.sh" in " ".join(start["args"])


def test_settings_reach_the_manifest():
    job, _ = written(
        *("--namespace", "research", "--image", "me/image:1", "--cpus", 3, "--memory", "9Gi", "--shm", "2Gi"),
        *("--runs-claim", "mine", "--data-claim", "sets", "--backoff-limit", 1, "--ttl", 2, "--deadline", 3),
        *("--stall-seconds", 60, "--grace-seconds", 90, "--env", "NCCL_DEBUG=INFO", "--env", "A=$(B)", "--", "gan"),
    )
    policy, worker = job["spec"]["runPolicy"], container(job, "Worker")
    pod = job["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
    assert job["metadata"]["namespace"] == "research"
    assert (policy["backoffLimit"], policy["ttlSecondsAfterFinished"], policy["activeDeadlineSeconds"]) == (1, 2, 3)
    assert worker["resources"]["limits"] == {"cpu": "3", "memory": "9Gi"}
    assert pod["terminationGracePeriodSeconds"] == 90
    assert [next(iter(volume.values())) for volume in pod["volumes"]] == ["shm", "runs", "data"]
    assert pod["volumes"][1]["persistentVolumeClaim"] == {"claimName": "mine"}
    assert {container(job, role)["image"] for role in ("Launcher", "Worker")} == {"me/image:1"}
    variables = {entry["name"]: entry["value"] for entry in container(job, "Launcher")["env"]}
    assert variables["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"] == "60"
    assert (variables["NCCL_DEBUG"], variables["HVD_QGENX_DATA"]) == ("INFO", "/data")
    assert variables["A"] == "$$(B)", "Kubernetes would put in a variable's value"
    words = container(job, "Launcher")["args"]
    exported = [word for flag, word in pairwise(words) if flag == "-x"]
    assert exported == ["PATH", *variables]


def test_words_of_the_user_are_arguments_and_nothing_else():
    label = "'; touch never; $(HOME) `id`"
    job, words = written("--", "gan", "--label", label)
    assert words[-1] == label.replace("$(", "$$(")
    assert mpijob.rules.launch(job).command[-1] == label
    for pod in job["spec"]["mpiReplicaSpecs"].values():
        assert "touch never" not in str(pod["template"]["spec"]["containers"][0]["lifecycle"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("-- gan --updats 5", "No such option '--updats'"),
        ("-- gan --updates five", "'five' is not a valid integer"),
        ("-- gan --preset uq5", "unknown preset 'uq5'"),
        ("-- gan --compressor minmix", "unknown compressor 'minmix'"),
        ("-- gan --batch-size 2", "a batch of 2 cannot be split over 3 ranks"),
        ("-- gan --device gpu", "unknown device 'gpu'"),
        ("-- gna", "No such command 'gna'"),
        ("-- bench exchanges", "No such command 'exchanges'"),
        ("-- bench", "Missing command; what is to run follows --"),
        ("", "Missing command; what is to run follows --"),
        ("-- sweep file.toml", "sweep does not run on ranks of a launcher"),
        ("-- gan --out runs/here", "--out runs/here would be lost with its pod; choose a folder in /runs"),
        ("-- gan --out /runs/../tmp", "choose a folder in /runs"),
        ("-- gan --elastic", "say between how many ranks: hvd-qgenx mpijob --elastic 2:3"),
        ("--elastic 2:3 -- bench exchange", "bench exchange cannot lose ranks; leave out --elastic"),
        ("--elastic 3:2 -- gan", "'3:2' is not of the form MIN:MAX"),
        ("--elastic 2:4 -- gan", "--max-np 4 asks for 4 ranks, but 3 hosts with 1 slots each have room for 3"),
        ("-- gan --expect-ranks 2", "--expect-ranks 2, but -np 3"),
        ("--name Job -- gan", "'Job' must consist of lower-case letters"),
        ("--memory 4GB -- gan", "'4GB' is not an amount like 500m, 2 or 8Gi"),
        ("--env A -- gan", "'A' is not of the form NAME=VALUE"),
        ("--image x:openmpi5 -- gan", "this looks like Open MPI 5"),
        ("-- gan --label 'a\nb'", "holds characters that cannot be printed"),
        ("--out /nowhere/job.yaml -- gan", "cannot write to /nowhere/job.yaml"),
        ("--check job.yaml -- gan", "No such file or directory"),
        ("--check - -- gan", "--check takes no COMMAND"),
    ],
)
def test_what_could_not_run_is_not_written(arguments, sentence):
    result = call(*shlex.split(arguments))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert sentence in result.stderr


def test_findings_are_lines_and_errors_exit_code_2(data_dir):
    job, _ = written("--", "gan")
    job["spec"]["slotPerWorker"] = 1
    del job["spec"]["runPolicy"]["cleanPodPolicy"]
    container(job, "Launcher")["args"][-1] = "--contine"
    text = yaml.safe_dump_all([{"kind": "Service"}, job, 3])
    result = call("--check", "-", "--crd", data_dir / "mpijob-crd.yaml", input=text)
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert [
        line.partition(" MPIJob hvd-qgenx: ")[2].partition(";")[0].partition(" (Did")[0] for line in lines[1:4]
    ] == [
        "warning: spec.runPolicy.cleanPodPolicy: workers, and their GPUs, are kept after the end of the job",
        "error: spec.slotPerWorker: unknown field 'slotPerWorker'",
        "error: spec.mpiReplicaSpecs.Launcher.template.spec.containers[0]: `hvd-qgenx gan --expect-ranks 3 "
        "--expect-hosts 3 --out /runs/hvd-qgenx --contine`: No such option '--contine'.",
    ]
    assert "must be a mapping with apiVersion" in result.stdout
    assert result.stderr == "Error: 3 errors; repair what is listed and check again\n"


def test_jobs_are_checked_strictly_without_a_definition():
    result = call("--check", ROOT / JOBS[0], env={"HVD_QGENX_CRD": None})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(": ok\n")


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_manifest_is_refused_without_a_definition(path):
    text = yaml.safe_dump(changed(path, BROKEN[path]))
    result = call("--check", "-", input=text, env={"HVD_QGENX_CRD": None})
    assert result.exit_code == 2
    assert f": error: {dotted(parts(path))}: " in result.stdout


def test_every_broken_manifest_is_refused_with_a_definition(data_dir):
    text = yaml.safe_dump_all([changed(path, value) for path, value in BROKEN.items()])
    result = call("--check", "-", input=text, env={"HVD_QGENX_CRD": str(data_dir / "mpijob-crd.yaml")})
    assert result.exit_code == 2
    assert ": ok" not in result.stdout
    for path in BROKEN:
        assert f": error: {dotted(parts(path))}: " in result.stdout


@pytest.mark.parametrize("kind", ["MpiJob", "MPIJbo", 3, None, GONE])
def test_a_job_of_a_misspelt_kind_is_not_passed_over(kind):
    result = call("--check", "-", input=yaml.safe_dump(changed("kind", kind)))
    assert result.exit_code == 2
    assert "error: kind: must be MPIJob, not" in result.stdout


def test_a_schema_of_something_else_is_refused():
    result = call("--check", ROOT / JOBS[0], "--crd", ROOT / JOBS[1])
    assert result.exit_code == 2
    assert "does not define any of MPIJob v2beta1, TrainJob v1alpha1" in result.stderr


def test_a_job_that_asks_for_help_trains_nothing():
    job, _ = written("--", "gan")
    container(job, "Launcher")["args"].append("--help")
    result = call("--check", "-", input=yaml.safe_dump(job))
    assert result.exit_code == 2
    assert "asks for help, and trains nothing" in result.stdout
    assert "Usage:" not in result.stdout
