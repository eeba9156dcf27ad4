"""A random mix of calls from 8 clients while local Vertex AI is killed and started again.

    python benchmarks/soak.py                       30 minutes, 10 kills
    python benchmarks/soak.py --minutes 2 --kills 3

Each client is a process of Google's own clients that creates, changes, reads, lists and deletes models,
pipeline jobs, schedules, metadata and objects, and knows what was acknowledged to it. A call that fails is
tried again as the clients' own retry would: UNAVAILABLE, a broken or refused connection, and what HTTP calls
429, 502 or 504. After every write a client that was told of its success must find it; one that was not told
may find either. At the end each client looks for everything that it still has. Prints a summary and exits
with 1 when an acknowledged write was lost or an error came that no retry hides.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PARENT = "projects/trainwright-local/locations/us-central1"
_BUCKET = "trainwright-local"
_CLIENTS = 8
_PATIENCE = 120.0  # seconds that a client tries a call again, as long as the deadline of api_core's retries


class Lost(Exception):
    """An acknowledged write is not there, or what was deleted is."""


class Client:
    """One client: what it was told, and a number of things that it can do.

    Args:
        seed: Of its random choices.
    """

    def __init__(self, seed: int) -> None:
        from google.cloud import aiplatform_v1 as v1
        from google.cloud import storage

        self.random = random.Random(seed)
        self.name = f"soak{seed}"
        transport = "rest" if seed % 4 == 3 else "grpc"
        self.models_client = v1.ModelServiceClient(transport=transport)
        self.pipelines = v1.PipelineServiceClient(transport=transport)
        self.schedules_client = v1.ScheduleServiceClient(transport=transport)
        self.metadata = v1.MetadataServiceClient(transport=transport)
        self.bucket = storage.Client().bucket(_BUCKET)
        self.models: dict[str, set[str]] = {}
        self.jobs: list[str] = []
        self.schedules: dict[str, set[str]] = {}
        self.artifacts: dict[str, set[str]] = {}
        self.objects: dict[str, set[bytes]] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    def run(self, until: float) -> None:
        """Does one thing after the other until that time (Unix seconds); looks for everything then."""
        actions: list[Callable[[], None]] = [
            *(self._upload_model, self._update_model, self._get_model, self._get_model, self._list_models),
            *(self._delete_model, self._run_pipeline, self._get_pipeline, self._list_pipelines),
            *(self._create_schedule, self._pause_schedule, self._create_artifact, self._get_artifact),
            *(
                self._write_object,
                self._write_object,
                self._read_object,
                self._read_object,
                self._delete_object,
            ),
        ]
        while time.time() < until:
            self.random.choice(actions)()
        self._check_all()

    def _call(self, what: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls, again and again while a client's own retry would; counts what came."""
        deadline = time.monotonic() + _PATIENCE
        self.counts["calls"] += 1
        self.counts[f"  {what}"] += 1
        attempt = 0
        while True:
            try:
                return method(*arguments, **options)
            except Exception as error:
                if not _is_transient(error) or time.monotonic() > deadline:
                    raise
                self.counts[f"retried: {type(error).__name__}"] += 1
                attempt += 1
                time.sleep(min(2.0, 0.1 * 2**attempt) * self.random.random())

    def _upload_model(self) -> None:
        label = uuid.uuid4().hex[:16]
        spec = {"image_uri": "example.invalid/serve:1"}
        model_id = f"{self.name}-{label}"
        model = {"display_name": label, "container_spec": spec, "labels": {"client": self.name}}
        request = {"parent": _PARENT, "model_id": model_id, "model": model}
        name = f"{_PARENT}/models/{model_id}"
        self._once("upload_model", lambda: self.models_client.upload_model(request).result(timeout=60))
        self.models[name] = {""}

    def _update_model(self) -> None:
        if not self.models:
            return
        name = self.random.choice(sorted(self.models))
        text = uuid.uuid4().hex
        request = {"model": {"name": name, "description": text}, "update_mask": {"paths": ["description"]}}
        self.models[name].add(text)
        self._call("update_model", self.models_client.update_model, request, timeout=30)
        self.models[name] = {text}

    def _get_model(self) -> None:
        if self.models:
            self._check_model(self.random.choice(sorted(self.models)))

    def _check_model(self, name: str) -> None:
        found = self._found("get_model", self.models_client.get_model, name)
        if found is None or found.description not in self.models[name]:
            raise Lost(f"{name}: {found.description if found else 'gone'}; expected {self.models[name]}")

    def _list_models(self) -> None:
        request = {"parent": _PARENT, "filter": f"labels.client={self.name}", "page_size": 100}
        pages = self._call("list_models", lambda: list(self.models_client.list_models(request, timeout=30)))
        missing = {name.rpartition("/")[2] for name in self.models} - {
            each.name.rpartition("/")[2] for each in pages
        }
        if missing:
            raise Lost(f"list of models without {missing}")

    def _delete_model(self) -> None:
        if len(self.models) < 5:
            return
        name = self.random.choice(sorted(self.models))
        del self.models[name]
        self._once("delete_model", lambda: self.models_client.delete_model(name=name).result(timeout=60))
        if self._found("get_model", self.models_client.get_model, name) is not None:
            raise Lost(f"{name}: is there after its deletion")

    def _run_pipeline(self) -> None:
        job_id = f"{self.name}-{uuid.uuid4().hex[:16]}"
        request = {"parent": _PARENT, "pipeline_job": pipeline_job(), "pipeline_job_id": job_id}
        self._once("create_pipeline_job", lambda: self.pipelines.create_pipeline_job(request, timeout=60))
        self.jobs.append(f"{_PARENT}/pipelineJobs/{job_id}")

    def _get_pipeline(self) -> None:
        if self.jobs:
            name = self.random.choice(self.jobs)
            if self._found("get_pipeline_job", self.pipelines.get_pipeline_job, name) is None:
                raise Lost(f"{name}: is gone")

    def _list_pipelines(self) -> None:
        request = {"parent": _PARENT, "filter": 'display_name="soak" AND state!="PIPELINE_STATE_FAILED"'}
        self._call("list_pipeline_jobs", self.pipelines.list_pipeline_jobs, request, timeout=30)

    def _create_schedule(self) -> None:
        if len(self.schedules) >= 5:
            return
        job = {"parent": _PARENT, "pipeline_job": pipeline_job()}
        label = f"{self.name}-{uuid.uuid4().hex[:16]}"
        schedule = {
            "display_name": label,
            "cron": "0 3 1 1 *",
            "max_concurrent_run_count": 1,
            "create_pipeline_job_request": job,
        }

        # The service makes its id: who is not told of it asks for the display name before it tries again.
        def make() -> str:
            request = {"parent": _PARENT, "filter": f'display_name="{label}"'}
            there = list(self.schedules_client.list_schedules(request, timeout=30))
            if there:
                return str(there[0].name)
            return str(
                self.schedules_client.create_schedule(parent=_PARENT, schedule=schedule, timeout=30).name
            )

        self.schedules[self._call("create_schedule", make)] = {"ACTIVE"}

    def _pause_schedule(self) -> None:
        if not self.schedules:
            return
        name = self.random.choice(sorted(self.schedules))
        # A client that was not told whether a schedule is paused asks first: only a paused one is resumed.
        found = self._found("get_schedule", self.schedules_client.get_schedule, name)
        if found is None or found.state.name not in self.schedules[name]:
            raise Lost(f"{name}: {found.state.name if found else 'gone'}; expected {self.schedules[name]}")
        is_paused = found.state.name == "PAUSED"
        verb, state = ("resume_schedule", "ACTIVE") if is_paused else ("pause_schedule", "PAUSED")
        change = getattr(self.schedules_client, verb)
        self.schedules[name].add(state)
        self._once(verb, lambda: change(name=name, timeout=30))
        self.schedules[name] = {state}
        self._check_schedule(name)

    def _check_schedule(self, name: str) -> None:
        found = self._found("get_schedule", self.schedules_client.get_schedule, name)
        if found is None or found.state.name not in self.schedules[name]:
            raise Lost(f"{name}: {found.state.name if found else 'gone'}; expected {self.schedules[name]}")

    def _create_artifact(self) -> None:
        artifact_id = f"{self.name}-{uuid.uuid4().hex[:16]}"
        store = f"{_PARENT}/metadataStores/default"
        artifact = {"schema_title": "system.Dataset", "uri": f"gs://{artifact_id}"}
        request = {"parent": store, "artifact": artifact, "artifact_id": artifact_id}
        self._once("create_artifact", lambda: self.metadata.create_artifact(request, timeout=30))
        self.artifacts[f"{store}/artifacts/{artifact_id}"] = {f"gs://{artifact_id}"}

    def _get_artifact(self) -> None:
        if self.artifacts:
            self._check_artifact(self.random.choice(sorted(self.artifacts)))

    def _check_artifact(self, name: str) -> None:
        found = self._found("get_artifact", self.metadata.get_artifact, name)
        if found is None or found.uri not in self.artifacts[name]:
            raise Lost(f"{name}: {found.uri if found else 'gone'}; expected {self.artifacts[name]}")

    def _write_object(self) -> None:
        name = f"{self.name}/{self.random.randrange(50)}"
        content = self.random.randbytes(self.random.choice((10, 1000, 300_000)))
        self.objects.setdefault(name, set()).add(content)
        self._call("objects.insert", self.bucket.blob(name).upload_from_string, content, timeout=30)
        self.objects[name] = {content}

    def _read_object(self) -> None:
        if self.objects:
            self._check_object(self.random.choice(sorted(self.objects)))

    def _check_object(self, name: str) -> None:
        from google.api_core import exceptions

        try:
            found = self._call("objects.get", self.bucket.blob(name).download_as_bytes, timeout=30)
        except exceptions.NotFound:
            raise Lost(f"gs://{_BUCKET}/{name}: is gone") from None
        if found not in self.objects[name]:
            raise Lost(f"gs://{_BUCKET}/{name}: holds what was never written, or no more")

    def _delete_object(self) -> None:
        if len(self.objects) < 10:
            return
        name = self.random.choice(sorted(self.objects))
        del self.objects[name]
        # Without the library's own retry, which hides that an earlier attempt has done it.
        delete = self.bucket.blob(name).delete
        self._once("objects.delete", lambda: delete(timeout=30, retry=None))

    def _once(self, what: str, method: Callable[[], Any]) -> None:
        """Creates or deletes; tried again, a call may find that the one before has done it unheard."""
        from google.api_core import exceptions

        before = self._retried()
        try:
            self._call(what, method)
        except (exceptions.Conflict, exceptions.NotFound, exceptions.BadRequest):
            if self._retried() == before:
                raise

    def _retried(self) -> int:
        return sum(count for name, count in self.counts.items() if name.startswith("retried"))

    def _found(self, what: str, method: Callable[..., Any], resource: str) -> Any:
        """The resource, or None when there is none."""
        from google.api_core import exceptions

        try:
            return self._call(what, method, name=resource, timeout=30)
        except exceptions.NotFound:
            return None

    def _check_all(self) -> None:
        """Looks for everything that this client was told is there."""
        for name in self.models:
            self._check_model(name)
        for name in self.schedules:
            self._check_schedule(name)
        for name in self.artifacts:
            self._check_artifact(name)
        for name in self.objects:
            self._check_object(name)
        deadline = time.monotonic() + 300
        for name in self.jobs:
            while True:
                job = self._found("get_pipeline_job", self.pipelines.get_pipeline_job, name)
                if job is None:
                    raise Lost(f"{name}: is gone")
                if job.state.name == "PIPELINE_STATE_SUCCEEDED":
                    break
                if job.state.name.endswith(("FAILED", "CANCELLED")) or time.monotonic() > deadline:
                    raise Lost(f"{name}: is {job.state.name}: {job.error.message}")
                time.sleep(0.2)
        self.counts["resources at the end"] = sum(
            map(len, (self.models, self.schedules, self.artifacts, self.objects, self.jobs))
        )


