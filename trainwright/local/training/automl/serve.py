"""The model server: the contract of Vertex AI's custom containers (documentation, 2026-08-22).

AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE say where; answers are those of AutoML tabular models.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def loaded(folder: Path) -> Any:
    """The model of a directory: of a table or of images, with `predictions`."""
    if (folder / "images.npz").exists():
        from .images import ImageModel

        return ImageModel.load(folder)
    from .model import Ensemble

    return Ensemble.load(folder)


def main(folder: Path) -> None:
    """Serves the model in a folder until the process is ended."""
    model = loaded(folder)
    health = os.environ.get("AIP_HEALTH_ROUTE", "/health")
    predict = os.environ.get("AIP_PREDICT_ROUTE", "/predict")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200 if self.path == health else 404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != predict:
                self._answer(404, {"error": f"{self.path}: no such route"})
                return
            try:
                instances = json.loads(body)["instances"]
                if not all(isinstance(instance, dict) for instance in instances):
                    raise TypeError
            except (ValueError, KeyError, TypeError):
                self._answer(400, {"error": 'expected {"instances": [{COLUMN: VALUE, …}, …]}'})
                return
            try:
                self._answer(200, {"predictions": model.predictions(instances)})
            except ValueError as error:
                self._answer(400, {"error": str(error)})

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: the caller logs its requests."""

    # Loopback: such models are made for local Vertex, whose containers are in the network of this machine.
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
