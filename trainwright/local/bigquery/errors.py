"""What BigQuery answers in place of a result: one class per reason.

Reasons and statuses: BigQuery documentation, "Error messages" (2026-11-25).
"""

from typing import Any


class BigQueryError(Exception):
    """An answer that is no success, of a request or of a job.

    Args:
        message: One line for the user.
        location: The part of the request that is to blame: "query", a parameter's or a file's name.
    """

    status = 500
    reason = "backendError"

    def __init__(self, message: str, location: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.location = location

    def proto(self) -> dict[str, str]:
        """The ErrorProto in a job's status."""
        error = {"reason": self.reason, "message": self.message}
        if self.location:
            error["location"] = self.location
        return error

    def body(self) -> dict[str, Any]:
        """The JSON object of an HTTP answer."""
        error = {**self.proto(), "domain": "global"}
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}


class Invalid(BigQueryError):
    """A request that cannot be right."""

    status = 400
    reason = "invalid"


class InvalidQuery(BigQueryError):
    """A query that is wrong, or that local BigQuery cannot answer as BigQuery would."""

    status = 400
    reason = "invalidQuery"

    def __init__(self, message: str, location: str = "query") -> None:
        super().__init__(message, location)


class ResourcesExceeded(BigQueryError):
    """A query that needs more memory or disk than local BigQuery may use."""

    status = 400
    reason = "resourcesExceeded"


class Required(BigQueryError):
    """A request without a credential."""

    status = 401
    reason = "required"


class NotFound(BigQueryError):
    """No such project, dataset, table or job."""

    status = 404
    reason = "notFound"


class Duplicate(BigQueryError):
    """A dataset, table or job of that name exists."""

    status = 409
    reason = "duplicate"


class ResourceInUse(BigQueryError):
    """A dataset that is not empty."""

    status = 400
    reason = "resourceInUse"


class ConditionNotMet(BigQueryError):
    """An `If-Match` that does not hold."""

    status = 412
    reason = "conditionNotMet"


class Stopped(BigQueryError):
    """A job that was cancelled."""

    status = 499
    reason = "stopped"


class NotImplementedHere(BigQueryError):
    """A part of BigQuery that local BigQuery does not have."""

    status = 501
    reason = "notImplemented"


_BY_REASON = {
    kind.reason: kind
    for kind in (
        Invalid,
        InvalidQuery,
        ResourcesExceeded,
        NotFound,
        Duplicate,
        ResourceInUse,
        Stopped,
        NotImplementedHere,
    )
}


def from_proto(proto: dict[str, str]) -> BigQueryError:
    """The error that a job's status describes."""
    kind = _BY_REASON.get(proto["reason"], BigQueryError)
    return kind(proto["message"], proto.get("location", ""))
