"""The manifests of jobs/mpijob fit the operator's schema."""

from click.testing import CliRunner

from hvd_qgenx import mpijob
from hvd_qgenx.cli import main
from hvd_qgenx.mpijob import schema
from tests.mpijob.files import JOBS, ROOT


def call(*arguments: object):
    return CliRunner().invoke(main, ["mpijob", *map(str, arguments)])


def test_jobs_pass_the_check(crd):
    files = [word for path in JOBS for word in ("--check", ROOT / path)]
    result = call(*files, "--crd", crd)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.rpartition(": ")[2] for line in result.stdout.splitlines()] == ["ok"] * 3


def test_other_manifests_are_passed_over_but_fit_the_pods_of_the_schema(crd, strict):
    path = ROOT / "jobs/mpijob/tensorboard.yaml"
    result = call("--check", path, "--check", ROOT / "jobs/mpijob/runs-claim.yaml", "--crd", crd)
    assert result.exit_code == 0
    assert result.stdout.count("passed over, it is no MPIJob") == 3
    deployment, service = mpijob.load(path.read_text(), "tensorboard")
    template = strict["properties"]["spec"]["properties"]["mpiReplicaSpecs"]["additionalProperties"]["properties"]
    assert schema.findings(deployment["spec"]["template"], template["template"]) == []
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (claim,) = mpijob.load((ROOT / "jobs/mpijob/runs-claim.yaml").read_text(), "claim")
    assert mpijob.Job().runs_claim == claim["metadata"]["name"]
    assert claim["metadata"]["name"] in path.read_text()
