"""What Vertex AI tells a replica of its job and of the other replicas: variables of its environment.

The formats are those of the docs' "Distributed training", "Prepare training code" and "CustomJobSpec"
(2026-08-22). On Vertex AI each replica has port 2222 of a host of its own; here all share 127.0.0.1, so that
each has a port of its own.
"""

import json
import random
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainwright.local.training.replicas import Replica
from trainwright.local.training.specs import output_directory_of

_TF_TYPES = ("chief", "worker", "ps", "evaluator")
_LOWEST_PORT = 10_000
_FEWEST_PORTS = 2_000
_MOST_TRIES = 100
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def vertex_environment(
    spec: dict,
    replica: Replica,
    cluster: Mapping[int, Sequence[str]],
    *,
    project_number: str,
    location: str,
    job_id: str,
    trial: str = "",
) -> dict[str, str]:
    """The variables that Vertex AI sets in the container of a replica.

    AIP_*: CustomJobSpec.base_output_directory (google-cloud-aiplatform 1.165.1). CLOUD_ML_PROJECT_ID is the
    project's number ("Prepare training code"). CLUSTER_SPEC is on every replica, TF_CONFIG on those of
    distributed jobs only. AIP_EXPERIMENT_*: what the SDK's Experiments go by inside a job
    (metadata/constants.py of google-cloud-aiplatform 1.165.1). CLOUD_ML_TRIAL_ID: cloudml-hypertune
    0.1.0.dev6.

    Args:
        spec: The job's.
        replica: One of its replicas.
        cluster: The addresses of all of them by pool, in order.
        project_number: Decimal digits.
        location: Such as us-central1.
        job_id: The last part of the job's name.
        trial: The number of the trial of a hyperparameter tuning job, from "1"; empty for no trial.
    """
    environment = {
        "CLOUD_ML_PROJECT_ID": project_number,
        "CLOUD_ML_REGION": location,
        "CLOUD_ML_JOB_ID": job_id,
        "CLUSTER_SPEC": cluster_spec(spec, replica, cluster, trial),
    }
    if sum(map(len, cluster.values())) > 1:
        environment["TF_CONFIG"] = tf_config(spec, replica, cluster, job_id=job_id, trial=trial)
    if trial:
        environment["CLOUD_ML_TRIAL_ID"] = trial
    if base := output_directory_of(spec):
        environment["AIP_MODEL_DIR"] = f"{base}/model/"
        environment["AIP_CHECKPOINT_DIR"] = f"{base}/checkpoints/"
        environment["AIP_TENSORBOARD_LOG_DIR"] = f"{base}/logs/"
    if experiment := spec.get("experiment"):
        environment["AIP_EXPERIMENT_NAME"] = experiment
    if experiment_run := spec.get("experimentRun"):
        environment["AIP_EXPERIMENT_RUN_NAME"] = experiment_run
    return environment


def cluster_spec(spec: dict, replica: Replica, cluster: Mapping[int, Sequence[str]], trial: str = "") -> str:
    """CLUSTER_SPEC: keys in the order of the docs' example, without spaces."""
    task = {
        "type": f"workerpool{replica.pool}",
        "index": replica.index,
        **({"trial": trial} if trial else {}),
    }
    pools = {f"workerpool{pool}": list(addresses) for pool, addresses in cluster.items()}
    return _json({"cluster": pools, "environment": "cloud", "task": task, "job": spec})


def tf_config(
    spec: dict, replica: Replica, cluster: Mapping[int, Sequence[str]], *, job_id: str, trial: str = ""
) -> str:
    """TF_CONFIG: keys in alphabetical order, as in the docs' example; evaluators are not in the cluster."""
    hosts = {_TF_TYPES[pool]: list(cluster[pool]) for pool in (0, 2, 1) if pool in cluster}
    task = {"cloud": job_id, "index": replica.index, **({"trial": trial} if trial else {})}
    task["type"] = _TF_TYPES[replica.pool]
    return _json({"cluster": hosts, "environment": "cloud", "job": spec, "task": task})


def addresses_of(replicas: Sequence[Replica], ports: Sequence[int]) -> dict[int, list[str]]:
    """The addresses of replicas by pool, in order.

    Args:
        replicas: Of a job.
        ports: One for each.
    """
    cluster: dict[int, list[str]] = {}
    for replica, port in zip(replicas, ports, strict=True):
        cluster.setdefault(replica.pool, []).append(f"127.0.0.1:{port}")
    return cluster


class Ports:
    """Free ports of this machine, each for one replica at a time. Methods may be called from any thread.

    They lie outside the range from which the kernel takes the ports of outgoing connections: one of those may
    come between the choice and the moment, seconds later, at which the replica listens.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self, number: int) -> list[int]:
        """Takes so many ports.

        Raises:
            OSError: There are not enough.
        """
        candidates = _quiet_ports()
        found: list[int] = []
        with self._lock:
            for _ in range(_MOST_TRIES * number):
                port = random.choice(candidates)  # noqa: S311 - no secret
                if port not in self._taken and _is_free(port):
                    self._taken.add(port)
                    found.append(port)
                if len(found) == number:
                    return found
            self._taken.difference_update(found)
        raise OSError(f"{number} free ports on 127.0.0.1 were not found")

    def give_back(self, ports: Sequence[int]) -> None:
        """Says that nobody listens at these ports any more."""
        with self._lock:
            self._taken.difference_update(ports)


def _quiet_ports() -> range:
    try:
        lowest, highest = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
    except OSError:
        lowest, highest = 32_768, 60_999  # the kernel's default
    below, above = range(_LOWEST_PORT, lowest), range(highest + 1, 65_536)
    quiet = max(below, above, key=len)
    return quiet if len(quiet) >= _FEWEST_PORTS else range(_LOWEST_PORT, 65_536)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _json(value: dict) -> str:
    return json.dumps(value, separators=(",", ":"))
