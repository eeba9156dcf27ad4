"""The content of an object as an answer: ranges, entity tags, and gzip undone for those who do not take it.

Sources: RFC 9110 sections 13 and 14; Cloud Storage documentation, "Transcoding of gzip-compressed files".
"""

import asyncio
import email.utils
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from trainwright.local.storage.database import StoredObject
from trainwright.local.storage.errors import NotModified, PreconditionFailed, RangeNotSatisfiable
from trainwright.local.storage.exchange import in_thread
from trainwright.local.storage.files import BLOCK, crc32c_text, md5_text
from trainwright.local.storage.resources import object_etag

_GZIP = 31  # zlib: a window of 32 KiB, gzip header and trailer
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The part of a content that a `Range` header asks for: first byte and length; None: the whole.

    A header that is malformed or asks for several ranges asks for the whole, as RFC 9110 section 14.2 allows.

    Args:
        header: Its value, if there is one.
        size: Of the whole content.

    Raises:
        RangeNotSatisfiable: The content ends before it begins.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if not length:
            raise RangeNotSatisfiable(size)
        return size - length, length
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable(size)
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    return first, last - first + 1


def check_tags(headers: Mapping[str, str], stored: StoredObject) -> None:
    """Compares `If-Match` and `If-None-Match` with an object's entity tag.

    Raises:
        PreconditionFailed: `If-Match` names other versions only.
        NotModified: `If-None-Match` names this version.
    """
    tag = object_etag(stored)
    if "if-match" in headers and not _names(headers["if-match"], tag):
        raise PreconditionFailed
    if "if-none-match" in headers and _names(headers["if-none-match"], tag):
        raise NotModified


async def content_answer(
    stored: StoredObject, file: BinaryIO, method: str, headers: Mapping[str, str]
) -> Response:
    """The answer with an object's content.

    Args:
        stored: The version.
        file: Its content; closed by the answer.
        method: "HEAD" for an answer without the content.
        headers: The request's, names in lower case.

    Raises:
        RangeNotSatisfiable: See `parse_range`.
    """
    unzips = _unzips(stored, headers)
    wanted = None
    if not unzips and ("if-range" not in headers or _is_version(headers["if-range"], stored)):
        wanted = parse_range(headers.get("range"), stored.size)
    first, length = wanted or (0, stored.size)
    sent = _headers(stored, unzips)
    if wanted:
        sent["content-range"] = f"bytes {first}-{first + length - 1}/{stored.size}"
    if not unzips:
        sent["content-length"] = str(length)
    status = 206 if wanted else 200
    if method == "HEAD":
        file.close()
        return _with_headers(Response(status_code=status), sent)
    if length <= BLOCK and not unzips:
        if isinstance(file, BytesIO):
            content = _read_small(file, first, length)
        else:
            content = await in_thread(_read_small, file, first, length)
        return _with_headers(Response(content, status), sent)
    blocks = _blocks(file, first, length)
    return _with_headers(StreamingResponse(_unzipped(blocks) if unzips else blocks, status), sent)


def _headers(stored: StoredObject, unzips: bool) -> dict[str, str]:
    attributes = stored.attributes
    encoding = attributes.get("contentEncoding")
    digests = []
    if stored.crc32c is not None:
        digests.append(f"crc32c={crc32c_text(stored.crc32c)}")
    if stored.md5 is not None:
        digests.append(f"md5={md5_text(stored.md5)}")
    headers = {
        "content-type": attributes.get("contentType", "application/octet-stream"),
        "etag": object_etag(stored),
        "last-modified": email.utils.formatdate(stored.updated, usegmt=True),
        "accept-ranges": "none" if unzips else "bytes",
        "cache-control": attributes.get("cacheControl", ""),
        "content-disposition": attributes.get("contentDisposition", ""),
        "content-language": attributes.get("contentLanguage", ""),
        "content-encoding": "" if unzips else encoding or "",
        "x-goog-generation": str(stored.generation),
        "x-goog-metageneration": str(stored.metageneration),
        "x-goog-storage-class": attributes.get("storageClass", "STANDARD"),
        "x-goog-stored-content-encoding": encoding or "identity",
        "x-goog-stored-content-length": str(stored.size),
        "x-goog-hash": ",".join(digests),
        "vary": "Accept-Encoding" if encoding else "",
    }
    return {name: value for name, value in headers.items() if value}


def _with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    """Sets the headers as UTF-8: a user's values need not be Latin-1, which Starlette would insist on."""
    response.raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    return response


def _unzips(stored: StoredObject, headers: Mapping[str, str]) -> bool:
    if stored.attributes.get("contentEncoding") != "gzip":
        return False
    return "gzip" not in headers.get("accept-encoding", "") and "no-transform" not in stored.attributes.get(
        "cacheControl", ""
    )


def _read_small(file: BinaryIO, first: int, length: int) -> bytes:
    with file:
        file.seek(first)
        return file.read(length)


async def _blocks(file: BinaryIO, first: int, length: int) -> AsyncIterator[bytes]:
    """The content in blocks; while one is sent the next one is read."""
    file.seek(first)
    reading = asyncio.create_task(in_thread(file.read, min(BLOCK, length)))
    try:
        while length > 0:
            block = await reading
            if not block:  # cut short by another process: the client sees a broken connection
                raise EOFError("the object's file became shorter while it was sent")
            length -= len(block)
            if length > 0:
                reading = asyncio.create_task(in_thread(file.read, min(BLOCK, length)))
            yield block
    finally:
        await asyncio.wait([reading])
        file.close()


async def _unzipped(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Undoes gzip; several streams one behind the other are one content, as for gunzip."""
    unzip = zlib.decompressobj(wbits=_GZIP)
    complete = True
    async for block in blocks:
        more = True
        while more:
            plain = await in_thread(unzip.decompress, block, BLOCK)
            yield plain
            complete = unzip.eof
            block = unzip.unused_data if complete else unzip.unconsumed_tail
            # A full block of output may have more behind it, although all input has been taken.
            more = bool(block) or (not complete and len(plain) == BLOCK)
            if complete:
                unzip = zlib.decompressobj(wbits=_GZIP)
    if not complete:
        raise EOFError("the gzip stream in the object ends too early")


def _names(header: str, tag: str) -> bool:
    return any(part.strip().removeprefix("W/").strip('"') in ("*", tag) for part in header.split(","))


def _is_version(header: str, stored: StoredObject) -> bool:
    """Whether an `If-Range` header, a tag or a date, means this version."""
    return _names(header, object_etag(stored)) or header == email.utils.formatdate(
        stored.updated, usegmt=True
    )
