"""What a hyperparameter tuning job asks for, as plain values: its study and how many trials it may have.

After HyperparameterTuningJob and StudySpec (google-cloud-aiplatform 1.165.1), as camelCase JSON.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trainwright.local.training.tuning.measurements import Metric
from trainwright.local.training.tuning.space import Parameter, every, parameters_of

BAYESIAN, GRID, RANDOM = "ALGORITHM_UNSPECIFIED", "GRID_SEARCH", "RANDOM_SEARCH"
MEDIAN, DECAY_CURVE, CONVEX = (
    "medianAutomatedStoppingSpec",
    "decayCurveStoppingSpec",
    "convexAutomatedStoppingSpec",
)
_TIMES = {"minimumRuntimeConstraint", "maximumRuntimeConstraint"}


@dataclass(frozen=True)
class StoppingRule:
    """When a running trial is stopped.

    Attributes:
        kind: The field of StudySpec: MEDIAN, DECAY_CURVE or CONVEX.
        by_seconds: Whether curves go by elapsed seconds and not by steps.
        max_step_count: CONVEX: where curves end; None: where those of completed trials do.
        min_step_count: CONVEX: a trial that has not passed it goes on; None: a tenth of the above.
        min_measurement_count: CONVEX: fewer measurements decide nothing.
        learning_rate: CONVEX: id of the parameter that is the learning rate; empty when there is none.
        updates_stopped: CONVEX: whether final measurements of stopped trials follow the newest model.
    """

    kind: str
    by_seconds: bool = False
    max_step_count: int | None = None
    min_step_count: int | None = None
    min_measurement_count: int = 5
    learning_rate: str = ""
    updates_stopped: bool = False


@dataclass(frozen=True)
class Limit:
    """A point in time: seconds after the study began, or Unix seconds."""

    duration: float | None = None
    end_time: float | None = None

    def has_passed(self, began: float, now: float) -> bool:
        """Whether it has, by Unix seconds of the study's beginning and of now."""
        if self.end_time is not None:
            return now >= self.end_time
        return self.duration is not None and now - began >= self.duration


@dataclass(frozen=True)
class StudyStopping:
    """When a study gets no more trials; None: not for this reason.

    The fields are those of StudySpec.StudyStoppingConfig, durations in seconds.
    """

    should_stop_asap: bool = False
    minimum_runtime: Limit | None = None
    maximum_runtime: Limit | None = None
    min_num_trials: int | None = None
    max_num_trials: int | None = None
    max_num_trials_no_progress: int | None = None
    max_duration_no_progress: float | None = None


@dataclass(frozen=True)
class Study:
    """A hyperparameter tuning job without its trials' job.

    Attributes:
        parameters: To be tuned.
        metrics: To be optimized, at least one.
        algorithm: BAYESIAN, GRID or RANDOM.
        best_measurement: Whether a trial's best measurement counts, and not its last.
        rule: When trials are stopped early; None: they are not.
        stopping: When there are no more trials before `max_trial_count`.
        max_trial_count: How many trials there are.
        parallel_trial_count: How many of them run at once.
        max_failed_trial_count: How many must fail before the job does, 1 or more.
    """

    parameters: tuple[Parameter, ...]
    metrics: tuple[Metric, ...]
    algorithm: str
    best_measurement: bool
    rule: StoppingRule | None
    stopping: StudyStopping
    max_trial_count: int
    parallel_trial_count: int
    max_failed_trial_count: int


def study_of(job: dict) -> Study:
    """The study of a job.

    Args:
        job: HyperparameterTuningJob.

    Raises:
        ValueError: It is not as documented, or asks for what local Vertex cannot do; one line that names the
            field.
    """
    spec = job.get("studySpec", {})
    if spec.get("observationNoise", "OBSERVATION_NOISE_UNSPECIFIED") != "OBSERVATION_NOISE_UNSPECIFIED":
        raise ValueError(
            "studySpec.observationNoise: is for Vertex AI Vizier, not for hyperparameter tuning jobs"
        )
    most, parallel, failed = (
        int(job.get(field, 0)) for field in ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
    )
    for field, count in (("maxTrialCount", most), ("parallelTrialCount", parallel)):
        if count < 1:
            raise ValueError(f"{field}: {count}; expected 1 or more")
    if not 0 <= failed <= most:
        raise ValueError(f"maxFailedTrialCount: {failed}; expected 0 to maxTrialCount, which is {most}")
    parameters = parameters_of(spec.get("parameters", ()))
    metrics = _metrics(spec.get("metrics", ()))
    algorithm = spec.get("algorithm", BAYESIAN)
    if algorithm not in (BAYESIAN, GRID, RANDOM):
        raise ValueError(f"studySpec.algorithm: {algorithm}; expected {BAYESIAN}, {GRID} or {RANDOM}")
    doubles = [parameter.id for parameter in every(parameters) if parameter.kind == "DOUBLE"]
    if algorithm == GRID and doubles:
        raise ValueError(
            f"studySpec.algorithm: {GRID} with the DOUBLE parameter {doubles[0]!r};"
            " expected INTEGER, CATEGORICAL or DISCRETE parameters only"
        )
    return Study(
        parameters=parameters,
        metrics=metrics,
        algorithm=algorithm,
        best_measurement=spec.get("measurementSelectionType") == "BEST_MEASUREMENT",
        rule=_rule(spec, metrics, parameters),
        stopping=_study_stopping(spec.get("studyStoppingConfig", {}), metrics),
        max_trial_count=most,
        parallel_trial_count=parallel,
        # 0: "Vertex AI decides": with the first one that fails (documentation, "Create a hyperparameter
        # tuning job", 2026-08-22).
        max_failed_trial_count=max(failed, 1),
    )


