"""Sending mail: into a folder, or through an SMTP server when the user names one."""

import contextlib
import os
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

_SECONDS = 30.0


class Mailer:
    """Delivers messages. Its methods may be called from any thread.

    Args:
        outbox: The folder that every message is written to, as NAME.eml; made when there is one.
        smtp: `host`; `port` (25); `sender`; `security`: "none", "starttls" or "tls"; `username` and
            `password_file`, a file with the password. None sends nothing.
    """

    def __init__(self, outbox: Path, smtp: Mapping[str, Any] | None) -> None:
        self._outbox = outbox
        self._smtp = smtp

    @property
    def sender(self) -> str:
        """Whom messages are from."""
        return (self._smtp or {}).get("sender") or "vertex-ai@trainwright.local"

    def deliver(self, name: str, message: EmailMessage) -> str:
        """Writes a message to the outbox, and sends it when a server is named; says where it went.

        A message of the same name is replaced. One that could not be sent stays in the outbox.

        Raises:
            OSError: It cannot be written, or the server does not take it (smtplib's errors are OSErrors).
        """
        self._outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._outbox / f"{name}.eml"
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        unfinished.replace(path)
        if self._smtp is None:
            return f"wrote {path}"
        self._send(message, self._smtp)
        return f"wrote {path} and sent it through {self._smtp['host']}"

    def _send(self, message: EmailMessage, smtp: Mapping[str, Any]) -> None:
        host, port, security = smtp["host"], smtp.get("port") or 25, smtp.get("security") or "none"
        context = ssl.create_default_context() if security != "none" else None
        try:
            client = (
                smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=context)
                if security == "tls"
                else smtplib.SMTP(host, port, timeout=_SECONDS)
            )
            with contextlib.closing(client), client:
                if security == "starttls":
                    client.starttls(context=context)
                if smtp.get("username"):
                    password = Path(smtp["password_file"]).expanduser().read_text(encoding="utf-8").strip()
                    client.login(smtp["username"], password)
                client.send_message(message)
        except OSError as error:
            raise OSError(f"SMTP server {host}:{port}: {error}") from None
