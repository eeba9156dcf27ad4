"""python -m trainers.xgboost_tabular_server: serves a model directory of this trainer.

The instances are raw rows, as they were before the feature transform: `{"instances": [{"column": value, …},
…], …}` is answered by `{"predictions": [{"score": 0.9, "label": "yes"}, …]}`; `score` is the probability of
the positive class, `label` the class that is at least as probable as the other. Dates and times are ISO 8601
text.

Contract with the platform (Vertex AI, "Custom container requirements for inference" 1.0.0, 2026-08-22):
    AIP_STORAGE_URI                       the model directory
    AIP_HTTP_PORT                         where to listen, on all addresses unless HOST names one
    AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE   the paths of health checks and predictions
"""

import json
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import numpy
import pyarrow
import xgboost

from .runtime import UserError, join, log, read_bytes, run


@dataclass(frozen=True)
class Settings:
    """No arguments: the platform says everything by its environment."""


class TabularModel:
    """A model directory of `trainers.xgboost_tabular` in memory; may be used by any thread.

    Args:
        location: gs:// URI or path of the directory.

    Raises:
        UserError: A file is missing.
    """

    def __init__(self, location: str) -> None:
        transform, described = (
            json.loads(read_bytes(join(location, name))) for name in ("transform.json", "model.json")
        )
        self._classes = described["classes"]
        self._names = [column["name"] for column in transform["columns"]]
        self._expressions = [column["expression"] for column in transform["columns"]]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.ubj")
            path.write_bytes(read_bytes(join(location, "model.ubj")))
            self._booster = xgboost.Booster(model_file=path)
        self._lock = threading.Lock()

    def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A score and a label for each raw row.

        Raises:
            UserError: The rows do not fit the transform.
        """
        if not instances or not all(isinstance(instance, dict) for instance in instances):
            raise UserError("instances: expected JSON objects with the raw columns, one or more")
        columns = dict.fromkeys(name for instance in instances for name in instance)
        try:
            raw = pyarrow.table({name: [row.get(name) for row in instances] for name in columns})
            features = self._features(raw)
        except (pyarrow.ArrowException, duckdb.Error) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"instances do not fit the model's transform: {reason}") from None
        with self._lock:
            scores = self._booster.predict(xgboost.DMatrix(features, feature_names=self._names))
        return [
            {"score": float(score), "label": self._classes[int(score >= 0.5)]} for score in scores.tolist()
        ]

    def _features(self, raw: pyarrow.Table) -> numpy.ndarray:
        connection = duckdb.connect(config={"threads": 1})
        connection.register("instances", raw)
        columns = ", ".join(self._read(field) for field in raw.schema)
        selected = ", ".join(f"{sql} AS feature_{number}" for number, sql in enumerate(self._expressions))
        query = f"SELECT {selected} FROM (SELECT {columns} FROM instances)"  # noqa: S608 - the model's own SQL
        found = connection.execute(query).fetchnumpy().values()
        floats = (values.astype(numpy.float32) for values in found)
        return numpy.column_stack([numpy.ma.filled(values, numpy.nan) for values in floats])

    def _read(self, field: pyarrow.Field) -> str:
        """A raw column; what the transform takes the time of is text in JSON."""
        name = '"' + field.name.replace('"', '""') + '"'
        is_time = any(f"epoch({name})" in expression for expression in self._expressions)
        return f"{name}::TIMESTAMP AS {name}" if is_time else name


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits for the acknowledgement of the headers
    model: TabularModel

    def do_GET(self) -> None:
        """The health check: whoever can ask, finds the model loaded."""
        if self.path == os.environ["AIP_HEALTH_ROUTE"]:
            self._answer(200, {"status": "healthy"})
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self) -> None:
        """A prediction."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self._answer(404, {"error": f"no such path: {self.path}"})
            return
        try:
            instances = json.loads(body)["instances"]
        except (ValueError, KeyError, TypeError):
            self._answer(400, {"error": 'expected a JSON object {"instances": [...]}'})
            return
        try:
            self._answer(200, {"predictions": type(self).model.predict(instances)})
        except UserError as error:
            self._answer(400, {"error": str(error)})

    def _answer(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Logs what failed only."""
        if len(args) > 1 and str(args[1]) >= "400":
            log("WARNING", format % args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def serve(settings: Settings) -> None:
    """Loads the model, then answers requests until the process is ended."""
    # Of the client that reads gs://: training containers have it by this name.
    os.environ.setdefault("CLOUD_ML_PROJECT_ID", os.environ.get("AIP_PROJECT_NUMBER", ""))
    location = os.environ.get("AIP_STORAGE_URI", "")
    if not location:
        raise UserError("AIP_STORAGE_URI is not set: the model has no artifact directory")
    _Handler.model = TabularModel(location)
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ["AIP_HTTP_PORT"]))  # noqa: S104 - the contract
    log("INFO", f"serving {location}")
    _Server(address, _Handler).serve_forever()


if __name__ == "__main__":
    sys.exit(run(serve, Settings, sys.argv[1:]))
