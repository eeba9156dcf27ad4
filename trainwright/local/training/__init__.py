"""Custom jobs and hyperparameter tuning jobs: worker pools to processes, studies to trials.

`CustomJobs` and `HyperparameterTuningJobs` are the room's doors; the other names are what they leave behind.
"""

from trainwright.local.training.custom_jobs import CustomJobs
from trainwright.local.training.trials import read_trials
from trainwright.local.training.tuning.trials import Measurement, Trial
from trainwright.local.training.tuning_jobs import HyperparameterTuningJobs

__all__ = ["CustomJobs", "HyperparameterTuningJobs", "Measurement", "Trial", "read_trials"]