def _metrics(specs: Sequence[dict]) -> tuple[Metric, ...]:
    where = "studySpec.metrics"
    if not specs:
        raise ValueError(f"{where}: empty; expected at least one metric")
    found: list[Metric] = []
    for number, spec in enumerate(specs):
        metric_id = spec.get("metricId", "")
        if not metric_id or re.search(r"\s", metric_id):
            raise ValueError(
                f"{where}[{number}].metricId: {metric_id!r}; expected a name without white space"
            )
        if metric_id in {metric.id for metric in found}:
            raise ValueError(f"{where}[{number}].metricId: {metric_id!r} is there twice")
        if "safetyConfig" in spec:
            raise ValueError(f"{where}[{number}].safetyConfig: local Vertex does not search safely")
        found.append(Metric(metric_id, maximize=spec.get("goal") != "MINIMIZE"))
    return tuple(found)


def _rule(spec: dict, metrics: Sequence[Metric], parameters: Sequence[Parameter]) -> StoppingRule | None:
    kind = next((kind for kind in (MEDIAN, DECAY_CURVE, CONVEX) if kind in spec), None)
    if kind is None:
        return None
    where, rule = f"studySpec.{kind}", spec[kind]
    if len(metrics) > 1:
        raise ValueError(f"{where}: with {len(metrics)} metrics; expected one metric to judge trials by")
    counts = {}
    for field in ("maxStepCount", "minStepCount", "minMeasurementCount"):
        counts[field] = int(rule.get(field, 0))
        if counts[field] < 0:
            raise ValueError(f"{where}.{field}: {counts[field]}; expected 0 or more")
    learning_rate = rule.get("learningRateParameterName", "")
    known = {parameter.id: parameter.kind for parameter in every(parameters)}
    if learning_rate and known.get(learning_rate, "CATEGORICAL") == "CATEGORICAL":
        raise ValueError(f"{where}.learningRateParameterName: {learning_rate!r} is no numeric parameter")
    return StoppingRule(
        kind,
        by_seconds=bool(rule.get("useElapsedDuration", False)),
        max_step_count=counts["maxStepCount"] or None,
        min_step_count=counts["minStepCount"] if "minStepCount" in rule else None,
        min_measurement_count=counts["minMeasurementCount"] or 5,
        learning_rate=learning_rate,
        updates_stopped=bool(rule.get("updateAllStoppedTrials", False)),
    )


def _study_stopping(config: dict, metrics: Sequence[Metric]) -> StudyStopping:
    where = "studySpec.studyStoppingConfig"
    for field in ("maxNumTrialsNoProgress", "maxDurationNoProgress"):
        if field in config and len(metrics) > 1:
            raise ValueError(f"{where}.{field}: with {len(metrics)} metrics; expected one metric")
    for field in ("minNumTrials", "maxNumTrials", "maxNumTrialsNoProgress"):
        if int(config.get(field, 1)) < 1:
            raise ValueError(f"{where}.{field}: {config[field]}; expected 1 or more")
    least, most = config.get("minNumTrials"), config.get("maxNumTrials")
    if least is not None and most is not None and least > most:
        raise ValueError(f"{where}: minNumTrials {least} is more than maxNumTrials {most}")
    limits = {field: _limit(config[field]) if field in config else None for field in _TIMES}
    no_progress = config.get("maxDurationNoProgress")
    return StudyStopping(
        should_stop_asap=bool(config.get("shouldStopAsap", False)),
        minimum_runtime=limits["minimumRuntimeConstraint"],
        maximum_runtime=limits["maximumRuntimeConstraint"],
        min_num_trials=least,
        max_num_trials=most,
        max_num_trials_no_progress=config.get("maxNumTrialsNoProgress"),
        max_duration_no_progress=None if no_progress is None else _seconds(no_progress),
    )


def _limit(constraint: dict) -> Limit:
    if "endTime" in constraint:
        return Limit(end_time=datetime.fromisoformat(constraint["endTime"]).timestamp())
    if "maxDuration" in constraint:
        return Limit(duration=_seconds(constraint["maxDuration"]))
    return Limit()


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
