"""What Cloud Storage answers in place of a result: one class per kind, in Google's JSON shape.

Shape and reasons: Cloud Storage documentation, "HTTP status and error codes for JSON".
"""

import errno
import sqlite3


class ApiError(Exception):
    """An answer that is no success.

    Args:
        message: One line for the user.

    Attributes:
        status: The HTTP status.
        reason: Google's word for the kind of error (`notFound`, `conditionNotMet`, ...).
        location: Kind and name of the part of the request that is to blame, if it is one header or parameter.
    """

    status = 500
    reason = "backendError"
    location: tuple[str, str] | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def body(self) -> dict:
        """The JSON object of the answer."""
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location is not None:
            error["locationType"], error["location"] = self.location
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}


class Invalid(ApiError):
    """A request that cannot be right: a malformed name, parameter, body or checksum."""

    status = 400
    reason = "invalid"


class Required(ApiError):
    """A request without this process's token."""

    status = 401
    reason = "required"
    location = ("header", "Authorization")


class Forbidden(ApiError):
    """The file system does not let this process read or write the file."""

    status = 403
    reason = "forbidden"


class NotFound(ApiError):
    """No such bucket, object, generation or upload session."""

    status = 404
    reason = "notFound"


class Conflict(ApiError):
    """A bucket that exists or is not empty, or an object name that the folder's present content rules out."""

    status = 409
    reason = "conflict"


class PreconditionFailed(ApiError):
    """An `if...Match` or `if...NotMatch` that does not hold."""

    status = 412
    reason = "conditionNotMet"
    location = ("header", "If-Match")

    def __init__(self) -> None:
        super().__init__("At least one of the pre-conditions you specified did not hold.")


class NotModified(ApiError):
    """A read whose `if...NotMatch` says that the reader has this version already; answered without a body."""

    status = 304
    reason = "notModified"

    def __init__(self) -> None:
        super().__init__("Not modified")


class RangeNotSatisfiable(ApiError):
    """A range that starts behind the end of the object.

    Args:
        size: The object's size, which the answer states in `Content-Range`.
    """

    status = 416
    reason = "requestedRangeNotSatisfiable"
    location = ("header", "Range")

    def __init__(self, size: int) -> None:
        super().__init__("Request range not satisfiable")
        self.size = size


class NotImplementedHere(ApiError):
    """A part of Cloud Storage that local Cloud Storage does not have."""

    status = 501
    reason = "notImplemented"


class StorageFull(ApiError):
    """The disk, the quota or the file size limit is exhausted.

    507 and not 503: Google's client and gcsfs repeat a 503 for a minute or two (google-cloud-storage 3.17.1,
    `retry._RETRYABLE_STATUS_CODES`), and a full disk does not empty itself.
    """

    status = 507
    reason = "insufficientStorage"


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_failure(failure: OSError | sqlite3.Error) -> ApiError:
    """The answer for a file system or SQLite call that failed."""
    if isinstance(failure, sqlite3.Error):
        if "full" in str(failure):
            return StorageFull(f"No space left on the device of local Cloud Storage's metadata: {failure}")
        return ApiError(f"Local Cloud Storage cannot use its metadata: {failure}")
    text = f"{failure.strerror or failure}" + (f": {failure.filename}" if failure.filename else "")
    if failure.errno in _FULL:
        return StorageFull(f"Local Cloud Storage cannot write, nothing was stored: {text}")
    if failure.errno in _DENIED:
        return Forbidden(f"Local Cloud Storage may not use the file: {text}")
    if failure.errno == errno.ENAMETOOLONG:
        return Invalid(f"The object's name is too long for a file: {text}")
    return ApiError(f"Local Cloud Storage: {text}")
