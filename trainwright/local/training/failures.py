"""What the end of a replica means for its job.

After "Understand the training service" (Vertex AI docs, 2026-08-22):

* A non-zero exit is a permanent error, which ends the job at once...
* ...but for SIGABRT (exit codes 6, 134) and SIGSEGV (11, 139), after which the job is tried again up to
  three times.
* Running out of memory is a permanent error too.
* Any other error restarts the replica up to five times. Here that is a replica that a signal ended while
  memory was left: its machine has gone, as at maintenance or preemption.

restartJobOnWorkerRestart restarts all replicas with one, which for a single replica is what happens anyway;
disableRetries rules restarts out.
"""

import signal
from dataclasses import dataclass
from pathlib import Path

from trainwright.local.execution import Outcome
from trainwright.local.training.replicas import NAME

_CRASHES = {6, 134, 11, 139, -signal.SIGABRT, -signal.SIGSEGV}
_KILLED = 128 + signal.SIGKILL

INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = 3, 4, 8, 13
"""Codes of google.rpc.Code. The launchers take 3 for the user's error (exit status 1) and 4 and 8 for
others."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a google.rpc.Status."""

    code: int
    message: str

    def json(self) -> dict:
        """As in the job's "run" record."""
        return {"code": self.code, "message": self.message}


def restarts_after(exit_code: int, *, ran_out_of_memory: bool, spec: dict) -> int:
    """How often a replica may be restarted in all, when it ended like this.

    Args:
        exit_code: Minus the signal, if one ended it; not 0.
        ran_out_of_memory: Whether the kernel killed a process for memory meanwhile.
        spec: The job's.
    """
    if spec.get("scheduling", {}).get("disableRetries"):
        return 0
    if exit_code in _CRASHES:
        return 3
    lost = exit_code < 0 or exit_code == _KILLED
    return 5 if lost and not ran_out_of_memory else 0


def failure_of(outcome: Outcome, log: Path, *, ran_out_of_memory: bool) -> Failure:
    """The error of a job whose replica ended and is not restarted.

    Args:
        outcome: How it ended; the exit code is not 0.
        log: The whole log.
        ran_out_of_memory: Whether the kernel killed a process for memory meanwhile.
    """
    # As a container reports a signal.
    status = outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code
    said = f" {outcome.said};" if outcome.said else ""
    if ran_out_of_memory and status == _KILLED:
        text = f"The replica {NAME} ran out of memory and exited with a non-zero status of {status}."
        return Failure(RESOURCE_EXHAUSTED, f"{text}{said} log: {log}")
    text = f"The replica {NAME} exited with a non-zero status of {status}."
    return Failure(INVALID_ARGUMENT, f"{text}{said} log: {log}")


def memory_kills() -> int:
    """How many processes the kernel of this machine has killed for memory so far; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
