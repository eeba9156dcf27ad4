"""Signed URLs of Cloud Storage: whoever has one may make the one request that it was signed for, for a while.

Both ways to sign (Cloud Storage documentation, "V4 signing process" and "V2 signing process", 2026-11), with
the key of the service account, for GET, HEAD, PUT and DELETE of an object in the path style. Answers have the
JSON API's form, also where the XML API would give XML.
"""

import base64
import binascii
import datetime
import hashlib
import time
import urllib.parse
from collections.abc import Callable, Mapping

from google.api_core import exceptions

_ALGORITHM = "GOOG4-RSA-SHA256"
_LONGEST = 7 * 24 * 3600  # seconds: of a V4 URL, by the documentation
_BUCKETS = "/storage/v1/b"


def is_signed(query: str) -> bool:
    """Whether a query string is that of a signed URL."""
    return "X-Goog-Signature=" in query or ("GoogleAccessId=" in query and "Signature=" in query)


def checked_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    verify: Callable[[str, bytes, str], bool],
) -> tuple[str, str, str]:
    """Checks a signed request and says which request of the JSON API it is.

    Args:
        method: The HTTP method.
        path: `/BUCKET/OBJECT`, percent-encoded.
        query: The query string.
        headers: The request's, names in lower case.
        verify: Whether a service account (its e-mail address) has signed a text so.

    Returns:
        Method, path and query of the JSON API.

    Raises:
        InvalidArgument: Its time is over, or a part of it is malformed.
        PermissionDenied: It was not signed so, or not by the account of this local Vertex AI.
        MethodNotImplemented: It is for another method than those above.
    """
    parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    try:
        if "X-Goog-Signature" in parameters:
            account, signature, text, end = _v4(method, path, parameters, headers)
        else:
            account, signature, text, end = _v2(method, path, parameters, headers)
    except (KeyError, ValueError, binascii.Error):
        raise exceptions.InvalidArgument("The query parameters of the signed URL are malformed.") from None
    if not verify(account, signature, text):
        raise exceptions.PermissionDenied(
            "SignatureDoesNotMatch: the request is not the one that the URL was signed for, or the account is"
            " not that of this local Vertex AI."
        )
    if end < time.time():
        raise exceptions.InvalidArgument("ExpiredToken: the signed URL's time is over.")
    bucket, _, name = urllib.parse.unquote(path).lstrip("/").partition("/")
    return _json_request(method, bucket, name, parameters, headers)


def _v4(
    method: str, path: str, parameters: dict[str, str], headers: Mapping[str, str]
) -> tuple[str, bytes, str, float]:
    """Account, signature, what was signed, and until when it is good (Unix seconds)."""
    signature = bytes.fromhex(parameters.pop("X-Goog-Signature"))
    account, _, scope = parameters["X-Goog-Credential"].partition("/")
    begun = datetime.datetime.strptime(parameters["X-Goog-Date"], "%Y%m%dT%H%M%SZ")
    seconds = int(parameters["X-Goog-Expires"])
    if parameters["X-Goog-Algorithm"] != _ALGORITHM or not 0 < seconds <= _LONGEST:
        raise ValueError
    signed = parameters["X-Goog-SignedHeaders"]
    request = (
        method,
        urllib.parse.quote(urllib.parse.unquote(path), safe="/~"),
        "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in sorted(parameters.items())),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")),
        "",
        signed,
        headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD"),
    )
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    text = "\n".join((_ALGORITHM, parameters["X-Goog-Date"], scope, digest))
    return account, signature, text, begun.replace(tzinfo=datetime.UTC).timestamp() + seconds


def _v2(
    method: str, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str, bytes, str, float]:
    end = parameters["Expires"]
    extensions = (
        f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers) if "x-goog-" in name
    )
    text = "\n".join(
        (
            method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            end,
            *extensions,
            urllib.parse.quote(urllib.parse.unquote(path), safe="/~"),
        )
    )
    return parameters["GoogleAccessId"], base64.b64decode(parameters["Signature"]), text, float(end)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="~")


def _json_request(
    method: str, bucket: str, name: str, parameters: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str, str, str]:
    query = {key: parameters[key] for key in ("generation",) if key in parameters}
    if "x-goog-if-generation-match" in headers:
        query["ifGenerationMatch"] = headers["x-goog-if-generation-match"]
    objects = f"{_BUCKETS}/{urllib.parse.quote(bucket, safe='')}/o"
    if method == "PUT" and name:
        query |= {"uploadType": "media", "name": name}
        return "POST", f"/upload{objects}", urllib.parse.urlencode(query)
    if method not in ("GET", "HEAD", "DELETE") or not name:
        raise exceptions.MethodNotImplemented(
            f"local Cloud Storage serves no signed {method} of {bucket}/{name}"
        )
    if method != "DELETE":
        query["alt"] = "media"
    return method, f"{objects}/{urllib.parse.quote(name, safe='')}", urllib.parse.urlencode(query)
