"""What Google's clients raise, said in one line."""

import contextlib
from collections.abc import Iterator

from trainwright.errors import UserError


class Unreachable(Exception):
    """Vertex AI did not answer, or failed by itself: nobody's mistake, so worth another try."""


@contextlib.contextmanager
def google_errors(doing: str) -> Iterator[None]:
    """Turns what Google's clients raise into one line.

    Args:
        doing: What was being done, as the start of the line: `run churn-1`.

    Raises:
        UserError: Vertex AI refused the request, or there are no credentials for it.
        Unreachable: Vertex AI could not be reached or failed.
    """
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except auth.DefaultCredentialsError as error:
        raise UserError(
            f"{doing}: no Google credentials: run `gcloud auth application-default login`,"
            " or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from error
    except auth.RefreshError as error:
        raise UserError(f"{doing}: Google credentials were refused: {_line(error)}") from error
    except (auth.TransportError, api.RetryError) as error:
        raise Unreachable(f"{doing}: Vertex AI cannot be reached: {_line(error)}") from error
    except api.ClientError as error:
        raise UserError(f"{doing}: {_line(error)}") from error
    except api.GoogleAPICallError as error:
        unwritten = isinstance(error, api.MethodNotImplemented)
        raise (UserError if unwritten else Unreachable)(f"{doing}: {_line(error)}") from error


def _line(error: Exception) -> str:
    message = str(getattr(error, "message", "") or error).strip()
    return " ".join(message.split()) or type(error).__name__
