"""What GoogleSQL gives, by BigQuery's documentation, and what is refused as DuckDB answers otherwise."""

import datetime
import decimal
import hashlib
import math

import pytest

from trainwright.local.bigquery.errors import BigQueryError
from trainwright.local.bigquery.sql.dialect import parse
from trainwright.local.bigquery.sql.queries import Queries
from trainwright.local.bigquery.sql.statements import translated

D = datetime.date
N = decimal.Decimal

# Expressions and results from the examples of BigQuery's reference, or from its text where it has none.
EXPRESSIONS = {
    # arithmetic and conversion
    "7 / 2": 3.5,
    "2147483647 + 1": 2147483648,
    "DIV(-7, 2)": -3,
    "MOD(-7, 3)": -1,
    "MOD(25, 3)": 1,
    "1 = 1.0": True,
    "NUMERIC '1.5' * 2": N("3.000000000"),
    "NUMERIC '1' / 3": N("0.333333333"),
    "IEEE_DIVIDE(1, 0)": math.inf,
    "SAFE_DIVIDE(1, 0)": None,
    "ROUND(2.5)": 3.0,
    "ROUND(-2.5)": -3.0,
    "LOG(100, 10)": 2.0,
    "POW(2, -1)": 0.5,
    "GREATEST(1, NULL, 2)": None,
    "IF(NULL, 1, 2)": 2,
    "5 IN (1, NULL)": None,
    "CAST(2.5 AS INT64)": 3,
    "CAST(-2.5 AS INT64)": -3,
    "CAST('0x1F' AS INT64)": 31,
    "SAFE_CAST('1.5' AS INT64)": None,
    "SAFE_CAST('1_000' AS INT64)": None,
    "SAFE_CAST('yes' AS BOOL)": None,
    "CAST(1.0 AS STRING)": "1",
    "CAST(0.1 + 0.2 AS STRING)": "0.30000000000000004",
    "CAST(1e20 AS STRING)": "1e+20",
    "CAST(NUMERIC '1.10' AS STRING)": "1.1",
    "CAST(TRUE AS STRING)": "true",
    "CAST(DATETIME '2020-01-01 10:00:00.5' AS STRING)": "2020-01-01 10:00:00.500",
    "CAST(TIMESTAMP '2020-01-01 12:00:00+02' AS STRING)": "2020-01-01 10:00:00+00",
    "CAST('nan' AS FLOAT64) = CAST('nan' AS FLOAT64)": False,
    "CAST('nan' AS FLOAT64) > 1": False,
    "NULL IS NOT DISTINCT FROM NULL": True,
    # strings and bytes
    "SUBSTR('apple', 0, 2)": "ap",
    "SUBSTR('apple', -2)": "le",
    "SUBSTR('apple', 123)": "",
    "SAFE.SUBSTR('foo', 0, -2)": None,
    "SUBSTR('abc', -5, 2)": "ab",
    "CONCAT('a', NULL)": None,
    "LENGTH('абвг')": 4,
    "LENGTH(CAST('абвг' AS BYTES))": 8,
    "BYTE_LENGTH('абвг')": 8,
    "TRIM('\\t apple \\n')": "apple",
    "TRIM('***apple***', '*')": "apple",
    "SPLIT('', ',')": [""],
    "SPLIT('abc', '')": ["a", "b", "c"],
    "STRPOS('foo@example.com', '@')": 4,
    "LPAD('abc', 5, 'def')": "deabc",
    "REPLACE('abc', '', 'x')": "abc",
    "'a_b' LIKE 'a\\\\_b'": True,
    "'axb' LIKE 'a\\\\_b'": False,
    "TO_HEX(MD5('12345'))": hashlib.md5(b"12345").hexdigest(),
    "TO_HEX(SHA256('x'))": hashlib.sha256(b"x").hexdigest(),
    "FORMAT('%05d|%s|%.2f', 42, 'x', 1.5)": "00042|x|1.50",
    "REGEXP_CONTAINS('foo\\nbar', r'o.b')": False,
    "REGEXP_EXTRACT('foo@example.com', r'^[a-zA-Z0-9_.+-]+@(.+)$')": "example.com",
    "REGEXP_EXTRACT('abc', r'[0-9]+')": None,
    "REGEXP_EXTRACT_ALL('a1b22', r'[0-9]+')": ["1", "22"],
    "REGEXP_REPLACE('# Heading', r'^# ([a-zA-Z0-9\\s]+$)', r'<h1>\\1</h1>')": "<h1>Heading</h1>",
    "FARM_FINGERPRINT(CONCAT(CAST(1 AS STRING), 'foo', CAST(TRUE AS STRING)))": -1541654101129638711,
    "FARM_FINGERPRINT('2applefalse')": 2794438866806483259,
    'JSON_VALUE(\'{"a": {"b": "c"}}\', \'$.a.b\')': "c",
    "JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a')": None,
    # dates and times
    "EXTRACT(DAYOFWEEK FROM DATE '2023-01-01')": 1,
    "EXTRACT(WEEK FROM DATE '2023-01-01')": 1,
    "EXTRACT(WEEK FROM DATE '2022-01-01')": 0,
    "EXTRACT(ISOWEEK FROM DATE '2023-01-01')": 52,
    "EXTRACT(ISOYEAR FROM DATE '2023-01-01')": 2022,
    "EXTRACT(WEEK(MONDAY) FROM DATE '2017-11-06')": 45,
    "EXTRACT(HOUR FROM TIMESTAMP '2020-01-01 12:30:00+00' AT TIME ZONE 'America/New_York')": 7,
    "EXTRACT(MILLISECOND FROM DATETIME '2020-01-01 00:00:01.5')": 500,
    "DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)": 1,
    "DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK)": 0,
    "DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK(MONDAY))": 1,
    "DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', ISOWEEK)": 1,
    "DATE_DIFF(DATE '2017-12-30', DATE '2014-12-30', YEAR)": 3,
    "DATE_DIFF(DATE '2017-12-30', DATE '2014-12-30', ISOYEAR)": 2,
    "TIMESTAMP_DIFF(TIMESTAMP '2001-02-01 01:00:00', TIMESTAMP '2001-02-01 00:00:01', HOUR)": 0,
    "TIMESTAMP_DIFF(TIMESTAMP '2018-08-14', TIMESTAMP '2018-10-14', DAY)": -61,
    "DATETIME_DIFF(DATETIME '2017-10-15 00:00:00', DATETIME '2017-10-14 23:59:00', HOUR)": 1,
    "DATE_ADD(DATE '2023-01-31', INTERVAL 1 MONTH)": D(2023, 2, 28),
    "DATE '2020-01-01' + 1": D(2020, 1, 2),
    "DATE_TRUNC(DATE '2017-11-05', WEEK(MONDAY))": D(2017, 10, 30),
    "DATE_TRUNC(DATE '2023-03-15', WEEK)": D(2023, 3, 12),
    "DATE_TRUNC(DATE '2015-06-15', ISOYEAR)": D(2014, 12, 29),
    "LAST_DAY(DATE '2008-11-25')": D(2008, 11, 30),
    "LAST_DAY(DATE '2008-11-10', WEEK)": D(2008, 11, 15),
    "LAST_DAY(DATE '2008-11-10', WEEK(MONDAY))": D(2008, 11, 16),
    "DATE(TIMESTAMP '2016-12-25 05:30:00+07', 'America/Los_Angeles')": D(2016, 12, 24),
    "FORMAT_DATE('%b %d, %Y', DATE '2008-12-25')": "Dec 25, 2008",
    "PARSE_DATE('%Y%m%d', '20081225')": D(2008, 12, 25),
    "UNIX_SECONDS(TIMESTAMP '1969-12-31 23:59:59.5+00')": -1,
    "UNIX_DATE(DATE '2008-12-25')": 14238,
    "CAST(TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', DAY) AS STRING)": "2008-12-25 00:00:00+00",
    "ARRAY_LENGTH(GENERATE_DATE_ARRAY('2016-10-05', '2016-10-08'))": 4,
    # arrays and structs
    "[10, 20, 30][OFFSET(1)]": 20,
    "[10, 20, 30][ORDINAL(1)]": 10,
    "[10, 20][SAFE_OFFSET(5)]": None,
    "3 IN UNNEST([1, NULL])": None,
    "ARRAY_TO_STRING(['a', NULL, 'b'], ',')": "a,b",
    "ARRAY(SELECT x * 2 FROM UNNEST([1, 2]) AS x ORDER BY x DESC)": [4, 2],
    "(SELECT SUM(x) FROM UNNEST([1, 2, 3]) AS x)": 6,
    "STRUCT(1 AS a, 'x' AS b).b": "x",
    "STRUCT<a INT64, b STRING>(1, 'x').a": 1,
    "ARRAY(SELECT AS STRUCT 1 AS a, 2 AS b)[OFFSET(0)].b": 2,
}

