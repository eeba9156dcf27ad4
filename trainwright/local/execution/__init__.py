"""A task or a replica to a process: environments, fork servers, logs.

`Executor` is the room's door; the other names are what it takes, gives and raises.
"""

from trainwright.local.execution.environments import EnvironmentFailed
from trainwright.local.execution.executor import Executor
from trainwright.local.execution.images import UnknownImage
from trainwright.local.execution.mail import Mailer
from trainwright.local.execution.running import Outcome, Running, StartCancelled, Work

__all__ = [
    "EnvironmentFailed",
    "Executor",
    "Mailer",
    "Outcome",
    "Running",
    "StartCancelled",
    "UnknownImage",
    "Work",
]
