"""Broken TrainJobs and runtimes: good ones with one change each, and the sentence that tells of it."""

import functools
from typing import Any

import pytest

from hvd_qgenx import trainjob
from hvd_qgenx.mpijob import ERROR, fields, schema
from hvd_qgenx.mpijob.nodes import Schema
from hvd_qgenx.mpijob.place import dotted
from hvd_qgenx.trainjob.rules import folder_findings
from tests.mpijob.files import definition, example, mistyped, parts, walk
from tests.mpijob.test_check import paths
from tests.trainjob.files import BOX, GONE, JOB, JOBS, LAUNCHER, NODE, POD, RUNTIME, changed, good, put

KINDS = (trainjob.KIND, *trainjob.RUNTIMES)


@functools.cache
def strict(kind: str) -> Schema:
    return schema.strict(fields.read(kind))


def told(documents: list[dict[str, Any]]) -> list[str]:
    """What is told of a runtime and a job."""
    runtimes = [each for each in documents if trainjob.is_runtime(each)]
    return [
        str(finding)
        for each in documents
        for finding in trainjob.check(each, runtimes, strict(each["kind"]) if each.get("kind") in KINDS else None)
    ]


@pytest.mark.parametrize("launcher", trainjob.LAUNCHERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"namespaced": True, "namespace": "research"},
        {"gpus": 2, "cpus": 8, "command": ("gan", "--expect-ranks", "6"), "data_claim": "data", "deadline": 60},
    ],
    ids=str,
)
def test_what_is_written_has_no_faults(launcher, settings):
    assert told(good(launcher, **settings)) == []


