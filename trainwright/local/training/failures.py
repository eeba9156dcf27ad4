"""What the end of a replica means for its job.

After "Understand the training service" and "Use Spot VMs with training" (Vertex AI docs, 2026-08-22):

* The job succeeds when its primary replica exits with 0.
* A non-zero exit of any replica is a permanent error, which ends the job at once...
* ...but for SIGABRT (exit codes 6, 134) and SIGSEGV (11, 139), after which the whole job is tried again up to
  three times.
* Running out of memory is a permanent error too.
* Any other error restarts the replica alone, up to five times; after that the whole job is tried again up to
  three times. Here that is a replica that a signal ended while memory was left: its machine has gone, as
  at maintenance.
* restartJobOnWorkerRestart restarts all replicas with one. disableRetries overrides it and rules out all of
  these.
* A preempted spot job is started again up to six times, and fails with STOCKOUT after that.
"""

import enum
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainwright.local.execution import Outcome

_CRASHES = {6, 134, 11, 139, -signal.SIGABRT, -signal.SIGSEGV}
_LOST = {128 + signal.SIGKILL, 128 + signal.SIGTERM}
_KILLED = 128 + signal.SIGKILL
_MOST_RESTARTS = 5
_MOST_RETRIES = 3
_MOST_PREEMPTIONS = 6

INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = 3, 4, 8, 13
"""Codes of google.rpc.Code. The launchers take 3 for the user's error (exit status 1) and 4 and 8 for
others."""


class Step(enum.Enum):
    """What follows when a replica has ended by itself, with an error."""

    RESTART_REPLICA = enum.auto()
    RESTART_ALL = enum.auto()
    RETRY_JOB = enum.auto()
    FAIL = enum.auto()


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a google.rpc.Status."""

    code: int
    message: str

    def json(self) -> dict:
        """As in the job's "run" record."""
        return {"code": self.code, "message": self.message}


def is_lost(exit_code: int) -> bool:
    """Whether a replica that ended like this was ended from outside, as when its machine goes.

    Args:
        exit_code: Minus the signal, if one ended it.
    """
    return exit_code in _LOST or (exit_code < 0 and exit_code not in _CRASHES)


def step_after(exit_code: int, *, ran_out_of_memory: bool, restarts: int, retries: int, spec: dict) -> Step:
    """What follows the end of a replica.

    Args:
        exit_code: Minus the signal, if one ended it; not 0.
        ran_out_of_memory: Whether the kernel killed a process for memory meanwhile.
        restarts: How often this replica has been restarted since the job was tried last.
        retries: How often the job has been tried again.
        spec: The job's.
    """
    scheduling = spec.get("scheduling", {})
    if scheduling.get("disableRetries"):
        return Step.FAIL
    is_loss = is_lost(exit_code) and not ran_out_of_memory
    if is_loss and restarts < _MOST_RESTARTS:
        return Step.RESTART_ALL if scheduling.get("restartJobOnWorkerRestart") else Step.RESTART_REPLICA
    if (is_loss or exit_code in _CRASHES) and retries < _MOST_RETRIES:
        return Step.RETRY_JOB
    return Step.FAIL


def after_preemption(preemptions: int, *, location: str, spec: dict) -> Failure | None:
    """Why a preempted job is not started again; None if it is.

    Args:
        preemptions: How often it has been preempted, with this one.
        location: Such as us-central1.
        spec: The job's.
    """
    if preemptions <= _MOST_PREEMPTIONS and not spec.get("scheduling", {}).get("disableRetries"):
        return None
    times = "once" if preemptions == 1 else f"{preemptions} times"
    return Failure(
        RESOURCE_EXHAUSTED,
        f"STOCKOUT: the job's spot machines were preempted {times}. Resources are insufficient in region:"
        f" {location}. Try a different region or use a different accelerator.",
    )


def failure_of(
    replica: str, outcome: Outcome, log: Path, *, ran_out_of_memory: bool, losses: Sequence[str] = ()
) -> Failure:
    """The error of a job whose replica ended and is not restarted.

    Args:
        replica: Its name.
        outcome: How it ended; the exit code is not 0.
        log: The whole log.
        ran_out_of_memory: Whether the kernel killed a process for memory meanwhile.
        losses: Other replicas that were lost and restarted before, which may be the reason.
    """
    # As a container reports a signal.
    status = outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code
    said = f" {outcome.said};" if outcome.said else ""
    if losses:
        names = ", ".join(dict.fromkeys(losses))
        hint = "restartJobOnWorkerRestart restarts all"
        said = f" Before, {names} had been lost and restarted alone ({hint}).{said}"
    if ran_out_of_memory and status == _KILLED:
        text = f"The replica {replica} ran out of memory and exited with a non-zero status of {status}."
        return Failure(RESOURCE_EXHAUSTED, f"{text}{said} log: {log}")
    text = f"The replica {replica} exited with a non-zero status of {status}."
    return Failure(INVALID_ARGUMENT, f"{text}{said} log: {log}")


def memory_kills() -> int:
    """How many processes the kernel of this machine has killed for memory so far; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