# Whole queries, with all their rows.
QUERIES = {
    "SELECT x FROM UNNEST([2, NULL, 1]) AS x ORDER BY x": [(None,), (1,), (2,)],
    "SELECT x FROM UNNEST([2, NULL, 1]) AS x ORDER BY x DESC": [(2,), (1,), (None,)],
    "SELECT x, o FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS o ORDER BY o": [("a", 0), ("b", 1)],
    "SELECT * FROM UNNEST([STRUCT(1 AS a, 'x' AS b), (2, 'y')]) ORDER BY a": [(1, "x"), (2, "y")],
    "WITH t AS (SELECT 'k' AS k, [1, 2] AS v) SELECT k, x FROM t, t.v AS x ORDER BY x": [("k", 1), ("k", 2)],
    "WITH t AS (SELECT 1 AS k, CAST([] AS ARRAY<INT64>) AS v) SELECT k, x FROM t LEFT JOIN UNNEST(v) AS x": [
        (1, None)
    ],
    "WITH t AS (SELECT 1 AS a, 2 AS b) SELECT * EXCEPT (a) FROM t": [(2,)],
    "WITH t AS (SELECT 1 AS a, 2 AS b) SELECT * REPLACE (a + b AS b) FROM t": [(1, 3)],
    "SELECT * FROM (SELECT 'l' AS l, 1 AS k) JOIN (SELECT 1 AS k, 'r' AS r) USING (k)": [(1, "l", "r")],
    "SELECT k FROM (SELECT 1 AS k) FULL JOIN (SELECT 2 AS k) USING (k) ORDER BY k": [(1,), (2,)],
    "SELECT x FROM UNNEST([1, 2, 3]) AS x QUALIFY ROW_NUMBER() OVER (ORDER BY x DESC) = 1": [(3,)],
    "SELECT COUNTIF(x > 1), SUM(x), AVG(x), COUNT(DISTINCT x) FROM UNNEST([1, 2, 3, 3]) AS x": [
        (3, 9, 2.25, 3)
    ],
    "SELECT STRING_AGG(x, '|' ORDER BY x) FROM UNNEST(['b', NULL, 'a']) AS x": [("a|b",)],
    "SELECT ARRAY_AGG(x IGNORE NULLS ORDER BY x DESC LIMIT 2) FROM UNNEST([1, NULL, 3, 2]) AS x": [([3, 2],)],
    "SELECT APPROX_QUANTILES(x, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x": [([1, 5, 10],)],
    "SELECT ANY_VALUE(x HAVING MAX y) FROM UNNEST([STRUCT('a' AS x, 1 AS y), ('b', 2)])": [("b",)],
    "SELECT x, SUM(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM UNNEST([1, 2, 3]) AS x"
    " ORDER BY x": [(1, 1), (2, 3), (3, 5)],
    "SELECT x, RANK() OVER (PARTITION BY MOD(x, 2) ORDER BY x / 2) FROM UNNEST([1, 3]) AS x ORDER BY 1": [
        (1, 1),
        (3, 2),
    ],
    "SELECT LAST_VALUE(x) OVER (ORDER BY x) FROM UNNEST([1, 2]) AS x ORDER BY 1": [(1,), (2,)],
    "SELECT SUM(x) OVER w FROM UNNEST([1, 2]) AS x WINDOW w AS (ORDER BY x DESC) ORDER BY 1": [(2,), (3,)],
    "SELECT PERCENTILE_CONT(x, 0.5) OVER () FROM UNNEST([1, 2]) AS x LIMIT 1": [(1.5,)],
    "SELECT MIN(x) FROM UNNEST([1.0, CAST('nan' AS FLOAT64)]) AS x WHERE IS_NAN(x)": "nan",
    "SELECT UPPER(k) AS u, COUNT(*) FROM UNNEST(['a', 'A']) AS k GROUP BY u": [("A", 2)],
    "SELECT 1 AS x UNION ALL SELECT 2.5 ORDER BY x DESC": [(2.5,), (1.0,)],
    "SELECT 1 AS x UNION DISTINCT SELECT 1": [(1,)],
    "SELECT x FROM UNNEST([1, 2]) AS x EXCEPT DISTINCT SELECT 2": [(1,)],
    "SELECT a.x FROM UNNEST([1, 2]) AS x, UNNEST([STRUCT(5 AS x)]) AS a WHERE EXISTS (SELECT 1 FROM"
    " UNNEST([5]) AS y WHERE y = a.x) LIMIT 1": [(5,)],
    "SELECT * FROM (SELECT 'Kale' AS product, 51 AS sales, 'Q1' AS quarter UNION ALL SELECT 'Kale', 23, 'Q2')"
    " PIVOT(SUM(sales) FOR quarter IN ('Q1', 'Q2', 'Q3'))": [("Kale", 51, 23, None)],
    "SELECT AS STRUCT 1 AS a": [({"a": 1},)],
}

