"""The trials of one hyperparameter tuning job: their records, and the custom jobs that run them."""

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from trainwright.local.store import Store
from trainwright.local.training.custom_jobs import CustomJobs
from trainwright.local.training.run_record import ENDED, RunRecord
from trainwright.local.training.trial_jobs import metric_file, missing_metric, read_reports, trial_spec
from trainwright.local.training.tuning.measurements import final_of, merged
from trainwright.local.training.tuning.stopping import early_stop, predicted_final
from trainwright.local.training.tuning.study import Study
from trainwright.local.training.tuning.trials import (
    ACTIVE,
    INFEASIBLE,
    REQUESTED,
    STOPPING,
    SUCCEEDED,
    Measurement,
    Trial,
    trial_of,
)

_INTERRUPTED = "The trial was ended with its hyperparameter tuning job."


class Trials:
    """The trials of a job. Only the job's own thread calls its methods, but for `has`.

    Args:
        job: Name of the hyperparameter tuning job.
        study: What it asks for.
        spec: HyperparameterTuningJob.trial_job_spec as camelCase JSON.
        store: Keeps the trials (kind "trial", JSON).
        custom_jobs: Runs them.
        folder: For the metric files of trials that run.
        project_number: Decimal digits.
        labels: Of the job.
    """

    def __init__(
        self,
        job: str,
        study: Study,
        spec: dict,
        *,
        store: Store,
        custom_jobs: CustomJobs,
        folder: Path,
        project_number: str,
        labels: Mapping[str, str],
    ) -> None:
        self._job = job
        self._study = study
        self._spec = spec
        self._store = store
        self._custom_jobs = custom_jobs
        self._folder = folder
        self._project_number = project_number
        self._labels = dict(labels)
        self._trials = read_trials(store, job)
        self._read: dict[str, tuple[int, int]] = {}
        self.exhausted = False
        """Whether the grid has been walked through."""

    @property
    def all(self) -> list[Trial]:
        """Every trial, as suggested."""
        return self._trials

    @property
    def has_begun(self) -> bool:
        """Whether a trial has begun to run."""
        return any(trial.start is not None for trial in self._trials)

    def has(self, run: str) -> bool:
        """Whether a run's name is that of one of the trials' jobs; may be called from any thread."""
        return run.startswith(self._custom_job(""))

    def resume(self) -> None:
        """Runs again what had not ended when the process before this one did."""
        for trial in self._trials:
            if not trial.has_ended:
                self._start(trial)

    def add(self) -> bool:
        """Suggests, records and starts a trial; False when there is none left to suggest."""
        from trainwright.local.training.tuning.suggestions import suggest  # loads Optuna, numpy and scipy

        parameters = suggest(self._study, self._trials, self._job)
        if parameters is None:
            self.exhausted = True
            return False
        number = str(len(self._trials) + 1)
        trial = Trial(number, self._custom_job(number), parameters)
        self._write(trial)
        self._trials.append(trial)
        self._start(trial)
        return True

    def follow(self) -> None:
        """Takes down what the running trials have reported, and stops or completes them."""
        for number, trial in enumerate(self._trials):
            if not trial.has_ended:
                self._update(number, self._followed(trial))

    def interrupt(self, *, keep_measured: bool = False) -> None:
        """Ends the trials that run.

        Args:
            keep_measured: Whether those that have measured something count as completed.
        """
        for number, trial in enumerate(self._trials):
            if trial.state in (REQUESTED, ACTIVE):
                measured = final_of(trial.measurements, self._study.metrics, best=False) is not None
                self._stop(number, dataclasses.replace(trial, stopped=keep_measured and measured))

    def _followed(self, trial: Trial) -> Trial:
        run = self._run(trial)  # before the file: an ended job's last report is in it
        began = run.get("startTime")
        if trial.state == REQUESTED and began:
            trial = dataclasses.replace(trial, state=ACTIVE, start=began)
        if trial.start is not None and self._has_reported(trial):
            trial = dataclasses.replace(
                trial,
                measurements=merged(
                    trial.measurements,
                    read_reports(self._folder_of(trial)),
                    metric_ids=[metric.id for metric in self._study.metrics],
                    began=trial.start,
                ),
            )
        if run.get("state") in ENDED:
            return self._completed(trial, run)
        return trial

    def _has_reported(self, trial: Trial) -> bool:
        """Whether its metric file has changed since it was read last."""
        try:
            status = metric_file(self._folder_of(trial)).stat()
        except FileNotFoundError:
            return False
        seen = (status.st_mtime_ns, status.st_size)
        return self._read.get(trial.id) != seen and self._read.update({trial.id: seen}) is None

    def _update(self, number: int, trial: Trial) -> None:
        """Writes a trial that has changed, and does what follows from it."""
        before = self._trials[number]
        if trial != before:
            self._write(trial)
            self._trials[number] = trial
        if trial.has_ended:
            shutil.rmtree(self._folder_of(trial), ignore_errors=True)
            self._predict_again()
        elif trial.state == STOPPING:
            self._custom_jobs.cancel(trial.custom_job)  # once more, after a restart
        elif self._study.rule and len(trial.measurements) > len(before.measurements):
            metric = self._study.metrics[0]
            if stop := early_stop(self._study.rule, metric, trial, self._trials):
                self._stop(number, dataclasses.replace(trial, stopped=True, final=stop.predicted))

    def _stop(self, number: int, trial: Trial) -> None:
        self._trials[number] = dataclasses.replace(trial, state=STOPPING)
        self._write(self._trials[number])
        self._custom_jobs.cancel(trial.custom_job)

    def _completed(self, trial: Trial, run: dict) -> Trial:
        """The trial when its job has ended."""
        end = run.get("endTime") or time.time()
        was_cancelled = run["state"] == "JOB_STATE_CANCELLED"
        if run["state"] == "JOB_STATE_FAILED":
            reason = run["error"]["message"]
            return dataclasses.replace(
                trial, state=INFEASIBLE, end=end, final=None, infeasible_reason=reason, failed=True
            )
        if was_cancelled and not trial.stopped:
            return dataclasses.replace(trial, state=INFEASIBLE, end=end, infeasible_reason=_INTERRUPTED)
        if was_cancelled and (predicted := trial.final):
            trial = dataclasses.replace(trial, state=SUCCEEDED, end=end, predicted=True)
            return self._with_last(trial, (*trial.measurements, predicted))
        metrics = self._study.metrics
        final = final_of(trial.measurements, metrics, best=self._study.best_measurement)
        if final is None:
            reason = missing_metric(trial.measurements, metrics, self._folder_of(trial))
            return dataclasses.replace(
                trial, state=INFEASIBLE, end=end, infeasible_reason=reason, failed=True
            )
        return dataclasses.replace(trial, state=SUCCEEDED, end=end, final=final)

    def _predict_again(self) -> None:
        """Lets the predictions for stopped trials follow the newest model, where the rule wants that."""
        rule, metric = self._study.rule, self._study.metrics[0]
        if rule is None or not rule.updates_stopped:
            return
        completed = [trial for trial in self._trials if trial.state == SUCCEEDED]
        for number, trial in enumerate(self._trials):
            if not trial.predicted:
                continue
            *measured, predicted = trial.measurements
            asked = dataclasses.replace(trial, measurements=tuple(measured))
            again = predicted_final(rule, metric, asked, completed, predicted.at(rule.by_seconds))
            if again is not None and again != predicted:
                self._trials[number] = self._with_last(trial, (*measured, again))
                self._write(self._trials[number])

    def _with_last(self, trial: Trial, measurements: tuple[Measurement, ...]) -> Trial:
        """A trial with other measurements, and the final one that follows from them."""
        final = final_of(measurements, self._study.metrics, best=self._study.best_measurement)
        return dataclasses.replace(trial, measurements=measurements, final=final)

    def _start(self, trial: Trial) -> None:
        folder = self._folder_of(trial)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = trial_spec(self._spec, trial_id=trial.id, parameters=trial.parameters, folder=folder)
        self._custom_jobs.start(
            trial.custom_job,
            spec,
            project_number=self._project_number,
            labels=self._labels,
            trial=trial.id,
        )

    def _custom_job(self, trial_id: str) -> str:
        parent, _, job_id = self._job.partition("/hyperparameterTuningJobs/")
        return f"{parent}/customJobs/{job_id}-{trial_id}"

    def _folder_of(self, trial: Trial) -> Path:
        return self._folder / trial.id

    def _run(self, trial: Trial) -> dict:
        return RunRecord(self._store, trial.custom_job).read()

    def _write(self, trial: Trial) -> None:
        payload = json.dumps(trial.json()).encode()
        self._store.write(f"{self._job}/trials/{trial.id}", "trial", payload)


def read_trials(store: Store, job: str) -> list[Trial]:
    """The trials of a hyperparameter tuning job, as suggested.

    Args:
        store: Where they are.
        job: Its name.
    """
    return [trial_of(record.json()) for record in store.list("trial", f"{job}/trials/")]
