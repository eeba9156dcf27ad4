"""BigQuery of a killed local Vertex: what was acknowledged is there, and a job that ran is run again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from trainwright.local.server import connect

_WRITE = """
from google.cloud import bigquery
bq = bigquery.Client()
bq.create_dataset("kept")
bq.create_table(bigquery.Table("trainwright-local.kept.t", schema=[bigquery.SchemaField("x", "INTEGER")]))
for n in range(5):
    assert not bq.insert_rows_json("kept.t", [{"x": n}])
bq.load_table_from_json([{"x": 5}], "kept.t").result()
rows = bq.query("SELECT x FROM kept.t ORDER BY x").result()
numbers = "UNNEST(GENERATE_ARRAY(1, 10500))"
long = f"SELECT COUNT(*) AS n FROM {numbers} AS a, {numbers} AS b"
bq.query(f"CREATE TABLE kept.counted AS {long} WHERE MOD(a * b, 7) = 3", job_id="long")
print(rows.job_id)
"""
_READ = """
import json, sys
from google.cloud import bigquery
bq = bigquery.Client()
bq.get_job("long").result(timeout=100)
print(json.dumps([
    [row.x for row in bq.list_rows("kept.t")],
    [row.x for row in bq.get_job(sys.argv[1]).result()],
    [row.n for row in bq.list_rows("kept.counted")],
]))
"""


def test_a_kill_loses_nothing(vertices: Callable) -> None:
    vertex = vertices("bigquery")
    vertex.start()

    def client(program: str, *arguments: str) -> str:
        environment = os.environ | (connect(vertex.state) or {})
        command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def is_loaded(name: str) -> bool:
        return name in Path(f"/proc/{vertex._process.pid}/maps").read_text()

    assert not is_loaded("duckdb")  # who does not use BigQuery pays nothing for it
    query = client(_WRITE)
    assert is_loaded("duckdb")
    vertex.kill()
    vertex.start()
    rows, result, counted = json.loads(client(_READ, query))
    assert sorted(rows) == result == [0, 1, 2, 3, 4, 5]
    assert counted == [6 * 1500**2]  # of each number's seven remainders, six have one that makes 3 of them
