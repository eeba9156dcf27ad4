"""Custom jobs: worker pools to processes. `CustomJobs` is the room's door."""

from trainwright.local.training.custom_jobs import CustomJobs

__all__ = ["CustomJobs"]
