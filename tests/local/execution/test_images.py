"""What stands for an image, which a command must not pretend to be."""

import shutil

import pytest

from trainwright.local.execution.commands import understand
from trainwright.local.execution.images import UnknownImage, runtime_of, shell_of

SCRIPT = 'set -e; mkdir -p "$(dirname "$1")"\nif [ -n "$0" ]; then X=1 cat "$0" | tee "$1" >&2; fi'


def runtime(image: str, *words: str, images: dict[str, str] | None = None) -> str:
    return runtime_of(image, understand(words).program, images or {})[0]


@pytest.mark.parametrize(
    "image",
    [
        *("alpine", "alpine:3.23", "ghcr.io/containerd/busybox", "bash:5.2", "library/debian:12-slim"),
        *(
            "gcr.io/google-appengine/debian11",
            "registry.access.redhat.com/ubi9/ubi-minimal:9.4",
            "ubi9@sha256:a",
        ),
    ],
)
def test_an_image_that_is_only_a_system_is_this_machines_shell(image: str) -> None:
    assert runtime(image, "whatever", "--it", "runs") == "host"


@pytest.mark.parametrize(
    "image", ["python:3.11", "python:alpine3.9", "registry.access.redhat.com/ubi9/python-311:latest"]
)
def test_a_python_image_is_a_python_environment(image: str) -> None:
    assert runtime(image, "python3", "-m", "anything") == "python"


@pytest.mark.parametrize(
    ("image", "words", "expected"),
    [
        ("google/cloud-sdk:216", ("sh", "-c", "echo $0", "x"), "host"),
        ("acme/tools", ("/bin/bash", "-exc", SCRIPT), "host"),
        ("acme/tools", ("bash", "-c", "f() { echo a; }\nf && [[ a == a ]]"), "host"),
        ("acme/tools", ("sh", "-c", "cat <<END\nno command\nEND"), "host"),
        ("acme/tools", ("python3", "-c", "print(1)"), "python"),
        ("acme/tools", ("python", "-u", "-c", "print(1)"), "python"),
        ("acme/sort:1", ("sort", "-u"), "host"),
        ("acme/tools", ("cp", "a", "b"), "host"),
    ],
)
def test_a_command_that_needs_nothing_of_its_image_runs(image: str, words: tuple, expected: str) -> None:
    assert runtime(image, *words) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "it names no command"),
        (("/app/train",), "what '/app/train' runs is in the image alone"),
        (("train", "--now"), "what 'train --now' runs is in the image alone"),
        (("test",), "what 'test' runs is in the image alone"),  # as likely an argument of an entry point
        (("python3", "-m", "trainer.task"), "what 'python3 -m' runs is in the image alone"),
        (("bash", "run.sh"), "what 'bash run.sh' runs is in the image alone"),
        (("sh", "-c", 'no-such-tool cat "$0" | tee "$1"'), "this machine has no 'no-such-tool'"),
        (("sh", "-c", "X=1 Y=2 no-such-tool"), "this machine has no 'no-such-tool'"),
        (("sh", "-c", "echo a && (no-such-tool; true)"), "this machine has no 'no-such-tool'"),
        (("sh", "-c", "while ! no-such-tool; do :; done"), "this machine has no 'no-such-tool'"),
    ],
)
def test_a_command_that_needs_its_image_is_refused_with_the_reason(words: tuple, reason: str) -> None:
    with pytest.raises(UnknownImage) as error:
        runtime("registry.example.com/acme/trainer:7", *words)
    assert reason in str(error.value)
    assert '[local] images = { "registry.example.com/acme/trainer" = "python" }' in str(error.value)


def test_a_program_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnknownImage, match="this machine has no 'jq'"):
        runtime("jetbrainsinfra/jq", "jq", ".")


def test_the_users_answer_comes_first() -> None:
    assert runtime("acme/trainer:7", "train", images={"acme/trainer": "host"}) == "host"
    assert runtime("alpine:3", "train", images={"alpine:3": "python"}) == "python"
    with pytest.raises(ValueError, match="expected 'python' or 'host'"):
        runtime("acme/trainer", "train", images={"acme/trainer": "docker"})


@pytest.mark.parametrize(
    ("image", "words", "shell"),
    [
        ("alpine:3.20", ("sh", "-c", '[ "$0" == a ]', "a"), ("bash", "--posix")),
        ("ghcr.io/containerd/busybox", ("/bin/sh", "-ec", "[[ a == a ]]"), ("bash", "--posix")),
        ("registry.access.redhat.com/ubi9/ubi-minimal:9.4", ("sh", "-c", "x"), ("bash", "--posix")),
        ("debian:12", ("sh", "-c", "x"), ("sh",)),
        ("gcr.io/google-appengine/debian11", ("sh", "-c", "x"), ("sh",)),
        ("alpine", ("cat", "sh"), ("cat",)),
        ("acme/tools", ("sh", "-c", "x"), ("sh",)),
    ],
)
def test_sh_is_what_it_is_in_the_image(image: str, words: tuple, shell: tuple) -> None:
    assert shell_of(image, words) == (*shell, *words[1:])
