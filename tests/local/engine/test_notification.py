"""The official notification op, as it is compiled, and the message that the engine sends for it."""

import email
import email.policy
import socketserver
import threading
from contextlib import contextmanager

import pytest
from google_cloud_pipeline_components.v1.vertex_notification_email import VertexNotificationEmailOp
from kfp import dsl

from trainwright.local.engine.check import BadRun
from trainwright.local.engine.reading import SpecError

from .conftest import Rooms, compiled, make_run


@dsl.component
def fails(message: str):
    raise ValueError(message)


@dsl.pipeline(name="notifies")
def notifies(recipients: list = ["ann@acme.example", "böb@acme.example"], message: str = "Überlauf"):  # noqa: B006
    with dsl.ExitHandler(VertexNotificationEmailOp(recipients=recipients)):
        fails(message=message)


def messages(state):
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in (state / "outbox").glob("*.eml")
    ]


def test_a_run_that_ends_leaves_a_message_in_the_outbox(rooms):
    ended = rooms.run(notifies, "notified", display_name="Retrain\nchurn")
    assert ended.state == "FAILED"
    assert ended.states["vertex-pipelines-notification-email"] == "SUCCEEDED", ended
    [message] = messages(rooms.state)
    assert message["To"] == "ann@acme.example, böb@acme.example"
    assert message["Subject"] == "Vertex AI pipeline job Retrain churn: FAILED"
    content = message.get_content()
    assert "pipelineJobs/notified\n" in content
    assert "trainwright runs show notified\n" in content
    assert "ValueError: Überlauf" in content
    assert (rooms.state / "outbox").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("recipients", "reason"),
    [
        ([], "recipients: found 0 of them, expected 1 to 3 e-mail addresses"),
        ([f"{letter}@acme.example" for letter in "abcd"], "recipients: found 4 of them, expected 1 to 3"),
        (["ann@acme.example", "nobody"], "recipients: 'nobody' is no e-mail address"),
    ],
)
def test_wrong_recipients(rooms, recipients, reason):
    ended = rooms.run(notifies, f"recipients-{len(recipients)}", parameters={"recipients": recipients})
    error = ended.tasks["vertex-pipelines-notification-email"]["error"]["message"]
    assert reason in error

    spec = compiled(notifies)
    task = spec["root"]["dag"]["tasks"]["vertex-pipelines-notification-email"]
    task["inputs"]["parameters"]["recipients"] = {"runtimeValue": {"constant": recipients}}
    with pytest.raises(SpecError, match=r"root\.dag\.tasks\.vertex-pipelines-notification-email: recipients"):
        rooms.engine.check(make_run(spec))


def test_only_an_exit_handler_can_notify(rooms):
    spec = compiled(notifies)
    tasks = spec["root"]["dag"]["tasks"]
    del tasks["vertex-pipelines-notification-email"]["inputs"]["parameters"]["pipeline_task_final_status"]
    with pytest.raises((SpecError, BadRun), match=r"can only be the exit task of a dsl\.ExitHandler"):
        rooms.engine.check(make_run(spec))


class _Smtp(socketserver.StreamRequestHandler):
    """The server's side of RFC 5321, as far as a client needs it."""

    def handle(self) -> None:
        self._say("220 ready")
        for line in self.rfile:
            verb = line.decode().split()[0].upper()
            if verb in ("EHLO", "HELO"):
                self._say("250-here\r\n250-SMTPUTF8\r\n250 8BITMIME")
            elif verb == "RCPT" and b"refused@" in line:
                self._say("550 no such user")
            elif verb == "DATA":
                self._say("354 go on")
                self.server.received.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _say(self, answer: str) -> None:
        self.wfile.write(f"{answer}\r\n".encode())


@contextmanager
def smtp_server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.received = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_message_is_sent_through_the_server_that_is_configured(tmp_path):
    with smtp_server() as server:
        smtp = {"host": "127.0.0.1", "port": server.server_address[1], "sender": "ml@acme.example"}
        (tmp_path / "state").mkdir()
        rooms = Rooms(tmp_path / "state", smtp=smtp)
        try:
            rooms.run(notifies, "sent")
            given = {"recipients": ["refused@acme.example"]}
            refused = rooms.run(notifies, "not-sent", parameters=given)
        finally:
            rooms.close()
    [received] = server.received
    message = email.message_from_bytes(received, policy=email.policy.default)
    assert message["From"] == "ml@acme.example"
    assert message["Subject"] == "Vertex AI pipeline job A run: FAILED"
    error = refused.tasks["vertex-pipelines-notification-email"]["error"]["message"]
    assert f"SMTP server 127.0.0.1:{smtp['port']}" in error
    assert "no such user" in error
    assert len(messages(rooms.state)) == 2
