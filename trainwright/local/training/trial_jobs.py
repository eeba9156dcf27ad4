"""A trial as a custom job: the spec that it runs by, and what it told through its metric file."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainwright.local.training.specs import output_directory_of
from trainwright.local.training.tuning.measurements import Metric, Report, final_of, reports_of
from trainwright.local.training.tuning.space import Value, arguments
from trainwright.local.training.tuning.trials import Measurement

_METRIC_FILE = "CLOUD_ML_HP_METRIC_FILE"


def trial_spec(spec: dict, *, trial_id: str, parameters: Mapping[str, Value], folder: Path) -> dict:
    """The CustomJobSpec of one trial.

    Parameters follow the arguments of every replica. Output goes to BASE_OUTPUT_DIRECTORY/TRIAL_ID
    (CustomJobSpec.base_output_directory, google-cloud-aiplatform 1.165.1). Each pool has a metric file of its
    own, as its containers have on Vertex AI, and the primary replica's counts.

    Args:
        spec: HyperparameterTuningJob.trial_job_spec as camelCase JSON; stays as it is.
        trial_id: "1", "2" …
        parameters: Of the trial.
        folder: For the metric files.
    """
    spec = copy.deepcopy(spec)
    for number, pool in enumerate(spec.get("workerPoolSpecs", ())):
        program = pool.get("containerSpec") or pool.get("pythonPackageSpec")
        if not program:
            continue
        program["args"] = [*program.get("args", ()), *arguments(parameters)]
        others = [entry for entry in program.get("env", ()) if entry.get("name") != _METRIC_FILE]
        program["env"] = [*others, {"name": _METRIC_FILE, "value": str(metric_file(folder, number))}]
    if base := output_directory_of(spec):
        spec["baseOutputDirectory"] = {"outputUriPrefix": f"{base}/{trial_id}"}
    return spec


def metric_file(folder: Path, pool: int = 0) -> Path:
    """Where the replicas of a pool report their metrics."""
    return folder / f"workerpool{pool}.metrics"


def read_reports(folder: Path) -> list[Report]:
    """What the primary replica has reported last; none when it has not begun to."""
    try:
        return reports_of(metric_file(folder).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []


def missing_metric(measurements: Sequence[Measurement], metrics: Sequence[Metric], folder: Path) -> str:
    """Why a trial that has ended well is INFEASIBLE.

    Args:
        measurements: Of the trial; they lack a metric.
        metrics: Of the study.
        folder: Of its metric files.
    """
    missing = next(metric.id for metric in metrics if final_of(measurements, [metric], best=False) is None)
    reports = read_reports(folder)
    if any(report.metric == missing for report in reports):
        return f"The trial reported no finite value of the metric {missing!r}."
    others = ", ".join(sorted({repr(report.metric) for report in reports}))
    told = f"it reported {others}" if others else "it reported none"
    return f"The trial did not report the metric {missing!r}: {told}."
