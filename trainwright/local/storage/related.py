"""The body of a multipart upload: metadata and content in one request, read as a stream.

Source: RFC 2387 (multipart/related), and what clients send: google-cloud-storage ends lines with CR LF, gcsfs
2026.10 with LF.
"""

from email.message import Message
from typing import Any

from trainwright.local.storage.errors import Invalid
from trainwright.local.storage.exchange import parse_object

_HEAD_BYTES = 1 << 20  # metadata and headers before the content
_AFTER_BYTES = 256  # line ends and white space behind the last boundary


class RelatedParts:
    """Takes the two parts of a body apart as its bytes come in.

    The content ends at the *last* boundary of the body: whatever looks like one inside of it is content.

    Args:
        content_type: The request's `Content-Type`.

    Attributes:
        resource: The metadata, once the content has begun.
        content_type: The content's own type, or None.

    Raises:
        Invalid: The type names no boundary.
    """

    def __init__(self, content_type: str) -> None:
        message = Message()
        message["Content-Type"] = content_type
        boundary = message.get_param("boundary")
        if not isinstance(boundary, str) or not boundary:
            raise Invalid("Missing multipart boundary in the Content-Type header")
        self.resource: dict[str, Any] = {}
        self.content_type: str | None = None
        self._boundary = b"--" + boundary.encode()
        self._line_end = b""
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Takes bytes of the body and returns those of the content that are certain."""
        self._held += data
        if not self._line_end and not self._read_head():
            return b""
        hold = len(self._boundary) + 2 * len(self._line_end) + 2 + _AFTER_BYTES
        content, self._held = self._held[:-hold], self._held[-hold:]
        return content

    def finish(self) -> bytes:
        """Returns the content's last bytes.

        Raises:
            Invalid: The body has no two parts.
        """
        end = self._held.rfind(self._line_end + self._boundary + b"--") if self._line_end else -1
        if end < 0:
            raise Invalid("Malformed multipart body: expected metadata, content and the closing boundary")
        return self._held[:end]

    def _read_head(self) -> bool:
        """Whether both parts' headers and the metadata are there by now."""
        start = self._held.find(self._boundary)
        first_line = self._held.find(b"\n", start)
        if start >= 0 and first_line >= 0:
            line_end = b"\r\n" if self._held[first_line - 1 : first_line] == b"\r" else b"\n"
            parts = self._held.split(self._boundary + line_end, 2)
            if len(parts) == 3 and line_end * 2 in line_end + parts[2]:
                self._take_head(parts[1], line_end + parts[2], line_end)
                return True
        if len(self._held) > _HEAD_BYTES:
            raise Invalid("Malformed multipart body: expected metadata and content")
        return False

    def _take_head(self, first: bytes, second: bytes, line_end: bytes) -> None:
        self.resource = parse_object((line_end + first).partition(line_end * 2)[2])
        headers, _, content = second.partition(line_end * 2)
        for line in headers.split(line_end):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-type":
                self.content_type = value.strip().decode("utf-8", "replace")
        self._line_end, self._held = line_end, content
