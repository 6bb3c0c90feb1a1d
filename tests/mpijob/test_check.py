"""Broken manifests: a good one with one change each, and the sentence that tells of it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from hvd_qgenx import mpijob
from hvd_qgenx.mpijob import ERROR, WARNING, Job, schema
from hvd_qgenx.mpijob.nodes import PRESERVES, Schema
from tests.mpijob.files import BOX, GONE, LAUNCHER, WORKER, changed, good


def told(document: Any, strict: Schema | None = None) -> list[str]:
    return [str(finding) for finding in mpijob.check(document, strict)]


BROKEN = [
    ("apiVersion", "kubeflow.org/v1", ("error: apiVersion: must be kubeflow.org/v2beta1, not 'kubeflow.org/v1'")),
    ("kind", "MpiJob", ("error: kind: must be MPIJob, not 'MpiJob'")),
    ("metadata.name", GONE, ("error: metadata.name: must be there")),
    (
        "metadata.name",
        "3-workers",
        (
            "error: metadata.name: '3-workers' must consist of lower-case letters, digits and hyphens, "
            "from a letter to a letter or digit"
        ),
    ),
    (
        "metadata.name",
        "a" * 55,
        (
            f"error: metadata.name: the last worker would be called {'a' * 55}-worker-2, "
            "of 64 characters; 63 are allowed, so shorten the name by 1"
        ),
    ),
    ("spec.slotsPerWorker", 0, ("error: spec.slotsPerWorker: must be at least 1, it is 0")),
    ("spec.mpiImplementation", "Intel", ("error: spec.mpiImplementation: must be OpenMPI for hvd-qgenx")),
    (
        "spec.sshAuthMountPath",
        GONE,
        (
            "error: spec.sshAuthMountPath: /root/.ssh, the default: Launcher does not run as "
            "root, and cannot read keys there; set it to /home/mpiuser/.ssh"
        ),
    ),
    ("spec.runPolicy.backoffLimit", -1, ("error: spec.runPolicy.backoffLimit: must not be negative, it is -1")),
    (
        "spec.runPolicy.cleanPodPolicy",
        GONE,
        (
            "warning: spec.runPolicy.cleanPodPolicy: workers, and their GPUs, are "
            "kept after the end of the job; set it to Running"
        ),
    ),
    (LAUNCHER, GONE, (f"error: {LAUNCHER}: must be there")),
    (f"{LAUNCHER}.replicas", 2, (f"error: {LAUNCHER}.replicas: must be 1, it is 2")),
    (
        f"{LAUNCHER}.{BOX}.args.1",
        "4",
        (
            f"error: {LAUNCHER}.template.spec.containers[0]: -np 4 asks for 4 ranks, but "
            "3 hosts with 1 slots each have room for 3"
        ),
    ),
    (
        f"{LAUNCHER}.{BOX}.args.1",
        "three",
        (f"error: {LAUNCHER}.template.spec.containers[0]: -np must be followed by a whole number, not 'three'"),
    ),
    (
        f"{LAUNCHER}.{BOX}.args.1",
        "2",
        (f"error: {LAUNCHER}.template.spec.containers[0]: --expect-ranks 3, but -np 2; make them the same"),
    ),
    (
        f"{LAUNCHER}.{BOX}.args",
        ["-np", "3", "hvd-qgenx", "gan"],
        (
            f"warning: {LAUNCHER}.template.spec.containers[0]: "
            "hvd-qgenx does not know how many ranks to expect; add --expect-ranks 3, "
            "or ranks that do not find each other may each train alone"
        ),
    ),
    (
        f"{LAUNCHER}.{BOX}.image",
        "me/horovod:openmpi5",
        (
            f"error: {LAUNCHER}.template.spec.containers[0]: this looks "
            "like Open MPI 5, which does not read the operator's hostfile and runs all ranks on the launcher; use an "
            "image with Open MPI 4.1, or set PRTE_MCA_prte_default_hostfile=/etc/mpi/hostfile, "
            "PRTE_MCA_prte_set_default_slots and PRTE_MCA_plm_ssh_args"
        ),
    ),
    (f"{WORKER}.replicas", GONE, (f"error: {WORKER}.replicas: must be there")),
    (f"{WORKER}.replicas", 0, (f"error: {WORKER}.replicas: must be a whole number of at least 1, not 0")),
    (f"{WORKER}.template.spec.containers", [], (f"error: {WORKER}.template.spec.containers: must have a container")),
    (
        f"{WORKER}.template.spec.volumes.1.name",
        "run",
        (f"error: {WORKER}.template.spec.containers[0].volumeMounts[1].name: Worker has no volume 'runs'"),
    ),
    (
        f"{WORKER}.{BOX}.resources.requests.memory",
        "8Gi",
        (f"error: {WORKER}.template.spec.containers[0].resources.requests.memory: asks for more than the limit"),
    ),
    (
        f"{WORKER}.{BOX}.resources.limits.memory",
        "4GB",
        (
            f"error: {WORKER}.template.spec.containers[0].resources."
            "limits.memory: '4GB' is not an amount like 500m, 2 or 8Gi"
        ),
    ),
    (
        f"{WORKER}.{BOX}.resources.limits",
        {"cpu": 2},
        (
            f"error: {WORKER}.template.spec.containers[0].resources."
            "requests.nvidia.com/gpu: must be the same as the limit, for devices"
        ),
    ),
]
# What passes the operator's schema as it is: unknown fields, and choices and roles that it lists nowhere.
WEAK = [
    (
        "spec.slotPerWorker",
        2,
        ("error: spec.slotPerWorker: unknown field 'slotPerWorker'; did you mean 'slotsPerWorker'?"),
    ),
    (
        "spec.runPolicy.cleanPodPolicy",
        "Sometimes",
        ("error: spec.runPolicy.cleanPodPolicy: must be one of None, Running, All, not 'Sometimes'"),
    ),
    (
        "spec.launcherCreationPolicy",
        "Whenever",
        ("error: spec.launcherCreationPolicy: must be one of AtStartup, WaitForWorkersReady, not 'Whenever'"),
    ),
    (
        f"{WORKER}.restartPolicy",
        "Always",
        (f"error: {WORKER}.restartPolicy: must be one of Never, OnFailure, not 'Always'"),
    ),
    (
        "spec.mpiReplicaSpecs.Master",
        {"replicas": 1},
        ("error: spec.mpiReplicaSpecs.Master: the operator does not know this role; use Launcher and Worker"),
    ),
]
UNKNOWN = [
    (
        f"{WORKER}.{BOX}.resource",
        {},
        (f"error: {WORKER}.template.spec.containers[0].resource: unknown field 'resource'; did you mean 'resources'?"),
    ),
    (
        f"{WORKER}.template.spec.volumes.0.emptyDir.sizelimit",
        "1Gi",
        (
            f"error: {WORKER}.template.spec.volumes[0]."
            "emptyDir.sizelimit: unknown field 'sizelimit'; did you mean 'sizeLimit'?"
        ),
    ),
    ("metadata.label", {}, ("error: metadata.label: unknown field 'label'; did you mean 'labels'?")),
]
MISTYPED = [
    (f"{WORKER}.replicas", "three", (f"error: {WORKER}.replicas: must be a whole number of at least 1, not 'three'")),
    (f"{WORKER}.{BOX}.name", GONE, (f"error: {WORKER}.template.spec.containers[0].name: must be there")),
    (
        f"{WORKER}.{BOX}.readinessProbe.tcpSocket.port",
        [22],
        (
            f"error: {WORKER}.template.spec.containers[0]."
            "readinessProbe.tcpSocket.port: must be of type integer or string, not [22]"
        ),
    ),
    ("spec.mpiImplementation", "Open MPI", ("error: spec.mpiImplementation: must be OpenMPI for hvd-qgenx")),
    ("spec.runPolicy", [1], ("error: spec.runPolicy: must be of type object, not [1]")),
]


def test_a_good_manifest_has_nothing_to_be_told(strict):
    for job in (good(), good(gpus=0, data_claim="", namespace="research", deadline=60), good(elastic=(2, 3))):
        assert told(job, strict) == []
        assert told(job) == []


@pytest.mark.parametrize(("path", "value", "sentence"), [*BROKEN, *WEAK[1:]])
def test_our_own_rules_tell_of_it(path, value, sentence):
    assert sentence in told(changed(path, value))


@pytest.mark.parametrize(("path", "value", "sentence"), [*BROKEN, *WEAK, *UNKNOWN, *MISTYPED])
def test_with_the_strict_schema_it_is_told_once(strict, path, value, sentence):
    assert told(changed(path, value), strict).count(sentence) == 1


@pytest.mark.parametrize(("path", "value", "sentence"), [*WEAK, *UNKNOWN])
def test_the_operator_s_own_schema_lets_it_pass(plain, path, value, sentence):
    assert schema.findings(changed(path, value), plain) == [], sentence


def test_strictness_alone_finds_only_the_misspelt_field(strict):
    found = [bool(schema.findings(changed(path, value), strict)) for path, value, _ in WEAK]
    assert found == [True, False, False, False, False]


def test_unknown_fields_may_stand_where_the_schema_says_so():
    closed = schema.strict(
        {
            "type": "object",
            "properties": {
                "metadata": {"type": "object"},
                "free": {"type": "object", PRESERVES: True},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
            },
        }
    )
    assert schema.findings({"free": {"x": 1}, "map": {"y": "z"}, "list": [{"a": 1}]}, closed) == []
    paths = {finding.path for finding in schema.findings({"list": [{"b": 1}], "more": 2}, closed)}
    assert paths == {"more", "list[0].b"}


ELASTIC = "horovodrun -np 2 --min-np 2 --max-np 3 --host-discovery-script /etc/mpi/discover_hosts.sh hvd-qgenx gan"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["mpirun", "-n=7", "hvd-qgenx"], "-n 7 asks for"),
        (["/usr/bin/mpiexec", "--np", "7", "hvd-qgenx"], "asks for 7 ranks"),
        (["horovodrun", "--num-proc", "7", "hvd-qgenx"], "asks for 7 ranks"),
        (["sh", "-c", "cd /runs && mpirun -np 7 hvd-qgenx gan"], "asks for 7 ranks"),
        (["env", "A=1", "mpirun", "-np", "2", "-np", "7", "hvd-qgenx"], "asks for 7 ranks"),
        (ELASTIC.split(), "/etc/mpi/discover_hosts.sh prints no slots; add --slots-per-host 1"),
        (ELASTIC.replace("--max-np 3", "--max-np 5").split(), "--max-np 5 asks for 5 ranks"),
        (ELASTIC.replace("--min-np 2", "--min-np 4").split(), "--min-np 4 is more than --max-np 3"),
    ],
)
def test_launchers_are_read(line, sentence):
    document = changed(f"{LAUNCHER}.{BOX}.command", line)
    document["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["args"] = []
    pattern = re.escape(sentence.replace("-n 7 asks for", "asks for 7 ranks"))
    assert any(re.search(pattern, each) for each in told(document)), told(document)


@pytest.mark.parametrize("line", [["python", "train.py"], ["sh", "-c", "mpirun 'never closed"], [], ["mpirun"]])
def test_what_cannot_be_read_is_not_told_of(line):
    document = changed(f"{LAUNCHER}.{BOX}.command", line)
    document["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["args"] = []
    assert told(document) == []


def test_a_launcher_that_is_a_worker_too_has_room_for_ranks():
    document = changed(f"{LAUNCHER}.{BOX}.args.1", "4")
    document["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["args"][-1] = "4"
    assert any("-np 4" in each for each in told(document))
    document["spec"]["runLauncherAsWorker"] = True
    assert told(document) == []


def test_an_image_with_open_mpi_5_may_be_told_of_the_hostfile():
    document = changed(f"{LAUNCHER}.{BOX}.image", "me/horovod:openmpi-5")
    environment = document["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["env"]
    environment.append({"name": "PRTE_MCA_prte_set_default_slots", "value": "1"})
    assert [finding.kind for finding in mpijob.check(document)] == [ERROR]
    environment.append({"name": "PRTE_MCA_prte_default_hostfile", "value": "/etc/mpi/hostfile"})
    assert told(document) == []


@pytest.mark.parametrize("document", [None, 3, [], {}, {"spec": 1}, {"spec": {"mpiReplicaSpecs": []}}])
def test_whatever_it_is_it_is_told_of(document, strict):
    assert told(document)
    assert told(document, strict)


def test_a_warning_is_no_error():
    document = changed("spec.runPolicy.cleanPodPolicy", GONE)
    assert [finding.kind for finding in mpijob.check(document)] == [WARNING]


def test_ranks_of_a_worker_share_its_cores():
    job = Job(cpus=8, gpus=2, workers=2)
    assert (job.ranks, job.slots_per_worker, job.variables["OMP_NUM_THREADS"]) == (4, 2, "4")
    assert replace(job, slots=16).variables["HVD_QGENX_THREADS"] == "1"


def paths(value: Any, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Of all values in a manifest."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here] * bool(here) + [path for key, each in items for path in paths(each, (*here, str(key)))]


@pytest.mark.parametrize("junk", [None, 3, "text", [7], {"a": 1}, True, [None], {"a": None}], ids=str)
def test_nothing_in_a_manifest_makes_the_check_fail(junk, strict):
    spec = good()["spec"]
    for path in paths({"spec": spec, "metadata": {"name": "job"}}):
        if not any("/" in part for part in path):
            told(changed(".".join(path), junk))
    assert told(changed("spec.mpiReplicaSpecs", junk), strict)