def _is_transient(error: BaseException) -> bool:
    """Whether the retries of Google's own clients would try again."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError

    kinds = (
        *(exceptions.ServiceUnavailable, exceptions.TooManyRequests, exceptions.BadGateway),
        *(exceptions.GatewayTimeout, exceptions.DeadlineExceeded, exceptions.RetryError),
        *(requests.ConnectionError, requests.Timeout, TransportError, ConnectionError),
        requests.exceptions.ChunkedEncodingError,
    )
    return isinstance(error, kinds)


def pipeline_job() -> dict[str, Any]:
    """The request of a run that imports an artifact."""
    kind = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
    importer = {"artifactUri": {"constant": "gs://soak/imported"}, "typeSchema": kind, "reimport": True}
    outputs = {"artifacts": {"artifact": {"artifactType": kind}}}
    spec = {
        "pipelineInfo": {"name": "soak"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {"dag": {"tasks": {"get": {"componentRef": {"name": "comp"}, "taskInfo": {"name": "get"}}}}},
        "components": {"comp": {"executorLabel": "exec", "outputDefinitions": outputs}},
        "deploymentSpec": {"executors": {"exec": {"importer": importer}}},
    }
    config = {"gcs_output_directory": f"gs://{_BUCKET}/soak"}
    return {"display_name": "soak", "pipeline_spec": spec, "runtime_config": config}


def client(seed: int, until: float) -> int:
    """One client's process: prints its counts as a line of JSON; returns its exit status."""
    one = Client(seed)
    try:
        one.run(until)
    except Exception as error:
        print(json.dumps({"seed": seed, "error": f"{type(error).__name__}: {error}"[:2000], **one.counts}))
        return 1
    print(json.dumps({"seed": seed, **one.counts}))
    return 0


