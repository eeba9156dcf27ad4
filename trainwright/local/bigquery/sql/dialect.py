"""Reads GoogleSQL into sqlglot's tree, with function calls left as they were written."""

import re
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError

from trainwright.local.bigquery.errors import InvalidQuery

_KEPT = ("ARRAY", "CAST", "EXTRACT", "SAFE_CAST", "STRING_AGG")
_SCRIPT = re.compile(
    r"(BEGIN|DECLARE|SET|IF|LOOP|WHILE|REPEAT|FOR|CALL|EXECUTE\s+IMMEDIATE|RAISE|COMMIT|ROLLBACK"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP\s+|TEMPORARY\s+)?(?:TABLE\s+)?(?:FUNCTION|PROCEDURE))\b",
    re.IGNORECASE,
)
_MODEL = re.compile(r"(CREATE\s+(?:OR\s+REPLACE\s+)?|EXPORT\s+|DROP\s+|ALTER\s+)MODEL\b", re.IGNORECASE)
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)


class GoogleSQL(BigQuery):
    """sqlglot's BigQuery, which otherwise maps functions of several dialects onto common nodes."""

    class Parser(BigQuery.Parser):
        """Calls stay what they are, save for those with a syntax of their own."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS = {name: BigQuery.Parser.FUNCTION_PARSERS[name] for name in _KEPT}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}


def parse(sql: str) -> exp.Expression:
    """The one statement of a query.

    Raises:
        InvalidQuery: It is malformed, or a script, or BigQuery ML.
    """
    head = _COMMENTS.sub("", sql, count=1)
    if model := _MODEL.match(head):
        words = " ".join(model.group().upper().split())
        raise InvalidQuery(f"{words} is BigQuery ML, which local BigQuery does not have")
    if script := _SCRIPT.match(head):
        words = " ".join(script.group().upper().split())
        raise InvalidQuery(f"{words}: local BigQuery runs single statements, no scripts or routines")
    try:
        statements = [each for each in sqlglot.parse(sql, dialect=GoogleSQL) if each is not None]
    except SqlglotError as error:
        raise InvalidQuery(f"Syntax error: {_plain(error)}") from None
    except RecursionError:
        raise InvalidQuery("The query is nested too deeply for local BigQuery") from None
    if len(statements) != 1:
        raise InvalidQuery(
            "Syntax error: Unexpected end of script"
            if not statements
            else "local BigQuery runs single statements, no scripts"
        )
    statement = statements[0]
    if isinstance(statement, exp.Command):
        raise InvalidQuery(f"local BigQuery does not have the statement {str(statement.this).upper()}")
    return statement


def _plain(error: SqlglotError) -> str:
    """Sqlglot's words without its terminal colours."""
    return re.sub(r"\x1b\[\d*m", "", str(error))[:400]
