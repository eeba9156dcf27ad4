"""Costs of three pipelines, computed by hand from the prices that the sources name, beside the estimate's."""

from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from trainwright.compiling.cost import estimate, runs_a_month
from trainwright.compiling.spec import read_pipeline
from trainwright.errors import UserError

# USD an hour on Vertex AI: price page (e2-standard-4, us-central1), and the rules on the prices of the
# Cloud Billing Catalog of 2026-07-30. Disk: 100 GB pd-ssd, 1.15 times 0.17 (0.187 in Europe) a GB and month
# of 730 h.
E2_4, E2_8, E2_4_EUROPE = 0.154126, 0.308252, 0.169668
A100_SPOT_EUROPE = 2.2550
DISK, DISK_EUROPE = 100 * 0.1955 / 730, 100 * 0.21505 / 730
RUN = 0.03


def _compiled(pipeline: Any, folder: Path) -> dict[str, Any]:
    path = folder / "p.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return read_pipeline(path).spec


def test_steps_in_a_loop_and_with_limits(tmp_path: Path) -> None:
    @dsl.component(base_image="python:3.11-slim")
    def step(text: str) -> str:
        return text

    @dsl.pipeline(name="steps")
    def steps(items: list) -> None:
        step(text="a").set_cpu_limit("8").set_memory_limit("30G")
        with dsl.ParallelFor(["a", "b", "c"]) as item:
            step(text=item)
        with dsl.ParallelFor(items) as item:
            step(text=item)

    spec = _compiled(steps, tmp_path)
    hours = {"step": 0.5, "for-loop-2/step-2": 0.25, "for-loop-3/step-3": 1.0}
    names = {line.task for line in estimate(spec, location="us-central1").lines}
    assert set(hours) < names, names
    by_hand = 0.5 * E2_8 + 3 * 0.25 * E2_4 + 1.0 * E2_4 + RUN
    found = estimate(spec, location="us-central1", hours=hours)
    assert found.usd == pytest.approx(by_hand, rel=1e-4)
    assert any("in a loop of unknown length: counted once" in line.assumptions for line in found.lines)
    longer = estimate(spec, location="us-central1", hours=hours, parameters={"items": ["x"] * 5})
    assert longer.usd == pytest.approx(by_hand + 4 * E2_4, rel=1e-4)


def test_a_distributed_spot_job(tmp_path: Path) -> None:
    from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp

    from trainwright.authoring.containers import Container
    from trainwright.authoring.machines import Machine
    from trainwright.authoring.worker_pools import WorkerPool, worker_pool_specs

    @dsl.pipeline(name="spot")
    def spot(machine_type: str, workers: int = 3) -> None:
        pool = WorkerPool(Machine("a2-highgpu-1g"), Container("ghcr.io/acme/t:1"))
        more = WorkerPool(
            Machine(machine_type, "A100", 1), Container("ghcr.io/acme/t:1"), replica_count=workers
        )
        CustomTrainingJobOp(
            display_name="d",
            worker_pool_specs=worker_pool_specs(pool, workers=more, strategy="SPOT"),
            strategy="SPOT",
            base_output_directory="gs://b/o",
        )

    spec = _compiled(spot, tmp_path)
    found = estimate(
        spec,
        location="europe-west4",
        parameters={"machine_type": "a2-highgpu-1g"},
        hours={"custom-training-job": 2.5},
    )
    by_hand = 4 * 2.5 * (A100_SPOT_EUROPE + DISK_EUROPE) + 2.5 * E2_4_EUROPE + RUN
    assert found.usd == pytest.approx(by_hand, rel=1e-4)
    spotted = next(line for line in found.lines if "SPOT" in line.what)
    assert "spot 1.6928 + 15 % fee 0.5622, 2026-07-30" in spotted.assumptions[1]
    unknown = estimate(spec, location="europe-west4")
    (line,) = unknown.unknown
    assert line.assumptions == ("the machine is known at run time only",)


def test_automl_and_tuning(sound: Path) -> None:
    spec = read_pipeline(sound).spec
    inside = "exit-handler-1"
    hours = {
        f"{inside}/automl-tabular-training-job": 2.0,
        f"{inside}/custom-training-job": 1.0,
        f"{inside}/hyperparameter-tuning-job": 0.5,
        f"{inside}/step": 0.1,
        f"{inside}/for-loop-3/step-2": 0.1,
        f"{inside}/tabular-dataset-create": 0.1,
        "vertex-pipelines-notification-email": 0.1,
    }
    found = estimate(spec, location="us-central1", hours=hours)
    automl = 2 * 21.252 + 2.0 * E2_4  # 2,000 milli node hours, and the launcher that waits
    job = 1.0 * (1.15052 + DISK) + 1.0 * E2_4  # g2-standard-12: 1.15 x 1.00045
    tuning = 20 * 0.5 * (E2_8 + DISK) + 4 * 0.5 * E2_4  # 20 trials, 5 at a time: 4 rounds
    steps = 0.1 * E2_8 + 2 * 0.1 * E2_4 + 2 * 0.1 * E2_4
    assert found.usd == pytest.approx(automl + job + tuning + steps + RUN, rel=1e-4)
    measured = {f"{inside}/hyperparameter-tuning-job": 2.0}  # the whole task, of four rounds
    rest = {path: each for path, each in hours.items() if "tuning" not in path}
    again = estimate(spec, location="us-central1", hours=rest, measured=measured)
    assert again.usd == pytest.approx(found.usd)


def test_a_duration_of_no_task_is_refused(sound: Path) -> None:
    with pytest.raises(UserError, match=r"hours of exit-handler-1/stp: no task of the pipeline, nearest is"):
        estimate(read_pipeline(sound).spec, location="us-central1", hours={"exit-handler-1/stp": 1.0})


@pytest.mark.parametrize(
    ("cron", "runs"),
    [
        ("0 3 * * *", 365 / 12),
        ("TZ=Europe/Berlin 0 3 * * 1", 52 / 12),
        ("0 0 1 * *", 11 / 12),  # a year from 2026-01-01, without its first instant
        ("* * * * *", 365 * 24 * 60 / 12),
    ],
)
def test_a_schedule_costs_by_the_month(cron: str, runs: float) -> None:
    assert runs_a_month(cron) == pytest.approx(runs, rel=1e-3)


def test_what_is_no_cron_is_refused() -> None:
    for text in ("daily", "0 0 3 * * *", "61 * * * *"):
        with pytest.raises(UserError, match="expected five fields"):
            runs_a_month(text)
