"""A model server of the kind that users write: only the standard library and what Vertex AI sets."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] != "application/json":
            self.answer(200, body[::-1], "text/reversed")
            return
        told = json.loads(body)
        if "bad" in told["instances"]:
            self.answer(400, b"bad is no number")
        elif "odd" in told["instances"]:
            self.answer(200, b"not JSON")
        elif "end" in told["instances"]:
            os._exit(3)
        else:
            factor = told.get("parameters", {}).get("factor", 2)
            who = {"by": os.environ["WHO"], "pid": os.getpid()}
            predictions = [{"product": factor * number, **who} for number in told["instances"]]
            self.answer(200, json.dumps({"predictions": predictions}).encode())

    def answer(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
