"""What compiled commands are read as. The compiled ones are made by the kfp that is installed."""

import shlex

import pytest
from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from hypothesis import given, strategies
from kfp import dsl

from trainwright.local.execution.commands import Component, Installation, Launcher, PlainCommand, understand


@dsl.component(base_image="python:3.11")
def plain(a: int) -> int:
    return a


@dsl.component(
    base_image="python:3.11",
    packages_to_install=["pandas==3.1.1", "x[extra]>=1,<2; python_version>'3.8'"],
    pip_index_urls=["https://a/simple", "https://b/simple"],
    pip_trusted_hosts=["a"],
)
def packages(a: int) -> int:
    return a


@dsl.component(base_image="python:3.11", packages_to_install=["cowsay"], use_venv=True)
def venv(a: int) -> int:
    return a


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def bare(a: int) -> int:
    return a


def words(component) -> list[str]:
    container = component.component_spec.implementation.container
    return [*container.command, *container.args]


def test_components_of_the_installed_kfp() -> None:
    for component in (plain, packages, venv, bare):
        command = understand(words(component))
        assert isinstance(command.program, Component)
        assert f"def {component.python_func.__name__}(a: int) -> int:" in command.program.source
        assert command.program.arguments[0] == "--executor_input"
    assert understand(words(bare)).installations == ()
    kfp = understand(words(plain)).installations[0]
    assert kfp.requirements[0].startswith("kfp==") and not kfp.dependencies
    pandas = understand(words(packages)).installations[0]
    assert pandas == Installation(
        requirements=("pandas==3.1.1", "x[extra]>=1,<2; python_version>'3.8'"),
        index_urls=("https://a/simple",),
        extra_index_urls=("https://b/simple",),
        trusted_hosts=("a",),
    )
    assert understand(words(venv)).installations[0].requirements == ("cowsay",)


def test_launcher() -> None:
    command = understand(words(CustomTrainingJobOp))
    assert command.program.module == "google_cloud_pipeline_components.container.v1.custom_job.launcher"
    assert command.program.arguments[:2] == ("--type", "CustomJob")


INSTALL = "python3 -m pip install --quiet --no-warn-script-location"


@pytest.mark.parametrize(
    ("line", "rest", "requirements"),
    [
        (f"{INSTALL} 'a==1' 'b==2' && \"$0\" \"$@\"", ["python3", "-c", "pass"], ("a==1", "b==2")),
        ('PIP_NO_INPUT=1 pip3 install -U a>=2 && "$0" "$@"', ["x"], None),  # the shell writes a file "=2"
        ('pip install -r requirements.txt && "$0" "$@"', ["x"], None),
        ('pip install "$PACKAGE" && "$0" "$@"', ["x"], None),
        ('pip install a && echo "$0" "$@"', ["x"], None),
        ('pip install a; "$0" "$@"', ["x"], None),
        ('pip install a && touch b && "$0" "$@"', ["x"], None),
        ('pip install \'a && "$0" "$@"', ["x"], None),
        ('\npip install "a" &&\n "$0" "$@"\n', ["x", "y"], ("a",)),
        ('pip install a && exec "$0" "$@"', ["x"], ("a",)),
    ],
)
def test_installations_in_front_of_other_programs(line: str, rest: list[str], requirements) -> None:
    command = understand(["sh", "-ec", line, *rest])
    if requirements is None:
        assert command.program == PlainCommand(("sh", "-ec", line, *rest)) and not command.installations
    else:
        assert command.program == PlainCommand(tuple(rest))
        assert command.installations[0].requirements == requirements


@pytest.mark.parametrize(
    "words", [[], ["echo"], ["sh", "-c"], ["python3"], ["python3", "-m"], ["python3", "-u", "-m"]]
)
def test_short_commands_are_plain(words: list[str]) -> None:
    assert understand(words).program == PlainCommand(tuple(words))


def test_launcher_without_u() -> None:
    assert understand(
        ["python", "-m", "google_cloud_pipeline_components.container.x", "--a"]
    ).program == Launcher("google_cloud_pipeline_components.container.x", ("--a",))


@given(
    strategies.lists(
        strategies.one_of(strategies.sampled_from(["sh", "-c", "python3", "-m"]), strategies.text())
    )
)
def test_nothing_is_lost_or_raised(command: list[str]) -> None:
    read = understand(command)
    assert read.installations or read.program == PlainCommand(tuple(command))


@given(strategies.lists(strategies.from_regex(r"\A[A-Za-z][^$`]*\Z"), min_size=1))
def test_quoted_requirements_come_through(requirements: list[str]) -> None:
    line = f'pip install {" ".join(shlex.quote(item) for item in requirements)} && "$0" "$@"'
    read = understand(["sh", "-c", line, "train"])
    assert read.installations == (Installation(tuple(requirements)),)
    assert read.program == PlainCommand(("train",))
