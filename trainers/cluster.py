"""Who the other replicas of a training job are, by CLUSTER_SPEC.

Vertex AI, "Distributed training", 2026-08-22: worker pool 0 is the primary replica, pool 1 the workers. Ranks
as in Google's own parser (vertex-ai-samples, cluster_spec.py, 2026-08-19): 0 for pool 0, index + 1 in pool 1.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .runtime import UserError

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
