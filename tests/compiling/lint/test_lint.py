import json
import os
from datetime import date
from pathlib import Path

import google_cloud_pipeline_components
import pytest
import yaml

from trainwright.compiling.lint.check import lint
from trainwright.compiling.lint.report import as_json, as_sarif, as_text
from trainwright.errors import UserError
from trainwright.settings import Allow

_SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "conformance"
CONFORMANCE = Path(os.environ.get("TRAINWRIGHT_CONFORMANCE") or _SHARED)  # as `make conformance` has it
TODAY = date(2026, 11, 25)


@pytest.fixture
def warned(sound: Path, tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(sound.read_text().replace("machine_type: g2-standard-12", "machine_type: g2-standard-24"))
    return path


def test_a_finding_names_file_line_and_task(warned: Path) -> None:
    report = lint([warned], today=TODAY)
    (finding,) = report.findings
    assert finding.task == "exit-handler-1/custom-training-job"
    lines = warned.read_text().splitlines()
    assert lines[finding.line - 1].strip() == "worker_pool_specs:"
    assert as_text(report).splitlines() == [
        f"{warned}:{finding.line}: error machine: task exit-handler-1/custom-training-job: worker pool 0:"
        " g2-standard-24 with 1 x NVIDIA_L4: it takes exactly 2; nearest is 2",
        "1 files checked, 1 errors, 0 warnings",
    ]
    assert as_json(report)["findings"][0]["line"] == finding.line


def test_sarif_points_at_the_rule_and_the_line(warned: Path) -> None:
    document = json.loads(json.dumps(as_sarif(lint([warned], today=TODAY))))
    (run,) = document["runs"]
    (result,) = run["results"]
    assert document["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "machine"
    (location,) = result["locations"]
    assert location["physicalLocation"]["region"]["startLine"] > 1
    assert location["physicalLocation"]["artifactLocation"]["uri"] == warned.as_uri()


def test_a_real_wrapped_component_whose_parameters_collide_is_found(tmp_path: Path) -> None:
    from google_cloud_pipeline_components.v1.custom_job import create_custom_training_job_from_component
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11-slim")
    def train(rows: int, labels: str) -> str:
        return labels * rows

    @dsl.pipeline(name="wrapped")
    def wrapped() -> None:
        job = create_custom_training_job_from_component(
            train, accelerator_type="NOT_A_GPU", accelerator_count=3
        )
        job(rows=1, labels="a").set_cpu_limit("4")

    compiler.Compiler().compile(wrapped, str(tmp_path / "p.yaml"))
    found = {finding.rule: finding.message for finding in lint([tmp_path / "p.yaml"], today=TODAY).findings}
    assert "'labels' takes the place" in found["custom-job-parameter"]
    assert "accelerator 'NOT_A_GPU' is unknown" in found["machine"]
    assert "the job does not get it" in found["resources-on-launcher"]


def test_what_is_meant_is_allowed_with_a_reason(warned: Path) -> None:
    reason = "We have been told that it works."
    fits = Allow(rule="machine", files="p.yaml", task="*/custom-*", text="g2-standard-24", reason=reason)
    report = lint([warned], [fits], today=TODAY)
    assert (report.findings, report.allowed, report.unused) == ([], 1, [])
    for other in ({"files": "q.yaml"}, {"task": "step"}, {"text": "a2"}):
        kept = lint([warned], [Allow(rule="machine", reason=reason, **other)], today=TODAY)
        assert (len(kept.findings), len(kept.unused)) == (1, 1)
    with pytest.raises(UserError, match=r"lint\.allow: unknown rule 'machin', nearest is 'machine'"):
        lint([warned], [Allow(rule="machin", reason=reason)])


def test_a_folder_is_looked_through_and_what_is_no_pipeline_is_skipped(warned: Path) -> None:
    (warned.parent / "values.yaml").write_text("a: 1")
    (warned.parent / ".hidden.yaml").write_text("a: [")
    report = lint([warned.parent], today=TODAY)
    assert ([path.name for path in report.files], [path.name for path in report.skipped]) == (
        ["p.yaml"],
        ["values.yaml"],
    )
    with pytest.raises(UserError, match=r"none\.yaml: no such file or folder"):
        lint([warned.parent / "none.yaml"])


def test_there_is_no_false_error_in_the_templates_of_the_official_components() -> None:
    folder = Path(google_cloud_pipeline_components.__file__).parent
    report = lint([folder], today=TODAY)
    assert len(report.files) == 17  # two are KFP 1 components: skipped
    assert [finding for finding in report.findings if finding.severity == "error"] == []


@pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="upstream's pipelines are not here")
def test_there_is_no_false_error_among_upstreams_pipelines() -> None:
    cases = yaml.safe_load((CONFORMANCE / "cases.yaml").read_text())
    for case in cases:
        report = lint([CONFORMANCE / "pipelines" / f"{case['id']}.yaml"], today=TODAY)
        errors = [finding.message for finding in report.findings if finding.severity == "error"]
        if case["expect"] != "refused":
            assert errors == [], case["id"]
