"""Who the other replicas of a training job are, by CLUSTER_SPEC, and what follows when one is lost.

Vertex AI, "Distributed training", 2026-08-22: worker pool 0 is the primary replica, pool 1 the workers. Ranks
as in Google's own parser (vertex-ai-samples, cluster_spec.py, 2026-08-19): 0 for pool 0, index + 1 in pool 1.

Neither XGBoost's collective nor PyTorch's gloo recovers from a lost replica. So a replica that loses another
becomes a new process in its own place and meets the others again, also the one that the platform restarts.
The newest checkpoint is where all of them go on.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .runtime import UserError, log

MEET_SECONDS = 300
"""How long replicas wait for one another: machines of one job start minutes apart."""
SILENCE_SECONDS = 120
"""How long a replica may say nothing before the others take it for lost."""
_LOST_SINCE = "TRAINER_LOST_SINCE"
_RANKED = ("workerpool0", "workerpool1")


@dataclass(frozen=True)
class Cluster:
    """The replicas that train together.

    Attributes:
        rank: This replica's number; the primary's is 0.
        size: How many there are.
        host: Name or address of the primary replica.
        port: Port that the primary replica may listen on.
    """

    rank: int = 0
    size: int = 1
    host: str = ""
    port: int = 0

    @property
    def is_primary(self) -> bool:
        """Whether this replica writes checkpoints and the model."""
        return self.rank == 0

    @property
    def is_distributed(self) -> bool:
        """Whether there are other replicas."""
        return self.size > 1


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads CLUSTER_SPEC; a process without it, or alone in it, is a cluster of its own.

    Raises:
        UserError: It is no cluster specification, or this replica is in a pool that does not train.
    """
    text = environment.get("CLUSTER_SPEC", "")
    if not text:
        return Cluster()
    try:
        described = json.loads(text)
        pools, task = described["cluster"], described["task"]
        pool, index = str(task["type"]), int(task["index"])
        replicas = [str(address) for name in _RANKED for address in pools.get(name, ())]
        host, _, port = replicas[0].rpartition(":")
        primary = (host, int(port))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"CLUSTER_SPEC: not a cluster specification ({error!r})") from None
    if pool not in _RANKED:
        raise UserError(f"CLUSTER_SPEC: this replica is in {pool}; expected {' or '.join(_RANKED)}")
    rank = index + (len(pools.get(_RANKED[0], ())) if pool == _RANKED[1] else 0)
    if rank >= len(replicas):
        raise UserError(f"CLUSTER_SPEC: {pool} has no replica {index}")
    return Cluster(rank, len(replicas), *primary)


def wait_for_port(host: str, port: int, seconds: float) -> None:
    """Waits until somebody listens.

    Raises:
        UserError: Nobody does within the time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                reason = f"{host}:{port} did not answer within {seconds:.0f} s ({error})"
                raise UserError(f"the primary replica never came up: {reason}") from None
        time.sleep(0.1)


def begin_anew(reason: str) -> typing.NoReturn:
    """Becomes a new process of the same program, which meets the other replicas; does not return.

    Args:
        reason: What told that a replica was lost, in a line.

    Raises:
        UserError: The replicas have not worked together since one was lost five minutes ago.
    """
    since = float(os.environ.setdefault(_LOST_SINCE, str(time.time())))
    if time.time() - since > MEET_SECONDS:
        raise UserError(f"a replica was lost and did not come back within {MEET_SECONDS} s: {reason}")
    log("WARNING", "a replica was lost: meeting the others again, to go on from the last checkpoint")
    time.sleep(0.5)  # until those who listened have noticed too
    sys.stdout.flush()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # sockets of C++ libraries would be inherited, with the port
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very words that started this process


def progressed() -> None:
    """Says that the replicas work together again, so that a loss counts anew."""
    os.environ.pop(_LOST_SINCE, None)


@contextlib.contextmanager
def meeting(seconds: float, message: str) -> Iterator[None]:
    """What is inside waits for other replicas, in a library that cannot be interrupted.

    The process ends when that takes longer, and at once at SIGTERM: there is nothing to save yet.
    """

    def end() -> None:
        log("ERROR", f"{message} within {seconds:.0f} s")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    noted = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, noted)
        timer.cancel()