# BigQuery refuses these when they run or are checked.
WRONG = {
    "SELECT 1 / 0": "division by zero",
    "SELECT MOD(1, 0)": "division by zero",
    "SELECT 9223372036854775807 + 1": "Overflow",
    "SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x": "INT64",
    "SELECT EXP(1000)": "Floating point error",
    "SELECT LN(0)": "LN",
    "SELECT CAST('1.5' AS INT64)": "Bad int64 value",
    "SELECT CAST('2020-13-01' AS DATE)": "date",
    "SELECT DATE(2023, 2, 30)": "out of range",
    "SELECT [10][OFFSET(5)]": "out of bounds",
    "SELECT SUBSTR('foo', 1, -2)": "negative",
    "SELECT '1' = 1": "No matching signature for operator =",
    "SELECT 'a' + 'b'": "No matching signature for operator +",
    "SELECT LOWER(5)": "No matching signature for function LOWER",
    "SELECT TIMESTAMP '2020-01-01' > DATETIME '2020-01-01'": "No matching signature",
    "SELECT 1 AS a, a + 1": "Unrecognized name: a",
    "SELECT x FROM UNNEST([1]) AS x WHERE y = 1": "Unrecognized name: y",
    "SELECT 1 AS a, 2 AS a": "Duplicate column names",
    "SELECT x FROM UNNEST([1]) AS x GROUP BY 2": "out of SELECT column number range",
    "SELECT UPPER(k) AS k FROM (SELECT 'a' AS k) GROUP BY k": "ambiguous",
    "SELECT 1 UNION ALL SELECT 'a'": "UNION",
    "SELECT ROW_NUMBER()": "OVER",
    "SELEC 1": "Syntax error",
}