PLACES = {
    "nodes": dotted(parts(NODE)),
    "node": dotted(parts(f"{NODE}.{BOX}")),
    "launcher": dotted(parts(LAUNCHER)),
    "label": "trainer.kubeflow.org/trainjob-ancestor-step: trainer",
}
"""What is long, in sentences."""
COMMAND = "error: spec.trainer.command: "
BOTH = [
    (
        JOB,
        "apiVersion",
        "kubeflow.org/v1",
        "error: apiVersion: must be trainer.kubeflow.org/v1alpha1, not 'kubeflow.org/v1'",
    ),
    (JOB, "kind", "Trainjob", "error: kind: must be TrainJob, not 'Trainjob'"),
    (
        RUNTIME,
        "kind",
        "ClusterRuntime",
        "error: kind: must be ClusterTrainingRuntime or TrainingRuntime, not 'ClusterRuntime'",
    ),
    (
        RUNTIME,
        "metadata.namespace",
        "mine",
        "error: metadata.namespace: a ClusterTrainingRuntime has none; leave it out, or make it a TrainingRuntime",
    ),
    (
        JOB,
        "spec.runtimeRef.name",
        "jbo",
        "error: spec.runtimeRef.name: unknown ClusterTrainingRuntime 'jbo'; did you mean 'job'?",
    ),
    (
        JOB,
        "spec.runtimeRef.kind",
        "TrainingRuntime",
        "error: spec.runtimeRef.kind: there is a ClusterTrainingRuntime here, and no TrainingRuntime; name its kind",
    ),
    (
        JOB,
        "spec.runtimeRef.kind",
        "Runtime",
        "error: spec.runtimeRef.kind: must be ClusterTrainingRuntime or TrainingRuntime, not 'Runtime'",
    ),
    (JOB, "spec.trainer.numNodes", 0, "error: spec.trainer.numNodes: must be at least 1, it is 0"),
    (JOB, "spec.trainer.numNodes", "three", "error: spec.trainer.numNodes: must be of type integer, not 'three'"),
    (
        JOB,
        "spec.trainer.numProcPerNode",
        "auto",
        "error: spec.trainer.numProcPerNode: must be of type integer, not 'auto'",
    ),
    (
        JOB,
        "spec.trainer.numProcPerNodes",
        2,
        "error: spec.trainer.numProcPerNodes: unknown field 'numProcPerNodes'; did you mean 'numProcPerNode'?",
    ),
    (JOB, "spec.numNodes", 3, "error: spec.numNodes: unknown field 'numNodes'; it is a field of spec.trainer"),
    (
        JOB,
        "spec.trainer.env.0.name",
        "PATH",
        "warning: spec.trainer.env: add OMP_NUM_THREADS: 2, or every rank has a thread for each core of its host",
    ),
    (
        JOB,
        "spec.runtimePatches",
        [{"manager": "me"}],
        "error: spec.runtimePatches[0].manager: must be of the form domain/name, not 'me'",
    ),
    (RUNTIME, "spec.mlPolicy.numNodes", 0, "error: spec.mlPolicy.numNodes: must be at least 1, it is 0"),
    (RUNTIME, "spec.mlPolicy.jax", {}, "error: spec.mlPolicy: only one of {policy}, jax may be given"),
    (
        RUNTIME,
        "spec.mlPolicy",
        {"numNodes": 1},
        "error: spec.runtimeRef: the runtime has neither mlPolicy.torch nor mlPolicy.mpi, so every pod trains alone",
    ),
    (RUNTIME, f"{NODE}.{POD}.volumes.1.name", "run", "error: {node}.volumeMounts[1].name: node has no volume 'runs'"),
    (
        RUNTIME,
        f"{NODE}.{BOX}.resources.limits.memory",
        "1Gi",
        "error: {node}.resources.requests.memory: asks for more than the limit",
    ),
    (
        RUNTIME,
        "spec.template.spec.network.publishNotReadyAddresses",
        False,
        "error: spec.template.spec.network.publishNotReadyAddresses: "
        "must not be false: pods find each other by name while they start",
    ),
    (
        RUNTIME,
        "spec.template.spec.ttlSecondsAfterFinished",
        60,
        "warning: spec.template.spec.ttlSecondsAfterFinished: "
        "the operator starts a failed job once more after this time; "
        "leave it out, and delete the TrainJob",
    ),
    (
        RUNTIME,
        f"{NODE}.template.spec.completionMode",
        "NonIndexed",
        "error: {nodes}.template.spec.completionMode: must be Indexed, or pods have no names and numbers",
    ),
]
TORCH = [
    (
        JOB,
        "metadata.name",
        "a" * 50,
        f"error: metadata.name: a pod of node would be called {'a' * 50}-node-0-2-abcde, of 65 characters; "
        "63 are allowed, so shorten the name by 2",
    ),
    (
        JOB,
        "spec.trainer",
        GONE,
        "error: spec.trainer: "
        "must be there, or the operator sets none of the variables PET_* and every pod trains alone",
    ),
    (
        JOB,
        "spec.trainer.command",
        ["hvd-qgenx"],
        f"{COMMAND}does not start torchrun, which reads the variables PET_*, so every pod trains alone",
    ),
    (
        JOB,
        "spec.trainer.args.0",
        "--nnodes=2",
        f"{COMMAND}--nnodes '2' replaces PET_NNODES, which the operator sets; leave it out",
    ),
    (
        JOB,
        "spec.trainer.args.0",
        "--nproc-per-node=4",
        f"{COMMAND}--nproc-per-node '4' replaces PET_NPROC_PER_NODE, which the operator sets; leave it out",
    ),
    (JOB, "spec.trainer.args.0", "--standalone", f"{COMMAND}--standalone makes every pod train alone; leave it out"),
    (
        JOB,
        "spec.trainer.args.0",
        "--no-python3",
        f"{COMMAND}torchrun: unrecognized arguments: --no-python3",
    ),
    (
        JOB,
        "spec.trainer.args.0",
        "--tee=3",
        f"{COMMAND}torchrun takes hvd-qgenx for a file of Python; add --no-python before it",
    ),
    (JOB, "spec.trainer.args.4", "2", f"{COMMAND}--expect-ranks 2, but 3 nodes with 1 ranks each are 3 ranks"),
    (JOB, "spec.trainer.numProcPerNode", 2, f"{COMMAND}--expect-ranks 3, but 3 nodes with 2 ranks each are 6 ranks"),
    (
        JOB,
        "spec.trainer.numProcPerNode",
        4,
        "warning: spec.trainer.numProcPerNode: 4 ranks of a node share 2 cores, and wait for each other",
    ),
    (
        JOB,
        "spec.trainer.numProcPerNode",
        2,
        "warning: spec.trainer.env: OMP_NUM_THREADS 2 in each of 2 ranks is more than 2 cores",
    ),
    (
        JOB,
        "spec.trainer.env.0.name",
        "PET_NNODES",
        "error: spec.trainer.env[0].name: PET_NNODES is the operator's own; leave it out",
    ),
    (
        RUNTIME,
        "spec.mlPolicy.torch.numProcPerNode",
        2,
        "error: spec.mlPolicy.torch.numProcPerNode: "
        "was removed in v2.2 of the operator; give numProcPerNode in spec.trainer of a TrainJob",
    ),
    (
        RUNTIME,
        f"{NODE}.template.metadata.labels",
        {},
        "error: spec.template.spec.replicatedJobs: none has the label {label} "
        "in template.metadata.labels, so no pod would run a TrainJob's command",
    ),
    (
        RUNTIME,
        f"{NODE}.name",
        "worker",
        "error: {nodes}.name: must be node: PET_MASTER_ADDR is the name of the first pod of a replicated job called so",
    ),
    (
        RUNTIME,
        f"{NODE}.{BOX}.name",
        "trainer",
        "error: {nodes}.template.spec.template.spec.containers: must have a container called "
        "node, for its label trainer",
    ),
    (RUNTIME, f"{NODE}.replicas", 3, "error: {nodes}.replicas: must be 1, it is 3"),
    (
        RUNTIME,
        "spec.template.spec.network.subdomain",
        "net",
        "error: spec.template.spec.network.subdomain: "
        "leave it out: PET_MASTER_ADDR ends with the job's name, not with 'net'",
    ),
]
MPI = [
    (
        JOB,
        "metadata.name",
        "a" * 50,
        f"error: metadata.name: a pod of launcher would be called {'a' * 50}-launcher-0-0-abcde, of 69 characters; "
        "63 are allowed, so shorten the name by 6",
    ),
    (JOB, "spec.trainer.args.3", "4", f"{COMMAND}-np 4, but 3 nodes with 1 ranks each are 3 ranks"),
    (JOB, "spec.trainer.args.3", "2", f"{COMMAND}-np 2, but 3 nodes with 1 ranks each are 3 ranks"),
    (JOB, "spec.trainer.numNodes", 2, f"{COMMAND}-np 3, but 2 nodes with 1 ranks each are 2 ranks"),
    (
        JOB,
        "spec.trainer.command",
        ["hvd-qgenx"],
        f"{COMMAND}starts no mpirun, so one process trains alone on the launcher",
    ),
    (
        JOB,
        "spec.trainer.args",
        ["-np", "3", "hvd-qgenx", "gan", "--expect-ranks", "3"],
        "warning: spec.trainer.command: "
        "add --hostfile /etc/mpi/hostfile: the operator names it in variables that Open MPI 5 "
        "does not read, and all ranks would run on the launcher",
    ),
    (
        JOB,
        "spec.trainer.args",
        ["-np", "3", "hvd-qgenx", "gan", "--expect-ranks", "3"],
        "warning: spec.trainer.command: add -x OMP_NUM_THREADS: ssh passes no variables on, so ranks would not get it",
    ),
    (
        JOB,
        "spec.trainer.args",
        ["--hostfile", "/etc/mpi/hostfile", "hvd-qgenx", "gan"],
        "warning: spec.trainer.command: "
        "hvd-qgenx does not know how many ranks to expect; add --expect-ranks 3, or ranks that "
        "do not find each other may each train alone",
    ),
    (
        JOB,
        "spec.trainer.image",
        "other",
        "error: spec.trainer.image: is the launcher's alone; ranks are started in 'hvd-qgenx:latest', the image of the "
        "runtime's node",
    ),
    (
        JOB,
        "spec.trainer.resourcesPerNode.limits.cpu",
        4,
        "error: spec.trainer.resourcesPerNode: "
        "would be the launcher's, not those of nodes; give them to the container node "
        "of the runtime",
    ),
    (
        JOB,
        "spec.trainer.env.0.name",
        "OMPI_MCA_plm_rsh_args",
        "error: spec.trainer.env[0].name: OMPI_MCA_plm_rsh_args is the operator's own; leave it out",
    ),
    (
        RUNTIME,
        "spec.mlPolicy.numNodes",
        3,
        "error: spec.mlPolicy.numNodes: "
        "is the number of launchers of a runtime for MPI, and must be 1; a TrainJob's numNodes "
        "is that of nodes",
    ),
    (
        RUNTIME,
        "spec.mlPolicy.mpi.mpiImplementation",
        "Intel",
        "error: spec.mlPolicy.mpi.mpiImplementation: must be one of OpenMPI, , not 'Intel'",
    ),
    (
        RUNTIME,
        "spec.mlPolicy.mpi.sshAuthMountPath",
        GONE,
        "error: spec.mlPolicy.mpi.sshAuthMountPath: "
        "/root/.ssh, the default: node does not run as root, and cannot read keys "
        "there; set it to /home/mpiuser/.ssh",
    ),
    (
        RUNTIME,
        f"{LAUNCHER}.{POD}.securityContext.fsGroup",
        GONE,
        "error: {launcher}.template.spec.template.spec.securityContext.fsGroup: launcher does not "
        "run as root, and could not read the keys of ssh; set it to the user's group",
    ),
    (
        RUNTIME,
        f"{NODE}.{BOX}.image",
        "pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime",
        "error: {node}.image: "
        "pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime has no ssh server, by which mpirun starts ranks",
    ),
    (
        RUNTIME,
        f"{NODE}.{BOX}.command",
        ["sleep", "inf"],
        "error: {node}.command: must run sshd",
    ),
    (
        RUNTIME,
        f"{NODE}.name",
        "worker",
        "error: spec.template.spec.replicatedJobs: a runtime for MPI must have a replicated job called node",
    ),
    (
        RUNTIME,
        f"{LAUNCHER}.dependsOn.0.name",
        "nodes",
        "error: {launcher}.dependsOn[0].name: 'nodes' is no replicated job above launcher, as it must be",
    ),
    (
        RUNTIME,
        f"{LAUNCHER}.dependsOn",
        GONE,
        "warning: {launcher}.dependsOn: add name: node, status: Ready, or attempts fail while nodes are starting",
    ),
    (
        RUNTIME,
        "spec.template.spec.successPolicy",
        GONE,
        "error: spec.template.spec.successPolicy.targetReplicatedJobs: must name launcher: ssh servers never end by "
        "themselves, so the job would not either",
    ),
    (
        RUNTIME,
        f"{NODE}.template.metadata",
        {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
        "error: {nodes}.template.metadata.labels: "
        "the label {label} must be that of launcher, which gets mpirun's command",
    ),
]
CASES = [
    *((launcher, *case) for launcher in trainjob.LAUNCHERS for case in BOTH),
    *(("torch", *case) for case in TORCH),
    *(("mpi", *case) for case in MPI),
]


@pytest.mark.parametrize(("launcher", "which", "path", "value", "sentence"), CASES)
def test_a_change_is_told_of_once(launcher, which, path, value, sentence):
    found = told(changed(launcher, which, path, value))
    assert found.count(sentence.format(policy=launcher, **PLACES)) == 1, found


def test_several_ranks_need_shared_memory():
    documents = changed("torch", RUNTIME, f"{NODE}.{BOX}.volumeMounts.0.mountPath", "/tmp", slots=2, cpus=8)
    (found,) = [each for each in told(documents) if "/dev/shm" in each]
    assert found == (
        "warning: spec.trainer.numProcPerNode: 2 ranks share a /dev/shm of 64 MB in node of the runtime; "
        "mount an emptyDir with medium: Memory there"
    )


def test_open_mpi_5_needs_the_hostfile():
    documents = changed("mpi", JOB, "spec.trainer.args", ["-np", "3", "hvd-qgenx", "gan"], image="me/horovod:openmpi-5")
    assert any(each.startswith(f"{COMMAND}add --hostfile") for each in told(documents))


def test_a_job_without_its_runtime_is_checked_as_far_as_possible():
    (_, job) = changed("torch", JOB, "spec.trainer.numNodes", 0)
    found = told([job])
    assert "error: spec.trainer.numNodes: must be at least 1, it is 0" in found
    assert found[1].startswith("warning: spec.runtimeRef: the ClusterTrainingRuntime 'job' is not here")


@pytest.mark.parametrize(
    ("jobs", "sentence"),
    [
        (
            [{"name": "nodes"}],
            "error: spec.runtimePatches[0].trainingRuntimeSpec.template.spec.replicatedJobs[0].name: ",
        ),
        ([{"name": "node"}], None),
    ],
)
def test_patches_are_of_what_the_runtime_has(jobs, sentence):
    patch = {"manager": "me.example/tool", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
    found = told(changed("torch", JOB, "spec.runtimePatches", [patch]))
    assert (
        found == []
        if sentence is None
        else found[0] == f"{sentence}unknown replicated job 'nodes'; did you mean 'node'?"
    )


@pytest.mark.parametrize(
    ("launcher", "changes", "hosts", "per_node"),
    [
        ("torch", {}, 3, 1),
        ("torch", {(JOB, "spec.trainer.numNodes"): GONE}, 3, 1),
        ("torch", {(JOB, "spec.trainer.numNodes"): GONE, (RUNTIME, "spec.mlPolicy.numNodes"): GONE}, 1, 1),
        ("torch", {(JOB, "spec.trainer.numProcPerNode"): 4}, 3, 4),
        ("torch", {(JOB, "spec.trainer.numProcPerNode"): GONE}, 3, 2),  # cores
        (
            "torch",
            {
                (JOB, "spec.trainer.numProcPerNode"): GONE,
                (JOB, "spec.trainer.resourcesPerNode"): {"requests": {"cpu": "2500m"}},
            },
            3,
            3,
        ),
        (
            "torch",
            {
                (JOB, "spec.trainer.numProcPerNode"): GONE,
                (JOB, "spec.trainer.resourcesPerNode"): {"limits": {"nvidia.com/gpu": 8}},
            },
            3,
            8,
        ),
        ("mpi", {}, 3, 1),
        ("mpi", {(JOB, "spec.trainer.numNodes"): GONE}, 1, 1),
        ("mpi", {(JOB, "spec.trainer.numNodes"): GONE, (RUNTIME, f"{NODE}.template.spec.parallelism"): 5}, 5, 1),
        ("mpi", {(JOB, "spec.trainer.numProcPerNode"): GONE, (RUNTIME, "spec.mlPolicy.mpi.numProcPerNode"): 2}, 3, 2),
        (
            "mpi",
            {(JOB, "spec.trainer.numProcPerNode"): GONE, (RUNTIME, f"{NODE}.{BOX}.resources.limits.nvidia.com/gpu"): 4},
            3,
            4,
        ),
        ("mpi", {(RUNTIME, "spec.mlPolicy.mpi.runLauncherAsNode"): True}, 3, 1),
        ("mpi", {(RUNTIME, "spec.mlPolicy.mpi.runLauncherAsNode"): True, (JOB, "spec.trainer.numNodes"): 1}, 2, 1),
    ],
)
def test_ranks_are_counted_as_the_operator_does(launcher, changes, hosts, per_node):
    documents = good(launcher)
    for (which, path), value in changes.items():
        if "nvidia.com" in path:
            path, _, _ = path.partition(".nvidia")
            value = {"nvidia.com/gpu": value}
        put(documents[which], path, value)
    training = trainjob.joined(documents[JOB], documents[:1])
    assert training is not None
    assert (training.hosts, training.per_node, training.ranks) == (hosts, per_node, hosts * per_node)


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("/runs/job", None),
        ("/runs", None),
        (None, "the run would be lost with its pod; add --out with a folder on a volume"),
        ("runs/job", "'runs/job' would be lost with its pod; add --out with a folder on a volume"),
        ("/runsx/job", "--out /runsx/job is on no volume of node, and would be lost with its pod; choose a claim's"),
        (
            "/dev/shm/job",
            "--out /dev/shm/job is on a volume emptyDir of node, and would be lost with its pod; choose a claim's",
        ),
    ],
)
def test_a_run_is_on_a_volume_that_outlives_its_pod(folder, sentence):
    documents = good("mpi")
    training = trainjob.joined(documents[JOB], documents[:1])
    assert training is not None
    assert [each.text for each in folder_findings(training, folder)] == ([sentence] if sentence else [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_known_with_its_type(kind):
    """Misspells, and mistypes, all fields of one depth at once."""
    whole = example(strict(kind))
    assert schema.findings(whole, strict(kind)) == []
    for depth in sorted({len(path) for path, _ in walk(whole, strict(kind))}):
        misspelt, wrong = example(strict(kind)), example(strict(kind))
        level = [(path, inner) for path, inner in walk(whole, strict(kind)) if len(path) == depth]
        for (*way, name), inner in level:
            inside(wrong, way)[name] = mistyped(inner) if inner else 1
            inside(misspelt, way)[f"{name}x"] = inside(misspelt, way).pop(name)
        assert {f"{dotted(path)}x" for path, _ in level} <= {
            each.path for each in schema.findings(misspelt, strict(kind))
        }
        mistakes = {dotted(path) for path, inner in level if inner}
        assert mistakes <= {each.path for each in schema.findings(wrong, strict(kind))}


def inside(document: Any, path: Any) -> Any:
    for part in path:
        document = document[part]
    return document


@pytest.mark.parametrize("junk", [None, 3, [None], {"a": None}], ids=str)
@pytest.mark.parametrize("launcher", trainjob.LAUNCHERS)
def test_nothing_in_manifests_makes_the_check_fail(launcher, junk):
    for which in (RUNTIME, JOB):
        for path in paths(good(launcher)[which]):
            if not any("/" in part for part in path):
                told(changed(launcher, which, ".".join(path), junk))
    assert told(changed(launcher, RUNTIME, JOBS, junk))


def test_a_definition_replaces_the_fields_of_the_package():
    documents = changed("torch", JOB, "spec.trainer.numProcPerNodes", 2)
    own = definition(trainjob.KIND, fields.read(trainjob.KIND))
    own["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["trainer"][
        "properties"
    ]["numProcPerNodes"] = {"type": "integer"}
    found = schema.read([{"kind": "List", "items": [own]}], "file")
    given = schema.strict(found[trainjob.KIND])
    kinds = [each.kind for each in trainjob.check(documents[JOB], documents[:1], given)]
    assert ERROR not in kinds
