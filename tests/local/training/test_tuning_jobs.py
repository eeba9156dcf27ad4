"""Hyperparameter tuning jobs as real trials, stopped by a rule or with their study."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainwright.local.execution import Executor
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs, HyperparameterTuningJobs, Trial, read_trials

NAME = "projects/trainwright-local/locations/us-central1/hyperparameterTuningJobs/77"
CURVE = """
import pathlib, sys, time, hypertune
x, tune = int(sys.argv[2].partition("=")[2]), hypertune.HyperTune()
steps = 300 if x > 6 else 10
for step in range(1, steps):
    tune.report_hyperparameter_tuning_metric("score", (10 - x) * (1 - 0.5 ** step), global_step=step)
    time.sleep(0.02 if x > 6 else 0)
pathlib.Path(sys.argv[1], f"ended-{x}").touch()
"""


class Room:
    """The room on a state folder, with what its user would see."""

    def __init__(self, folder: Path) -> None:
        state = folder / "state"
        state.mkdir()
        self.folder = folder
        self.store = Store(state / "store.sqlite")
        self.executor = Executor(state=state, client_environment={}, gcs_root=state / "storage")
        self.custom_jobs = CustomJobs(store=self.store, executor=self.executor, state=state)
        self.jobs = HyperparameterTuningJobs(store=self.store, custom_jobs=self.custom_jobs, state=state)

    def run(self, program: str, **fields) -> list[Trial]:
        """A grid over x from 1 to 8; fields of the study are given beside those of the job."""
        count, study = fields.pop("maxTrialCount", 8), fields
        container = {"imageUri": "python:3.11-slim", "command": ["python3", "-c", program]}
        pool = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "containerSpec": {**container, "args": [str(self.folder)]},
        }
        job = {
            "maxTrialCount": count,
            "parallelTrialCount": 1,
            "studySpec": {
                "algorithm": "GRID_SEARCH",
                "metrics": [{"metricId": "score"}],
                "parameters": [{"parameterId": "x", "integerValueSpec": {"minValue": "1", "maxValue": "8"}}],
                **study,
            },
            "trialJobSpec": {"workerPoolSpecs": [pool]},
        }
        self.jobs.check(job)
        self.jobs.start(NAME, job, project_number="100000000001", created=time.time())
        deadline = time.monotonic() + 60
        while (run := self.store.read(f"{NAME}/run").json())["state"] != "JOB_STATE_SUCCEEDED":
            assert time.monotonic() < deadline and run["state"] != "JOB_STATE_FAILED", run
            time.sleep(0.02)
        return read_trials(self.store, NAME)

    def close(self) -> None:
        self.jobs.close()
        self.custom_jobs.close()
        self.executor.close()
        self.store.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.close()


@pytest.mark.parametrize("follow", [False, True])
def test_convex_stopping_adds_what_it_predicts(room: Room, follow: bool) -> None:
    rule = {"maxStepCount": "300", "minStepCount": "5", "updateAllStoppedTrials": follow}
    trials = room.run(CURVE, convexAutomatedStoppingSpec=rule)
    assert [trial.state for trial in trials] == ["SUCCEEDED"] * 8
    assert [trial.stopped for trial in trials] == [False] * 6 + [True] * 2
    for trial in trials[6:]:
        assert not (room.folder / f"ended-{trial.parameters['x']}").exists()
        assert trial.final == trial.measurements[-1] and trial.final.step == 300
        assert trial.final.metrics["score"] == pytest.approx(10 - trial.parameters["x"], rel=0.05)
        assert len(trial.measurements) < 150


def test_a_study_that_makes_no_progress_ends_at_once(room: Room) -> None:
    config = {"maxNumTrialsNoProgress": 2, "shouldStopAsap": True}
    trials = room.run(CURVE, studyStoppingConfig=config)
    assert [trial.parameters["x"] for trial in trials] == [1, 2, 3]  # the first one is the best
    assert [trial.state for trial in trials] == ["SUCCEEDED"] * 3


def test_running_trials_are_ended_with_their_study(room: Room) -> None:
    endless = CURVE.replace("x > 6", "x > 0")
    config = {"maxNumTrials": 1, "shouldStopAsap": True}
    trials = room.run(endless, studyStoppingConfig=config)
    assert len(trials) == 1 and not trials[0].failed
    # ended at once: with what it had measured, if anything
    assert trials[0].state == ("SUCCEEDED" if trials[0].measurements else "INFEASIBLE")
    assert (
        json.loads(room.store.read(f"{trials[0].custom_job}/run").payload)["state"] == "JOB_STATE_CANCELLED"
    )
