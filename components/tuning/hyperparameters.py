"""Hyperparameter tuning as a Vertex AI hyperparameter tuning job, with all that its API has.

Google Cloud Pipeline Components' HyperparameterTuningJobRunOp (2.22.0) has no automated or study stopping,
scheduling, labels or timeout, and runs in us-central1 unless it is told otherwise. So these components speak
to the API themselves, and keep the op's contract: `gcp_resources` is written as soon as there is a job, a
step that starts again goes on with that job, and a cancelled step cancels it.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, OutputPath

from trainwright.authoring.images import AIPLATFORM, PYARROW, PYTHON_IMAGE
from trainwright.components.tuning.report import hyperparameter_importance, report_tuning

# ruff: noqa: B006 - KFP reads the defaults, nothing changes them

# Defaults in double braces are placeholders of Google Cloud Pipeline Components for what the run has, written
# out because a lightweight component is compiled from its source alone.


@dsl.component(base_image=PYTHON_IMAGE)
def describe_tuning_job(
    display_name: str,
    worker_pool_specs: list,
    search_space: list,
    metric: str,
    goal: str,
    directory: Output[Artifact],
    job: Output[Artifact],
    max_trial_count: int = 20,
    parallel_trial_count: int = 2,
    max_failed_trial_count: int = 0,
    algorithm: str = "ALGORITHM_UNSPECIFIED",
    measurement_selection: str = "BEST_MEASUREMENT",
    automated_stopping: str = "NONE",
    automated_stopping_settings: dict = {},
    study_stopping: dict = {},
    strategy: str = "STANDARD",
    timeout: str = "604800s",
    max_wait_duration: str = "86400s",
    restart_job_on_worker_restart: bool = False,
    disable_retries: bool = False,
    trial_settings: dict = {},
    labels: dict = {},
    service_account: str = "{{$.pipeline_service_account}}",
    network: str = "{{$.pipeline_network}}",
    encryption_key: str = "{{$.pipeline_encryption_key_name}}",
    persistent_resource_id: str = "{{$.pipeline_persistent_resource_id}}",
) -> None:
    """Describes a hyperparameter tuning job and checks what can be known before it costs money.

    Its arguments are those of `tune_hyperparameters`, which says more about them.

    Args:
        display_name: Name of the job.
        worker_pool_specs: What a trial runs.
        search_space: The hyperparameters and their values.
        metric: What the trials are compared by.
        goal: "MAXIMIZE" or "MINIMIZE".
        directory: Where trial N writes, below `N/`. It is cached with this task, so that the same tuning
            finds its own directory again.
        job: The job as JSON (Vertex AI API v1, `HyperparameterTuningJob`).
        max_trial_count: Trials in all.
        parallel_trial_count: Trials at a time.
        max_failed_trial_count: Failed trials that the job bears.
        algorithm: How the next trial is chosen.
        measurement_selection: Which of a trial's measurements counts.
        automated_stopping: Which rule stops trials that promise little.
        automated_stopping_settings: Of that rule.
        study_stopping: When the whole study ends before its last trial.
        strategy: How a trial gets its machine.
        timeout: Longest time that a trial may run.
        max_wait_duration: Longest time that a FLEX_START trial waits for its machine.
        restart_job_on_worker_restart: Whether a replica that is restarted restarts its whole trial.
        disable_retries: Whether a trial that the machine failed is not tried again.
        trial_settings: More of `CustomJobSpec`.
        labels: Of the job.
        service_account: Of the trials; the run's own by default.
        network: Of the trials; the run's own by default.
        encryption_key: Of the job; the run's own by default.
        persistent_resource_id: Where the trials run; the run's own by default.

    Raises:
        ValueError: A value is not one of the allowed ones, or the counts do not fit together.
    """
    import difflib
    import json
    from pathlib import Path

    stopping = {
        "NONE": "",
        "MEDIAN": "median_automated_stopping_spec",
        "DECAY_CURVE": "decay_curve_stopping_spec",
        "CONVEX": "convex_automated_stopping_spec",
    }
    for name, found, allowed in [
        ("goal", goal, ["MAXIMIZE", "MINIMIZE"]),
        ("algorithm", algorithm, ["ALGORITHM_UNSPECIFIED", "RANDOM_SEARCH", "GRID_SEARCH"]),
        ("measurement_selection", measurement_selection, ["BEST_MEASUREMENT", "LAST_MEASUREMENT"]),
        ("automated_stopping", automated_stopping, list(stopping)),
        ("strategy", strategy, ["STANDARD", "SPOT", "FLEX_START", "ON_DEMAND", "LOW_COST"]),
    ]:
        if found not in allowed:
            nearest = difflib.get_close_matches(str(found).upper(), allowed, 1, 0.3) or allowed[:1]
            raise ValueError(f"{name} {found!r}; expected {', '.join(allowed)}; nearest: {nearest[0]}")
    if not 1 <= parallel_trial_count <= max_trial_count:
        raise ValueError(f"parallel_trial_count {parallel_trial_count}: expected 1 to {max_trial_count}")
    if not 0 <= max_failed_trial_count <= max_trial_count:
        raise ValueError(f"max_failed_trial_count {max_failed_trial_count}: expected 0 to {max_trial_count}")
    if not search_space:
        raise ValueError("search_space is empty: expected at least one parameter")
    study: dict[str, object] = {
        "metrics": [{"metric_id": metric, "goal": goal}],
        "parameters": search_space,
        "algorithm": algorithm,
        "measurement_selection_type": measurement_selection,
    }
    if stopping[automated_stopping]:
        study[stopping[automated_stopping]] = automated_stopping_settings
    if study_stopping:
        study["study_stopping_config"] = study_stopping
    trial = {
        "worker_pool_specs": worker_pool_specs,
        "base_output_directory": {"output_uri_prefix": directory.uri},
        "scheduling": {
            "strategy": strategy,
            "timeout": timeout,
            "max_wait_duration": max_wait_duration,
            "restart_job_on_worker_restart": restart_job_on_worker_restart,
            "disable_retries": disable_retries,
        },
        "service_account": service_account,
        "network": network,
        "persistent_resource_id": persistent_resource_id,
        **trial_settings,
    }
    described: dict[str, object] = {
        "display_name": display_name,
        "study_spec": study,
        "max_trial_count": max_trial_count,
        "parallel_trial_count": parallel_trial_count,
        "max_failed_trial_count": max_failed_trial_count,
        "trial_job_spec": trial,
        "labels": labels,
    }
    if encryption_key:
        described["encryption_spec"] = {"kms_key_name": encryption_key}
    Path(job.path).write_text(json.dumps(described, indent=1), encoding="utf-8")


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[AIPLATFORM])
def run_tuning_job(
    job: Input[Artifact],
    gcp_resources: OutputPath(str),  # type: ignore[valid-type]
    project: str = "{{$.pipeline_google_cloud_project_id}}",
    location: str = "{{$.pipeline_google_cloud_location}}",
) -> None:
    """Runs a hyperparameter tuning job to its end, as Google Cloud Pipeline Components' launcher does.

    Args:
        job: JSON of `describe_tuning_job`.
        gcp_resources: The job's address, written as soon as there is a job: a step that starts again goes on
            with it. A step that is cancelled (SIGTERM) cancels it.
        project: Project of the job; the run's own by default.
        location: Location of the job; the run's own by default.

    Raises:
        RuntimeError: The job failed; the message names the trials that did, their parameters and why.
    """
    import json
    import os
    import signal
    import time
    from pathlib import Path

    from google.api_core.retry import Retry
    from google.cloud import aiplatform_v1 as v1

    # Held back, so that it never comes between a job's creation and the note of it: looked for below.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    endpoint, resources = f"{location}-aiplatform.googleapis.com", Path(gcp_resources)
    client = v1.JobServiceClient(client_options={"api_endpoint": endpoint})
    if resources.is_file() and resources.stat().st_size:
        known = json.loads(resources.read_text(encoding="utf-8"))["resources"][0]["resourceUri"]
        name = known.partition("/v1/")[2]
    else:
        asked = v1.HyperparameterTuningJob.from_json(Path(job.path).read_text(encoding="utf-8"))
        system = json.loads(os.environ.get("VERTEX_AI_PIPELINES_RUN_LABELS") or "{}")
        asked.labels = {**system, **asked.labels}  # so that the bill names the run, as for the official ops
        parent = f"projects/{project}/locations/{location}"
        name = client.create_hyperparameter_tuning_job(parent=parent, hyperparameter_tuning_job=asked).name
        address = {"resourceType": "HyperparameterTuningJob", "resourceUri": f"https://{endpoint}/v1/{name}"}
        resources.write_text(json.dumps({"resources": [address]}), encoding="utf-8")
    print(f"hyperparameter tuning job {name}", flush=True)  # noqa: T201 - the task's log
    began = time.monotonic()
    while True:
        found = client.get_hyperparameter_tuning_job(name=name, retry=Retry(timeout=600))
        state = found.state.name.removeprefix("JOB_STATE_")
        if state in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"):
            break
        # Each look brings all trials: seldom in a long job, at most a twentieth of its time too late.
        if signal.sigtimedwait({signal.SIGTERM}, min(20, max(0.5, (time.monotonic() - began) / 20))):
            client.cancel_hyperparameter_tuning_job(name=name)
            raise SystemExit(128 + signal.SIGTERM)
    if state not in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
        failed = [trial for trial in found.trials if trial.state == v1.Trial.State.INFEASIBLE]
        why = [found.error.message.strip()]
        for trial in failed[:5]:
            given = ", ".join(f"{each.parameter_id}={each.value}" for each in trial.parameters)
            why.append(f"trial {trial.id} ({given}): {trial.infeasible_reason}")
        raise RuntimeError(f"hyperparameter tuning job {name} ended as {state}: " + "\n".join(why))


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[AIPLATFORM, PYARROW])
def tuning_results(
    gcp_resources: str,
    trials: Output[Dataset],
    metrics: Output[Metrics],
) -> NamedTuple(  # type: ignore[valid-type]
    "TuningResults", [("best_hyperparameters", dict), ("best_metric", float), ("best_trial", str)]
):
    """Reads what the trials of a hyperparameter tuning job came to.

    Args:
        gcp_resources: Of `run_tuning_job`, or of the official op.
        trials: Parquet, one row for each trial: `trial`, `state`, `value` (of the metric; none for a trial
            that failed), `step`, `params_NAME` for each hyperparameter, `start`, `end`, `reason` (why it is
            infeasible) and `measurements`, a list of `step`, `seconds` and `value`. Metadata: `metric`,
            `goal`, `log_scaled` (columns) and what every Dataset has.
        metrics: The best value under the metric's name, `trials` and `infeasible_trials`.

    Returns:
        `best_hyperparameters` by name, whole numbers for INTEGER parameters; `best_metric`; `best_trial`, its
        id. The earliest trial where several are equal.

    Raises:
        RuntimeError: No trial has the metric.
    """
    import json
    import math

    import pyarrow
    import pyarrow.parquet
    from google.cloud import aiplatform_v1 as v1

    address = json.loads(gcp_resources)["resources"][0]["resourceUri"]
    endpoint, _, name = address.removeprefix("https://").partition("/v1/")
    client = v1.JobServiceClient(client_options={"api_endpoint": endpoint})
    job = client.get_hyperparameter_tuning_job(name=name)
    metric, pending = job.study_spec.metrics[0], list(job.study_spec.parameters)
    specs: dict[str, v1.StudySpec.ParameterSpec] = {}
    while pending:
        spec = pending.pop(0)
        specs.setdefault(spec.parameter_id, spec)
        pending += [child.parameter_spec for child in spec.conditional_parameter_specs]

    def plain(name: str, value: object) -> object:
        if isinstance(value, float) and value.is_integer():
            values = list(specs[name].discrete_value_spec.values)
            is_whole = "integer_value_spec" in specs[name] or (values and all(v.is_integer() for v in values))
            return int(value) if is_whole else value
        return value

    def value_of(measurement: v1.Measurement) -> float | None:
        found = [each.value for each in measurement.metrics if each.metric_id == metric.metric_id]
        return found[0] if found and math.isfinite(found[0]) else None

    rows, chosen = [], {}
    for trial in job.trials:
        given = {each.parameter_id: plain(each.parameter_id, each.value) for each in trial.parameters}
        is_done, chosen[trial.id] = trial.state == v1.Trial.State.SUCCEEDED, given
        curve = [
            {
                "step": each.step_count,
                "seconds": each.elapsed_duration.total_seconds(),
                "value": value_of(each),
            }
            for each in trial.measurements
        ]
        row = {"trial": trial.id, "state": trial.state.name}
        row["value"] = value_of(trial.final_measurement) if is_done else None
        row["step"] = trial.final_measurement.step_count if is_done else None
        row |= {f"params_{each}": given.get(each) for each in specs}
        row |= {"start": trial.start_time, "end": trial.end_time, "reason": trial.infeasible_reason}
        rows.append({**row, "measurements": curve})
    counted = [row for row in rows if row["value"] is not None]
    if not counted:
        raise RuntimeError(f"{name}: none of {len(rows)} trials has the metric {metric.metric_id!r}")
    sign = -1 if metric.goal == v1.StudySpec.MetricSpec.GoalType.MINIMIZE else 1
    best = max(counted, key=lambda row: sign * row["value"])  # the first of equals
    table = pyarrow.Table.from_pylist(rows)
    trials.uri += ".parquet"
    pyarrow.parquet.write_table(table, trials.path)
    schema = {field.name: str(field.type) for field in table.schema}
    logs = [f"params_{name}" for name, spec in specs.items() if spec.scale_type.name == "UNIT_LOG_SCALE"]
    trials.metadata.update(rows=len(rows), columns=list(schema), schema=schema, format="parquet")
    trials.metadata.update(metric=metric.metric_id, goal=metric.goal.name, log_scaled=logs)
    metrics.log_metric(metric.metric_id, best["value"])
    metrics.log_metric("trials", len(rows))
    metrics.log_metric("infeasible_trials", sum(row["state"] == "INFEASIBLE" for row in rows))
    return (chosen[best["trial"]], best["value"], best["trial"])


class Tuning(NamedTuple):
    """What a tuning gives."""

    best_hyperparameters: dict
    best_metric: float
    best_trial: str
    trials: Dataset
    importance: dict
    report: HTML
    metrics: Metrics
    gcp_resources: str


@dsl.pipeline(
    name="tune-hyperparameters",
    description="Searches for the best hyperparameters of a program, in a hyperparameter tuning job.",
)
def tune_hyperparameters(
    worker_pool_specs: list,
    search_space: list,
    metric: str,
    goal: str,
    display_name: str = "tune-hyperparameters",
    max_trial_count: int = 20,
    parallel_trial_count: int = 2,
    max_failed_trial_count: int = 0,
    algorithm: str = "ALGORITHM_UNSPECIFIED",
    measurement_selection: str = "BEST_MEASUREMENT",
    automated_stopping: str = "NONE",
    automated_stopping_settings: dict = {},
    study_stopping: dict = {},
    strategy: str = "STANDARD",
    timeout: str = "604800s",
    max_wait_duration: str = "86400s",
    restart_job_on_worker_restart: bool = False,
    disable_retries: bool = False,
    trial_settings: dict = {},
    labels: dict = {},
) -> Tuning:
    """Searches for the best hyperparameters of a program, as a Vertex AI hyperparameter tuning job.

    The program gets each hyperparameter as `--NAME=VALUE` after its own arguments, and reports the metric
    with cloudml-hypertune or as `trainers.reporting.Reporter` does.

    Args:
        worker_pool_specs: What a trial runs (Vertex AI API v1, `CustomJobSpec.worker_pool_specs`).
        search_space: The hyperparameters: what `study_spec_parameters` makes of typed values
            (`trainwright.authoring.search_spaces`), which is the API's `StudySpec.ParameterSpec` in JSON:
            `parameter_id`; one of `double_value_spec` and `integer_value_spec` (`min_value`, `max_value`),
            `discrete_value_spec` (`values`, ascending numbers) and `categorical_value_spec` (`values`,
            texts); `scale_type` for all but texts; `conditional_parameter_specs` for those that exist only at
            some of its values.
        metric: What the trials are compared by, under the name that the program reports it by.
        goal: "MAXIMIZE" or "MINIMIZE".
        display_name: Name of the job, 1 to 128 characters.
        max_trial_count: Trials in all, 1 or more; ten for each hyperparameter is Google's advice (Vertex AI
            documentation, "Use hyperparameter tuning", 2026-08-22).
        parallel_trial_count: Trials at a time; the fewer, the more each one learns from the others.
        max_failed_trial_count: Failed trials that the job bears; 0: the first one that fails ends the job.
        algorithm: "ALGORITHM_UNSPECIFIED" (Bayesian), "RANDOM_SEARCH" or "GRID_SEARCH" (not for doubles).
        measurement_selection: "BEST_MEASUREMENT" or "LAST_MEASUREMENT" of a trial counts.
        automated_stopping: Which rule ends trials that promise little: "NONE", "MEDIAN", "DECAY_CURVE" or
            "CONVEX".
        automated_stopping_settings: Of that rule (API v1, `StudySpec.MedianAutomatedStoppingSpec`,
            `DecayCurveAutomatedStoppingSpec`, `ConvexAutomatedStoppingSpec`), e.g. `use_elapsed_duration`.
        study_stopping: When the study ends before its last trial (API v1, `StudySpec.StudyStoppingConfig`),
            e.g. {"max_num_trials_no_progress": 10, "maximum_runtime_constraint": {"max_duration": "3600s"}}.
        strategy: "STANDARD", "SPOT" or "FLEX_START" (API v1, `Scheduling.Strategy`). Spot trials need a
            program with checkpoints.
        timeout: Longest time that a trial may run, in seconds with an "s".
        max_wait_duration: Longest time that a FLEX_START trial waits for its machine, likewise.
        restart_job_on_worker_restart: Whether a replica that is restarted restarts its whole trial.
        disable_retries: Whether a trial that the machine failed is not tried again.
        trial_settings: More of API v1's `CustomJobSpec`: `tensorboard`, `enable_web_access`,
            `reserved_ip_ranges`, `psc_interface_config`; or `base_output_directory` in place of our own.
        labels: Of the job and its trials; the run's own are added.

    Returns:
        `best_hyperparameters` by name, `best_metric` and `best_trial`. `trials`: all of them, Parquet.
        `importance` of each hyperparameter, from 0 to 1. `report`: a page about the trials. `metrics`: the
        best value and counts. `gcp_resources`: the job.
    """
    described = describe_tuning_job(
        worker_pool_specs=worker_pool_specs,
        search_space=search_space,
        metric=metric,
        goal=goal,
        display_name=display_name,
        max_trial_count=max_trial_count,
        parallel_trial_count=parallel_trial_count,
        max_failed_trial_count=max_failed_trial_count,
        algorithm=algorithm,
        measurement_selection=measurement_selection,
        automated_stopping=automated_stopping,
        automated_stopping_settings=automated_stopping_settings,
        study_stopping=study_stopping,
        strategy=strategy,
        timeout=timeout,
        max_wait_duration=max_wait_duration,
        restart_job_on_worker_restart=restart_job_on_worker_restart,
        disable_retries=disable_retries,
        trial_settings=trial_settings,
        labels=labels,
    ).set_display_name("Describe the tuning job")
    job = run_tuning_job(job=described.outputs["job"]).set_display_name("Tune in a hyperparameter tuning job")
    results = tuning_results(gcp_resources=job.outputs["gcp_resources"]).set_display_name("Read the trials")
    weighed = hyperparameter_importance(trials=results.outputs["trials"])
    weighed.set_display_name("Weigh the hyperparameters")
    page = report_tuning(trials=results.outputs["trials"], importance=weighed.output, title=display_name)
    page.set_display_name("Report the tuning")
    return Tuning(
        best_hyperparameters=results.outputs["best_hyperparameters"],
        best_metric=results.outputs["best_metric"],
        best_trial=results.outputs["best_trial"],
        trials=results.outputs["trials"],
        importance=weighed.output,
        report=page.outputs["report"],
        metrics=results.outputs["metrics"],
        gcp_resources=job.outputs["gcp_resources"],
    )
