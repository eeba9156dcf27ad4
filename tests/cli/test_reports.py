"""What is shown of a run: progress, summary, failure and JSON."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trainwright.cli.failure import describe, log_url
from trainwright.cli.output import duration
from trainwright.cli.progress import Progress, task_table
from trainwright.cli.session import Session
from trainwright.cli.summary import as_json, headline, print_summary
from trainwright.settings import read_environments
from trainwright.vertex.models import Version
from trainwright.vertex.runs import Artifact, Run, Task

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOCAL = read_environments(None)["local"]


def _task(path: str, state: str = "SUCCEEDED", **rest: Any) -> Task:
    fields: dict[str, Any] = {
        "id": "7",
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "depth": path.count("/"),
        "state": state,
        "started": START,
        "ended": START + timedelta(seconds=1.5),
        "error": "",
        "parameters": {},
        "artifacts": {},
    }
    return Task(**fields | rest)


def _run(*tasks: Task, state: str = "SUCCEEDED", **outputs: Any) -> Run:
    return Run(
        name="projects/p/locations/us-central1/pipelineJobs/p-1",
        pipeline="p",
        state=f"PIPELINE_STATE_{state}",
        created=START,
        started=START,
        ended=START + timedelta(seconds=75) if state != "RUNNING" else None,
        error="",
        tasks=tasks,
        outputs=outputs,
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0 s"), (9.9, "9.9 s"), (12.4, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"),
     (7620, "2 h 07 min")],
)  # fmt: skip
def test_durations_are_for_people(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_piped_progress_is_one_line_a_task_when_it_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.show(_run(_task("ingest", "RUNNING", ended=None), state="RUNNING"))
        assert capsys.readouterr().out == ""
        group = _task("train", "RUNNING", ended=None, is_group=True)
        progress.show(_run(_task("ingest", "SKIPPED"), group, _task("train/fit"), state="RUNNING"))
        ended = _run(_task("ingest", "SKIPPED"), _task("train", is_group=True), _task("train/fit"))
        progress.show(ended)
        progress.show(ended)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "SUCCEEDED 1.5 s ingest (cached)",
        "SUCCEEDED 1.5 s train/fit",
        "SUCCEEDED 1.5 s train",
    ]


def test_on_a_terminal_every_task_has_a_row() -> None:
    from rich.console import Console

    console = Console(width=60, record=True, file=io.StringIO())
    console.print(task_table(_run(_task("train", "RUNNING", is_group=True), _task("train/fit", "SKIPPED"))))
    rows = [line.split() for line in console.export_text().splitlines()]
    assert rows == [["train", "RUNNING", "1.5", "s"], ["fit", "SUCCEEDED", "1.5", "s", "(cached)"]]


def test_the_summary_has_metrics_outputs_models_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "storage" / "bucket" / "r" / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    model = {"resourceName": "projects/1/locations/l/models/7@2"}
    metrics = {"loss": 1, "auRoc": 0.84123456, "curve": [1]}
    measured = Artifact("gs://bucket/m", "system.Metrics", metrics)
    seconds = Artifact("gs://bucket/s", "system.Metrics", {"seconds": 3})
    run = _run(
        _task(
            "evaluate",
            artifacts={
                "metrics": (measured,),
                "report": (Artifact("gs://bucket/r/report.html", "system.HTML", {}),),
            },
        ),
        _task("time", title="Measure time", artifacts={"metrics": (seconds,)}),
        _task("train", artifacts={"metrics": (Artifact("gs://bucket/n", "system.Metrics", {"loss": 0.5}),)}),
        _task("fingerprint", parameters={"Output": "12469fce"}),
        _task("register", artifacts={"model": (Artifact("https://h/v1/x", "google.VertexModel", model),)}),
        gain=0.02,
        test_metrics=measured,
    )
    name = model["resourceName"]
    print_summary(run, state=tmp_path, versions={name: Version(name, "churn", "2", ("default", "v2"))})
    shown = capsys.readouterr().out
    assert [" ".join(line.split()) for line in shown.splitlines() if line] == [
        "test metrics evaluate train",
        "auRoc 0.841235",
        "loss 1 0.5",
        "metrics Measure time",
        "seconds 3",
        "outputs",
        "gain 0.02",
        "models",
        "projects/1/locations/l/models/7@2 churn, version 2: the default version",
        "reports",
        f"evaluate {report}",
    ]


def test_without_outputs_of_the_pipeline_the_summary_has_the_texts_of_its_tasks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_summary(_run(_task("compare", parameters={"verdict": "challenger wins", "gain": 0.1})), state=None)
    assert capsys.readouterr().out.split() == ["outputs", "compare", "verdict", "challenger", "wins"]


def test_a_failure_names_the_task_the_last_lines_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "pipelineJobs" / "p-1" / "train.fit.log"
    log.parent.mkdir(parents=True)
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    error = f"task 'train/fit' failed with exit code 3: line 98 | line 99; log: {log}"
    failed = _task("train/fit", "FAILED", error=error)
    run = _run(_task("train", "FAILED", is_group=True), failed, state="FAILED")
    lines = describe(run, Session(LOCAL, tmp_path)).splitlines()
    assert lines[0] == "task 'train/fit' failed with exit code 3: line 98 | line 99"
    assert lines[1:3] == ["  last lines of its log:", "    line 80"]
    assert lines[-2:] == ["    line 99", f"  log: {log}"]


def test_a_failure_shows_what_the_component_said_not_what_kfp_wrote_before(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "pipelineJobs" / "p-1" / "fit.log"
    log.parent.mkdir(parents=True)
    frames = "".join(f'  File "lib{number}.py", line 1, in call\n    call()\n' for number in range(7))
    log.write_text(
        "[KFP Executor 2026-11-23 07:48:49,542 INFO]: Got executor_input:\n{\n"
        f'    "inputs": {{}}\n}}\nread 7 rows\n'
        f"Traceback (most recent call last):\n{frames}ValueError: too few\n"
    )
    error = f"task 'fit' failed with exit code 1: ValueError: too few; log: {log}"
    lines = describe(_run(_task("fit", "FAILED", error=error), state="FAILED"), Session(LOCAL, tmp_path))
    assert lines.splitlines()[:3] == [
        "task 'fit' failed with exit code 1: ValueError: too few",
        "  last lines of its log:",
        "    read 7 rows",
    ]
    assert lines.splitlines()[-2:] == ["    ValueError: too few", f"  log: {log}"]


def test_the_log_of_the_job_that_a_task_waited_for_comes_first(tmp_path: Path) -> None:
    launcher, replica = tmp_path / "launcher.log", tmp_path / "replica.log"
    launcher.write_text("ValueError: Job failed with value error in error state: 5.\n")
    replica.write_text("loaded\nno memory left\n")
    error = "task 'fit' failed with exit code 1: The replica exited. no memory left"
    failed = _task("fit", "FAILED", error=f"{error}; log: {replica}; log: {launcher}")
    run = _run(failed, state="FAILED")
    assert describe(run, Session(LOCAL, tmp_path)).splitlines() == [
        error,
        "  last lines of its log:",
        "    loaded",
        "    no memory left",
        f"  log: {replica}",
        f"  log: {launcher}",
    ]


def test_a_failure_in_the_cloud_names_the_page_of_its_log() -> None:
    failed = _task("fit", "FAILED", error="The replica exited.", job="projects/p/locations/l/customJobs/42")
    run = _run(failed, state="FAILED")
    cloud = LOCAL.model_copy(update={"name": "prod"})
    assert describe(run, Session(cloud)).splitlines() == [
        "task 'fit' failed: The replica exited.",
        f"  log: {log_url(run, failed)}",
    ]
    assert log_url(run, failed).endswith("/logs/query;query=%2242%22?project=p")


def test_a_run_as_json() -> None:
    artifact = Artifact("gs://b/m", "system.Metrics", {"auc": 0.5})
    run = _run(_task("a", "SKIPPED"), _task("b", "FAILED", error="boom"), state="FAILED", m=artifact, n=1)
    assert as_json(run, "why") == {
        "name": run.name,
        "state": "PIPELINE_STATE_FAILED",
        "outputs": {"m": {"uri": "gs://b/m", "metadata": {"auc": 0.5}, "schema": "system.Metrics"}, "n": 1},
        "error": "why",
        "tasks": [
            {
                "name": "a",
                "path": "a",
                "state": "SKIPPED",
                "error": None,
                "duration_seconds": 1.5,
                "cached": True,
            },
            {
                "name": "b",
                "path": "b",
                "state": "FAILED",
                "error": "boom",
                "duration_seconds": 1.5,
                "cached": False,
            },
        ],
    }
    assert headline(run) == "run p-1 FAILED in 1 min 15 s: 2 tasks, 1 from the cache"