def start(state: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Starts a local Vertex AI; returns its process and the variables of its clients."""
    (state / "server.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "trainwright.local.server", "--state", str(state)]
    with (state.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not (state / "server.json").is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((state.parent / "server.log").read_text()[-3000:])
        time.sleep(0.05)
    return process, json.loads((state / "server.json").read_text())["environment"]


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--client", nargs=2, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        return client(int(arguments.client[0]), arguments.client[1])
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        return soak(Path(folder) / "state", arguments.minutes * 60, arguments.kills, arguments.seed)


def soak(state: Path, seconds: float, kills: int, seed: int) -> int:
    """Runs the clients, kills the server meanwhile, prints the summary; returns the exit status."""
    state.mkdir(mode=0o700)
    chance = random.Random(seed)
    server, environment = start(state)
    until = time.time() + seconds
    clients = [
        subprocess.Popen(
            [sys.executable, __file__, "--client", str(seed * 100 + number), str(until)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(_CLIENTS)
    ]
    moments = sorted(time.time() + seconds * (0.05 + 0.9 * chance.random()) for _ in range(kills))
    for moment in moments:
        time.sleep(max(0.0, moment - time.time()))
        server.send_signal(signal.SIGKILL)
        server.wait()
        begun = time.monotonic()
        server, _ = start(state)
        print(f"killed and back after {time.monotonic() - begun:.1f} s", flush=True)
    counts: collections.Counter[str] = collections.Counter()
    problems = []
    for each in clients:
        said = json.loads(each.communicate()[0].splitlines()[-1])
        problems += [f"client {said.pop('seed')}: {said.pop('error')}"] if "error" in said else []
        said.pop("seed", None)
        counts.update(said)
    server.terminate()
    server.wait()
    log = (state.parent / "server.log").read_text()
    problems += [line for line in log.splitlines() if " ERROR " in line]
    print(f"{seconds / 60:.0f} minutes, {_CLIENTS} clients, {kills} kills")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    for problem in problems:
        print(f"  PROBLEM {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
