"""What the repository says of itself in several places is the same in all."""

import configparser
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def test_the_citation_is_of_this_version():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    metadata = SETUP["metadata"]
    assert [found[key] for key in ("title", "version", "license")] == [
        metadata[k] for k in ("name", "version", "license")
    ]
    assert found["references"][0]["identifiers"][0]["value"] == "10.48550/arXiv.2308.09187"


def test_hosted_ci_runs_the_command_of_ci_on_all_versions_of_python_that_are_promised():
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    versions = sorted({each["python"] for each in job["strategy"]["matrix"]["include"]})
    classifier = "Programming Language :: Python :: 3."
    promised = [line for line in SETUP["metadata"]["classifiers"].splitlines() if line.startswith(classifier)]
    assert promised == [f"Programming Language :: Python :: {version}" for version in versions]