# These mean something else in DuckDB, or nothing that was checked.
REFUSED = {
    "SELECT MEDIAN(x) FROM UNNEST([1, 2]) AS x": "MEDIAN",
    "SELECT hash('a')": "HASH",
    "SELECT list_sum([1])": "LIST_SUM",
    "SELECT read_text('/etc/passwd')": "READ_TEXT",
    "SELECT * FROM read_csv('/etc/passwd')": "READ_CSV",
    "SELECT SHA512('a')": "SHA512",
    "SELECT NORMALIZE('a')": "NORMALIZE",
    "SELECT SAFE.SUBSTR('foo', 0, DIV(1, 0))": "SAFE.SUBSTR",
    "SELECT 'a' 'b'": "Concat",
    "SELECT CAST('a' AS STRING FORMAT 'x')": "FORMAT",
    "SELECT FORMAT_DATE('%Q', DATE '2020-01-01')": "%Q",
    "SELECT REGEXP_EXTRACT('ab', r'(a)?b')": "REGEXP_EXTRACT",
    "SELECT STRING_AGG(x LIMIT 1) FROM UNNEST(['a']) AS x": "STRING_AGG",
    "SELECT x FROM UNNEST([1]) AS x GROUP BY ROLLUP (x)": "ROLLUP",
    "SELECT * FROM (SELECT 1 AS x) TABLESAMPLE SYSTEM (10 PERCENT)": "TABLESAMPLE",
    "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT * FROM t": "WITH RECURSIVE",
    "SELECT 1; SELECT 2": "scripts",
    "DECLARE x INT64 DEFAULT 1": "DECLARE",
    "BEGIN SELECT 1; END": "BEGIN",
    "CREATE TEMP FUNCTION f(x INT64) AS (x)": "CREATE TEMP FUNCTION",
    "/* a */ CREATE OR REPLACE MODEL d.m OPTIONS (model_type='x') AS SELECT 1": "CREATE OR REPLACE MODEL",
    "SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT 1 AS x))": "PREDICT",
    "SELECT SESSION_USER()": "SESSION_USER",
    "SELECT CAST(1 AS BIGNUMERIC)": "BIGNUMERIC",
    "SELECT ST_GEOGPOINT(1, 2)": "ST_GEOGPOINT",
    "ATTACH '/tmp/x.db'": "ATTACH",
    "PRAGMA version": "PRAGMA",
}


