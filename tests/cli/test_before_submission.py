"""`compute`, `lint`, `cost` and `check` as processes; and what `submit` refuses because of them."""

import json
from pathlib import Path

import pytest

from tests.cli.test_command import PIPELINE, trainwright

SETTINGS = """
[environments.prod]
project = "acme-ml"
location = "europe-west4"
bucket = "acme-ml"
max_cost = 0.04

[environments.prod.parameters.sums]
first = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(PIPELINE)
    (folder / "trainwright.toml").write_text(SETTINGS)
    assert trainwright(folder, "compile", "mine.py").returncode == 0
    return folder


def test_lint_ends_with_1_when_something_is_found_and_with_0_when_it_is_allowed(folder: Path) -> None:
    done = trainwright(folder, "lint")
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first.startswith("compiled/pipelines/sums.yaml:")
    assert first.endswith(
        "warning image-digest: task add: image python:3.11-slim has no digest: its tag moves"
    )
    assert last == "1 files checked, 0 errors, 1 warnings"
    allowed = '[[lint.allow]]\nrule = "image-digest"\nreason = "A test of ours."\n'
    try:
        (folder / "trainwright.toml").write_text(SETTINGS + allowed)
        done = trainwright(folder, "lint", "--format", "json")
        assert (done.returncode, json.loads(done.stdout)["allowed"]) == (0, 1)
    finally:
        (folder / "trainwright.toml").write_text(SETTINGS)


def test_lint_of_nothing_is_a_failure_and_of_what_is_not_there_a_mistake(
    folder: Path, tmp_path: Path
) -> None:
    done = trainwright(tmp_path, "lint", str(tmp_path))
    assert (done.returncode, "checked nothing" in done.stderr) == (1, True)
    done = trainwright(folder, "lint", "none.yaml")
    assert (done.returncode, done.stderr) == (2, "error: none.yaml: no such file or folder\n")
    assert "How to mend it" in trainwright(folder, "lint", "--explain", "machine").stdout


def test_cost_shows_every_part_and_what_was_assumed(folder: Path) -> None:
    done = trainwright(
        folder, "cost", "sums", "--env", "prod", "--hours", "add=1", "--cron", "0 3 * * *", "--json"
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["usd"] == pytest.approx(
        0.16967 + 0.03, rel=1e-3
    )  # e2-standard-4 in europe-west4, and the run
    assert found["usd_a_month"] == pytest.approx(found["usd"] * 365 / 12)
    assert "duration given" in found["lines"][0]["assumptions"]
    text = trainwright(folder, "cost", "sums", "--param", "first=1").stdout
    assert "duration assumed (--hours)" in text
    assert "prices of the Cloud Billing Catalog of 2026-07-30" in text


def test_submit_refuses_what_costs_more_than_the_environment_allows(folder: Path) -> None:
    done = trainwright(folder, "submit", "sums", "--env", "prod")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "about 0.05 USD a run on Vertex AI in europe-west4, above max_cost 0.04 of environments.prod" in (
        done.stderr
    )
    assert not (folder / ".trainwright").exists()


def test_submit_refuses_what_vertex_ai_would(folder: Path) -> None:
    compiled = folder / "compiled" / "pipelines" / "sums.yaml"
    resources = "        resources:\n          resourceCpuLimit: '128'\n"
    image = "        image: python:3.11-slim\n"
    text = compiled.read_text()
    assert image in text
    (folder / "large.yaml").write_text(text.replace(image, image + resources))
    done = trainwright(folder, "run", "large.yaml", "--param", "first=1")
    assert done.returncode == 2
    assert "task add: CPU limit 128, expected at most 96 (rule task-resources)" in done.stderr
    assert not (folder / ".trainwright").exists()


def test_check_shows_a_table_and_every_reason(folder: Path) -> None:
    done = trainwright(folder, "check")
    assert done.returncode == 1
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[0] == ["pipeline", "local", "prod"]
    assert "sums in prod: a run costs about 0.05 USD, above max_cost 0.04 of environments.prod" in done.stdout
    assert "sums in local needs --param first" in done.stdout
    assert trainwright(folder, "check", "--env", "local").returncode == 0
    done = trainwright(folder, "check", "--env", "prd")
    assert (done.returncode, "nearest is 'prod'" in done.stderr) == (2, True)


def test_compute_shows_machines_and_says_what_cannot_be(folder: Path) -> None:
    done = trainwright(
        folder, "compute", "show", "n1-standard-8", "--accelerator", "T4", "--count", "2", "--json"
    )
    found = json.loads(done.stdout)
    assert found["machine_spec"]["accelerator_type"] == "NVIDIA_TESLA_T4"
    done = trainwright(folder, "compute", "show", "n1-standard-8", "--accelerator", "T4", "--count", "3")
    assert (done.returncode, "nearest is 2" in done.stderr) == (2, True)
    listed = json.loads(trainwright(folder, "compute", "list", "--accelerator", "L4", "--json").stdout)
    assert {machine["family"] for machine in listed["machine_types"]} == {"g2"}
    done = trainwright(
        folder, "compute", "recommend", "--framework", "xgboost", "--rows", "1e6", "--columns", "50"
    )
    assert "classic machine learning: CPUs" in done.stdout
