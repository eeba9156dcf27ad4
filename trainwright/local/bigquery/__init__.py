"""BigQuery, as far as data preparation needs it, over one DuckDB database.

Why an own server (looked at on 2026-11-25, each in an environment of its own):

* `local-bigquery` 0.4.0 wants Python 3.13, and this library runs from 3.11 on.
* `crucible-emulator` 0.1.0a2 (Apache-2.0, pre-alpha, 8,000 lines, pins duckdb 1.5.6 and sqlglot 30.22.0) gave
  64 of 76 results that BigQuery's documentation states, refused 4, and answered 8 otherwise than BigQuery:
  CAST(1.0 AS STRING) is '1.0', SUBSTR('apple', 0, 2) is 'a', MEDIAN(x), '1' = 1 and 'a' 'b' are answered.
* `bqemulator` 1.4.0 (Apache-2.0, 44,000 lines, 60 packages, sqlglot below 30.12) does not start without
  downloading DuckDB's `spatial`; it hands unknown functions on to DuckDB, takes CREATE MODEL without training
  and ALTER TABLE ... SET OPTIONS without effect.

The latter two hand on to DuckDB what they do not know. Here (`sql/`) every node is typed, and what has no
match is refused by its name; of the same 76, none is answered otherwise than by BigQuery.
"""

from trainwright.local.bigquery.app import bigquery_app
from trainwright.local.bigquery.bigquery import BigQuery
from trainwright.local.bigquery.errors import BigQueryError

__all__ = ["BigQuery", "BigQueryError", "bigquery_app"]