def answer(bigquery, sql):
    """The rows of a query. Their types in DuckDB must be those that were worked out."""
    with bigquery.reading() as catalog:
        queries = Queries(catalog)
        node = parse(sql)
        assert translated(node, queries) is None
        query = queries.query(node)
        result = catalog.cursor.execute(query.sql)
        assert [str(kind) for _, kind, *_ in result.description] == [
            c.type.duckdb.replace('"', "") for c in query.columns
        ]
        return result.fetchall()


@pytest.mark.parametrize("sql", EXPRESSIONS)
def test_expression(bigquery, sql):
    expected = EXPRESSIONS[sql]
    (found,) = answer(bigquery, f"SELECT {sql}")[0]
    assert type(found) is type(expected)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("sql", QUERIES)
def test_query(bigquery, sql):
    found = answer(bigquery, sql)
    if QUERIES[sql] == "nan":
        assert math.isnan(found[0][0])
    else:
        assert found == QUERIES[sql]


@pytest.mark.parametrize("sql", WRONG | REFUSED)
def test_refused(bigquery, sql):
    with pytest.raises(BigQueryError) as refusal:
        bigquery.run({"query": {"query": sql, "useLegacySql": False}})
    assert refusal.value.reason in ("invalidQuery", "notFound")
    assert (WRONG | REFUSED)[sql].lower() in refusal.value.message.lower()


def test_the_split_of_the_components_is_the_same_on_bigquery(bigquery):
    """The first eight hexadecimal digits of MD5 modulo 100, as `split_dataset` computes it with DuckDB."""
    sql = (
        "SELECT id, MOD(CAST(CONCAT('0x', SUBSTRING(TO_HEX(MD5(CAST(id AS STRING))), 1, 8)) AS INT64), 100)"
        " FROM UNNEST(GENERATE_ARRAY(12345, 12444)) AS id"
    )
    expected = [(n, int(hashlib.md5(str(n).encode()).hexdigest()[:8], 16) % 100) for n in range(12345, 12445)]
    assert sorted(answer(bigquery, sql)) == expected
    assert expected[0] == (12345, 26)
    with bigquery.reading() as catalog:
        side = "('0x' || substr(md5(CAST(id AS VARCHAR)), 1, 8))::BIGINT % 100"
        found = catalog.cursor.execute(f"SELECT {side} FROM range(12345, 12445) t(id)").fetchall()
        assert [row[0] for row in found] == [side for _, side in expected]
