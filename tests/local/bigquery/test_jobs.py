"""Tables, DML, loads and extracts through the room's own interface."""

import gzip

import duckdb
import pytest

from trainwright.local.bigquery.errors import Duplicate, Invalid, InvalidQuery, NotFound
from trainwright.local.bigquery.names import TableName
from trainwright.local.bigquery.types import columns_of


def query(bigquery, sql, **fields):
    return bigquery.run({"query": {"query": sql, "useLegacySql": False, **fields}})["statistics"]["query"]


def rows(bigquery, table, columns="*", order="1"):
    with bigquery.reading() as catalog:
        physical = catalog.physical(TableName("shop", table))
        return catalog.cursor.execute(f"SELECT {columns} FROM {physical} ORDER BY {order}").fetchall()


def schema(bigquery, table):
    with bigquery.reading() as catalog:
        found = columns_of(catalog.table(TableName("shop", table))["schema"])
        return {column.name: str(column.type) for column in found}


def put(bigquery, uri, content):
    path = bigquery._storage.path(uri)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def load(bigquery, table, uri, kind, **fields):
    destination = {"datasetId": "shop", "tableId": table}
    given = {"destinationTable": destination, "sourceUris": [uri], "sourceFormat": kind, **fields}
    return bigquery.run({"load": given})["statistics"]["load"]


def test_dml_counts_and_changes_rows(bigquery):
    query(bigquery, "CREATE TABLE shop.stock (id INT64 NOT NULL, name STRING, tags ARRAY<STRING>)")
    sql = "INSERT INTO shop.stock VALUES (1, 'a', ['x']), (2, 'b', []), (3, NULL, NULL)"
    assert query(bigquery, sql)["numDmlAffectedRows"] == "3"
    assert query(bigquery, "UPDATE shop.stock SET name = 'z' WHERE id >= 2")["dmlStats"] == {
        "updatedRowCount": "2"
    }
    assert query(bigquery, "DELETE FROM shop.stock WHERE id = 3")["dmlStats"] == {"deletedRowCount": "1"}
    merge = (
        "MERGE shop.stock AS t USING (SELECT 2 AS id, 'm' AS name UNION ALL SELECT 9, 'n') AS s"
        " ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name"
        " WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)"
    )
    assert query(bigquery, merge)["numDmlAffectedRows"] == "2"
    assert rows(bigquery, "stock", "id, name") == [(1, "a"), (2, "m"), (9, "n")]
    twice = "UPDATE shop.stock AS t SET name = s.n FROM UNNEST([STRUCT(1 AS id, 'p' AS n), (1, 'q')]) AS s"
    for wrong, message in (
        (f"{twice} WHERE t.id = s.id", "at most one source row"),
        ("UPDATE shop.stock SET name = 'x'", "WHERE"),
        ("INSERT INTO shop.stock (id) VALUES ('1')", "cannot be inserted"),
        ("INSERT INTO shop.stock (name) VALUES ('1')", "NOT NULL"),
    ):
        with pytest.raises(InvalidQuery, match=message):
            query(bigquery, wrong)
    assert rows(bigquery, "stock", "id, name") == [(1, "a"), (2, "m"), (9, "n")]


def test_dispositions(bigquery):
    there = {"destinationTable": {"datasetId": "shop", "tableId": "picked"}}
    query(bigquery, "SELECT 1 AS x", **there)
    with pytest.raises(Duplicate):
        query(bigquery, "SELECT 2 AS x", **there)
    query(bigquery, "SELECT 2 AS x", **there, writeDisposition="WRITE_APPEND")
    assert rows(bigquery, "picked") == [(1,), (2,)]
    with pytest.raises(Invalid, match="Field x has changed type"):
        query(bigquery, "SELECT 'a' AS x", **there, writeDisposition="WRITE_APPEND")
    query(bigquery, "SELECT 'a' AS x", **there, writeDisposition="WRITE_TRUNCATE")
    assert rows(bigquery, "picked") == [("a",)]
    never = {
        "destinationTable": {"datasetId": "shop", "tableId": "absent"},
        "createDisposition": "CREATE_NEVER",
    }
    with pytest.raises(NotFound):
        query(bigquery, "SELECT 1 AS x", **never)
    with pytest.raises(NotFound, match="was not found in location EU"):
        job = {"query": "SELECT x FROM shop.picked", "useLegacySql": False}
        inserted = bigquery.jobs.insert({"configuration": {"query": job}, "jobReference": {"location": "EU"}})
        done = bigquery.jobs.wait(inserted["jobReference"]["jobId"], 30)
        raise NotFound(done["status"]["errorResult"]["message"])


def test_views_wildcards_and_the_information_schema(bigquery):
    for day in ("20200101", "20200102"):
        query(bigquery, f"CREATE TABLE shop.events_{day} AS SELECT '{day}' AS day, 1 AS n")
    query(bigquery, "CREATE VIEW shop.totals AS SELECT SUM(n) AS n FROM `p.shop.events_*`")
    found = {
        "destinationTable": {"datasetId": "shop", "tableId": "found"},
        "writeDisposition": "WRITE_TRUNCATE",
    }
    query(bigquery, "SELECT n FROM shop.totals", **found)
    assert rows(bigquery, "found") == [(2,)]
    query(bigquery, "SELECT * FROM shop.`events_*` WHERE _TABLE_SUFFIX = '20200102'", **found)
    assert rows(bigquery, "found") == [("20200102", 1)]
    columns = "SELECT column_name, data_type FROM shop.INFORMATION_SCHEMA.COLUMNS"
    query(bigquery, f"{columns} WHERE table_name = 'events_20200101'", **found)
    assert rows(bigquery, "found") == [("day", "STRING"), ("n", "INT64")]
    with pytest.raises(InvalidQuery, match="no TABLE"):
        query(bigquery, "DROP TABLE shop.totals")


