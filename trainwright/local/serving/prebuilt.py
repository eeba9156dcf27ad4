"""The model server in place of Vertex AI's prebuilt prediction images for scikit-learn and XGBoost.

    python3 -P prebuilt.py FRAMEWORK FOLDER

Runs in the environment that stands for the image, which holds the framework and not this library: only the
standard library is imported at the top. It serves what those images are documented to serve (Vertex AI
documentation, "Exporting model artifacts for inference" and "Get online inferences", 2026-08-22; the defaults
of google.cloud.aiplatform.prediction 1.165.1): FOLDER holds `model.bst`, `model.joblib` or `model.pkl`;
requests are `{"instances": [[…], …]}`, answers `{"predictions": […]}`.

A joblib or pickle file runs code when it is loaded. Those images take nothing else of scikit-learn, so it is
loaded here too, in a process of its own; XGBoost's `model.bst` is not a pickle and is preferred.
"""

import json
import os
import pickle
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Predict = Callable[[list], Any]


def load(framework: str, folder: Path) -> Predict:
    """The model in a folder, as a function of instances.

    Args:
        framework: "sklearn" or "xgboost".
        folder: Holds exactly one file named as the prebuilt images want it.

    Raises:
        FileNotFoundError: There is none.
    """
    names = ["model.bst"] if framework == "xgboost" else []
    names += ["model.joblib", "model.pkl"]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no folder"
        raise FileNotFoundError(f"expected {' or '.join(names)} in the model's directory, found {there}")
    path = found[0]
    if path.name == "model.bst":
        import xgboost

        return _of_booster(xgboost.Booster(model_file=str(path)))
    if path.name == "model.joblib":
        import joblib

        model = joblib.load(path)
    else:
        model = pickle.loads(path.read_bytes())  # noqa: S301 - see the module's docstring
    return _of_booster(model) if type(model).__name__ == "Booster" else model.predict


def _of_booster(booster: Any) -> Predict:
    import numpy
    import xgboost

    def predict(instances: list) -> Any:
        rows = numpy.array(instances, dtype=float)  # "NaN" is a missing value
        return booster.predict(xgboost.DMatrix(rows, feature_names=booster.feature_names))

    return predict


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the acknowledgement of the headers
    predict: Predict

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
            predictions = type(self).predict(instances)
            predictions = predictions.tolist() if hasattr(predictions, "tolist") else list(predictions)
        except Exception as error:
            self._answer(400, {"error": f"prediction failed: {type(error).__name__}: {error}"})
            return
        self._answer(200, {"predictions": predictions})

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
            super().log_message(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    """The program; returns its exit status."""
    framework, folder = sys.argv[1:]
    try:
        _Handler.predict = staticmethod(load(framework, Path(folder)))
    except Exception as error:
        sys.stderr.write(f"the model cannot be loaded: {type(error).__name__}: {error}\n")
        return 1
    server = _Server(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), _Handler)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
