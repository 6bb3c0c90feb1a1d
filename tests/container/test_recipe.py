"""What the Dockerfile says, without building it: one recipe with the Makefile, no secrets, all of it documented."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(
        r"\\\n|^#.*\n", "", (PROJECT / "Dockerfile.horovod").read_text(), flags=re.MULTILINE
    ).splitlines()
    if line
]
MAKEFILE = (PROJECT / "Makefile").read_text()
DOCUMENTATION = (PROJECT / "docs" / "container.md").read_text()


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def steps(text: str) -> list[tuple[str, str]]:
    """Which script lays which layers into an environment, in order."""
    found = re.findall(r"(python|horovod)\.sh \S+/python( [a-z ]+)?", text)
    return [(script, layer) for script, layers in found for layer in layers.split() or [""]]


def test_the_image_is_installed_by_the_scripts_of_the_makefile() -> None:
    assert steps("\n".join(arguments("RUN"))) == [("python", "torch"), ("horovod", ""), ("python", "run")]
    assert [step for step in steps(MAKEFILE) if step != ("python", "dev")] == steps("\n".join(arguments("RUN")))
    assert not any(re.search(r"(^|[;&|] *)(apt|apt-get|curl|wget|git) ", command) for command in arguments("RUN"))
    installs = [command for command in arguments("RUN") if "pip install" in command]
    assert all("--no-deps --no-build-isolation" in command for command in installs)


def test_each_script_finds_the_layers_that_it_installs() -> None:
    copied = {word for words in arguments("COPY") for word in words.split() if word.endswith(".lock")}
    assert copied == {f"jobs/setup/lock/{name}.lock" for name in ["torch", "cpu", "cuda", "build", "horovod", "run"]}
    assert {f"jobs/setup/lock/{path.name}" for path in (PROJECT / "jobs/setup/lock").iterdir()} - copied == {
        "jobs/setup/lock/dev.lock"
    }


def test_jobs_do_not_run_as_root() -> None:
    assert INSTRUCTIONS[-1][0] == "LABEL"
    assert arguments("USER") == ["1000"]
    assert any("useradd --uid 1000" in command and "mpiuser" in command for command in arguments("RUN"))
    assert arguments("EXPOSE") == ["2222"]


def test_nothing_secret_comes_from_the_checkout() -> None:
    assert arguments("ADD") == []
    sources = {word for words in arguments("COPY") if "--from" not in words for word in words.split()[:-1]}
    files = [
        file for source in sources for file in [PROJECT / source, *(PROJECT / source).rglob("*")] if file.is_file()
    ]
    assert PROJECT / "jobs/setup/ssh/sshd_config" in files
    assert [file for file in files if b"PRIVATE KEY--" in file.read_bytes() or file.name.startswith("id_")] == []
    assert any("rm -rf" in command and "/etc/ssh/ssh_host_*" in command for command in arguments("RUN"))
    assert not any(
        re.search("password|secret|token", words, re.IGNORECASE) for words in arguments("ENV") + arguments("ARG")
    )


def test_what_is_ignored_is_all_that_is_not_copied() -> None:
    kept = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = {word for words in arguments("COPY") if "--from" not in words for word in words.split()[:-1]}
    assert {re.sub("jobs/setup/.*", "jobs/setup", source) for source in sources} == kept


def test_arguments_labels_and_environment_are_documented() -> None:
    names = {words.partition("=")[0] for words in arguments("ARG")}
    names |= set(re.findall(r"(org\.opencontainers\S+)=", "".join(arguments("LABEL"))))
    names |= set(re.findall(r"([A-Z_]+)=", arguments("ENV")[-1]))
    assert {"BASE_IMAGE", "org.opencontainers.image.revision", "HVD_QGENX_DATA"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in DOCUMENTATION] == []
    assert (default := arguments("ARG")[0].partition("=")[2]) in DOCUMENTATION, default