def test_csv_keeps_empty_text_and_reads_other_empty_fields_as_null(bigquery):
    put(bigquery, "gs://data/a.csv", b'id,name,price,day\n1,"a ""b""\nc",1.5,2020-01-01\n2,,,\n')
    put(bigquery, "gs://data/b.csv", gzip.compress(b"id,name,price,day\n3,x,2,2020-01-02\n"))
    done = load(bigquery, "csv", "gs://data/a.csv", "CSV", autodetect=True, skipLeadingRows="1")
    assert done["outputRows"] == "2"
    assert schema(bigquery, "csv") == {"id": "INT64", "name": "STRING", "price": "FLOAT64", "day": "DATE"}
    load(bigquery, "csv", "gs://data/b.csv", "CSV", skipLeadingRows="1")
    assert rows(bigquery, "csv", "id, name, price") == [(1, 'a "b"\nc', 1.5), (2, "", None), (3, "x", 2.0)]
    put(bigquery, "gs://data/c.csv", b"x,x,x,x\n")
    with pytest.raises(Invalid, match="Bad int64 value: x"):
        load(bigquery, "csv", "gs://data/c.csv", "CSV")
    assert len(rows(bigquery, "csv")) == 3


def test_json_lines_are_read_by_the_schema(bigquery):
    put(
        bigquery,
        "gs://data/a.json",
        b'{"id": "7", "s": {"day": "2020-01-01"}, "tags": ["x"], "at": 1.5}\n{"id": 8}\n',
    )
    fields = [
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "s", "type": "RECORD", "fields": [{"name": "day", "type": "DATE"}]},
        {"name": "tags", "type": "STRING", "mode": "REPEATED"},
        {"name": "at", "type": "TIMESTAMP"},
    ]
    load(bigquery, "json", "gs://data/*.json", "NEWLINE_DELIMITED_JSON", schema={"fields": fields})
    found = rows(bigquery, "json", 'id, CAST(s.day AS VARCHAR), tags, epoch_us("at")')
    assert found == [(7, "2020-01-01", ["x"], 1_500_000), (8, None, [], None)]
    put(bigquery, "gs://data/b/c.json", b'{"id": 1, "nope": 2}\n')
    with pytest.raises(Invalid, match="No such field: nope"):
        load(bigquery, "json", "gs://data/b/c.json", "NEWLINE_DELIMITED_JSON")


@pytest.mark.parametrize("kind", ["PARQUET", "NEWLINE_DELIMITED_JSON", "CSV"])
def test_what_is_extracted_can_be_loaded_again(bigquery, kind):
    sql = (
        "CREATE OR REPLACE TABLE shop.kinds AS SELECT 1 AS i, 0.1 AS f, NUMERIC '1.25' AS n, TRUE AS b,"
        " 'a,\"b' AS s, b'xy' AS y, DATE '2020-01-01' AS d, TIMESTAMP '2020-01-01 10:00:00.5+00' AS t,"
        " DATETIME '2020-01-01 10:00:00' AS dt, TIME '10:00:00' AS tm"
    )
    query(bigquery, sql if kind == "CSV" else f"{sql}, [1, 2] AS a, STRUCT(1 AS x, 'q' AS z) AS r")
    uri = bigquery.export_table("p.shop.kinds", f"gs://data/{kind}/part-*", file_format=kind)
    assert uri == f"gs://data/{kind}/part-000000000000"
    query(bigquery, "CREATE OR REPLACE TABLE shop.again AS SELECT * FROM shop.kinds WHERE FALSE")
    extra = {"skipLeadingRows": "1"} if kind == "CSV" else {}
    load(bigquery, "again", f"gs://data/{kind}/*", kind, **extra)
    assert schema(bigquery, "again") == schema(bigquery, "kinds")
    columns = "* REPLACE (epoch_us(t) AS t)"
    assert rows(bigquery, "again", columns) == rows(bigquery, "kinds", columns)


def test_a_parquet_file_becomes_a_table(bigquery):
    query(bigquery, "CREATE OR REPLACE TABLE shop.origin AS SELECT x, [x] AS list FROM UNNEST([1, 2]) AS x")
    bigquery.export_table("bq://p.shop.origin", "gs://data/origin.parquet")
    assert bigquery.load_table("shop.copied", ["gs://data/origin.parquet"]) == 2
    assert rows(bigquery, "copied") == [(1, [1]), (2, [2])]
    assert bigquery.load_table("shop.copied", ["gs://data/*.parquet"], write_disposition="WRITE_APPEND") == 2
    with pytest.raises(NotFound):
        bigquery.load_table("shop.copied", ["gs://data/nothing-*.parquet"])
    with pytest.raises(NotFound):
        bigquery.export_table("shop.nothing", "gs://data/x.parquet")


def test_a_running_query_is_cancelled(bigquery):
    numbers = "UNNEST(GENERATE_ARRAY(1, 100000))"
    long = f"SELECT COUNT(*) AS n FROM {numbers} AS a, {numbers} AS b"
    job = bigquery.jobs.insert(
        {"configuration": {"query": {"query": f"{long} WHERE MOD(a * b, 7) = 3", "useLegacySql": False}}}
    )
    identifier = job["jobReference"]["jobId"]
    for _ in range(100):
        bigquery.jobs.cancel(identifier)
        done = bigquery.jobs.wait(identifier, 0.1)
        if done["status"]["state"] == "DONE":
            break
    assert done["status"]["errorResult"]["reason"] == "stopped"


def test_a_query_reads_no_file(bigquery):
    with pytest.raises(duckdb.PermissionException), bigquery.reading() as catalog:
        catalog.cursor.execute("SELECT * FROM read_text('/etc/hostname')")
