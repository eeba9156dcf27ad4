"""Cron expressions as schedules of Vertex AI take them: five fields, with a time zone in front.

Reference of `Schedule.cron` (google-cloud-aiplatform 1.165.1) and "Schedule a pipeline run with scheduler
API" (Vertex AI documentation, 2026-08-22): unix-cron as in crontab(5), with the prefix `TZ=Area/City` or
`CRON_TZ=Area/City`. What happens when clocks change is not documented there; it is as in Debian's cron
(cron(8)): a time that the clock leaps over comes in the first minute after the leap, and one that comes twice
counts once; where minute or hour begin with `*`, the clock is followed as it goes.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S*)\s+(.*)", re.DOTALL)
# cronsim also knows L, LW and #, which crontab(5) does not: what runs here must not fail on Vertex AI.
_FIELD = re.compile(r"[-0-9A-Za-z*,/]+")
_NAMES = re.compile(r"JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT")


class CronError(ValueError):
    """The text is no cron expression; one line that says why."""


@dataclass(frozen=True)
class Cron:
    """When something happens, again and again.

    Attributes:
        fields: Minute, hour, day of month, month, day of week.
        zone: The time zone that they are read in.
    """

    fields: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Reads an expression such as `TZ=Europe/Berlin 30 2 * * MON`; UTC without a prefix.

        Raises:
            CronError: The time zone is not in the IANA database, there are not five fields (nor one of
                `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`), a value is
                out of range, or the expression never comes true.
        """
        prefixed = _PREFIX.fullmatch(text.strip())
        zone_name, expression = prefixed.groups() if prefixed else ("UTC", text)
        try:
            zone = ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise CronError(
                f"cron {text!r}: time zone {zone_name!r} is not in the IANA time zone database"
            ) from None
        fields = _ALIASES.get(expression.strip(), expression).split()
        if len(fields) != 5:
            raise CronError(
                f"cron {text!r}: {len(fields)} fields; expected minute, hour, day, month and day of week"
            )
        for field in fields:
            if not _FIELD.fullmatch(field) or re.search("[A-Z]", _NAMES.sub("", field.upper())):
                raise CronError(f"cron {text!r}: field {field!r}; expected numbers, names, * , - /")
        cron = cls(" ".join(fields), zone)
        try:
            never = cron.next_time(0.0) is None
        except CronSimError as error:
            reason = str(error)
            raise CronError(f"cron {text!r}: {reason[:1].lower()}{reason[1:]}") from None
        if never:
            raise CronError(f"cron {text!r}: never comes true")
        return cron

    def next_time(self, after: float) -> float | None:
        """The first time after a moment, both as Unix seconds; None when there is none in 50 years."""
        try:
            for moment in CronSim(self.fields, datetime.fromtimestamp(after, self.zone)):
                # From within an hour that comes for the second time, cronsim answers with the first one.
                if moment.timestamp() > after:
                    return moment.timestamp()
        except (OverflowError, ValueError):  # past the year 9999
            pass
        return None
