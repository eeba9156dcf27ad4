"""DML and DDL: what a statement does, taken apart and typed.

Source: BigQuery documentation, "Data manipulation language" and "Data definition language" (2026-11-25).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.constructors import constructed
from trainwright.local.bigquery.sql.literals import read_type
from trainwright.local.bigquery.sql.queries import Queries, Source
from trainwright.local.bigquery.sql.relations import from_clause
from trainwright.local.bigquery.sql.scope import Expr, Relation, Scope, only, unsupported
from trainwright.local.bigquery.types import Column, array_of, quoted

_OPTIONS = {"description": "description", "friendly_name": "friendlyName", "labels": "labels"}


@dataclass(frozen=True)
class Mutation:
    """DML on a table.

    Args:
        kind: INSERT, UPDATE, DELETE, MERGE or TRUNCATE_TABLE.
        parts: The table's name as written.
        sql: DuckDB SQL that does it and gives the number of rows.
        check: DuckDB SQL that gives a row when the statement must fail, or "".
    """

    kind: str
    parts: tuple[str, ...]
    sql: str
    check: str = ""


@dataclass(frozen=True)
class Definition:
    """DDL.

    Args:
        kind: CREATE_TABLE, CREATE_TABLE_AS_SELECT, CREATE_VIEW, CREATE_SCHEMA, DROP_TABLE, DROP_VIEW or
            DROP_SCHEMA.
        parts: The name as written.
        columns: Of a table.
        sql: DuckDB SQL of the rows.
        view: GoogleSQL of a view.
        replace: OR REPLACE.
        lenient: IF NOT EXISTS, IF EXISTS.
        cascade: CASCADE.
        attributes: Fields of the resource from OPTIONS, PARTITION BY and CLUSTER BY.
    """

    kind: str
    parts: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    sql: str = ""
    view: str = ""
    replace: bool = False
    lenient: bool = False
    cascade: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)


def parts_of(node: exp.Expression) -> tuple[str, ...]:
    """The parts of a table's or dataset's name."""
    if not isinstance(node, exp.Table):
        raise unsupported(node)
    return tuple(part for each in node.parts for part in each.name.split("."))


def translated(node: exp.Expression, queries: Queries) -> Mutation | Definition | None:
    """A statement that is no query; None for a query.

    Raises:
        InvalidQuery: It is wrong or not supported.
    """
    for kind, handler in (
        (exp.Insert, _insert),
        (exp.Update, _update),
        (exp.Delete, _delete),
        (exp.Merge, _merge),
        (exp.TruncateTable, _truncate),
        (exp.Create, _create),
        (exp.Drop, _drop),
    ):
        if isinstance(node, kind):
            return handler(node, queries)
    if isinstance(node, exp.Query):
        return None
    raise InvalidQuery(f"local BigQuery does not have the statement {node.key.upper()}")


def _target(node: exp.Expression, queries: Queries) -> tuple[tuple[str, ...], Source, Relation]:
    table = node.this if isinstance(node, exp.Schema) else node
    only(table, "this", "db", "catalog", "alias")
    parts = parts_of(table)
    source = queries.tables.source(parts)
    if source.view or not source.sql.startswith("data."):
        raise InvalidQuery(f"{'.'.join(parts)} is no table that can be changed")
    return parts, source, Relation(table.alias or parts[-1], source.columns)


def _insert(node: exp.Insert, queries: Queries) -> Mutation:
    only(node, "this", "expression")
    parts, source, _ = _target(node.this, queries)
    columns: Sequence[Column] = source.columns
    if isinstance(node.this, exp.Schema):
        columns = [_column(source.columns, each.name) for each in node.this.expressions]
    if isinstance(node.expression, exp.Values):
        rows = [_row(each, columns, queries) for each in node.expression.expressions]
        sql = f"VALUES {', '.join(rows)}"
    else:
        inner, given = queries.subquery(node.expression, None)
        if len(given) != len(columns):
            raise InvalidQuery(
                f"Inserted row has wrong column count; Has {len(given)}, expected {len(columns)}"
            )
        for have, want in zip(given, columns, strict=True):
            _check(Expr("", have.type), want)
        sql = inner
    listed = ", ".join(quoted(column.name) for column in columns)
    return Mutation("INSERT", parts, f"INSERT INTO {source.sql} ({listed}) {sql}")


def _row(node: exp.Expression, columns: Sequence[Column], queries: Queries) -> str:
    values = node.expressions if isinstance(node, exp.Tuple) else [node]
    if len(values) != len(columns):
        raise InvalidQuery(f"Inserted row has wrong column count; Has {len(values)}, expected {len(columns)}")
    return f"({', '.join(_value(v, c, Scope(), queries) for v, c in zip(values, columns, strict=True))})"


def _value(node: exp.Expression, column: Column, scope: Scope, queries: Queries) -> str:
    if column.type.kind in ("STRUCT", "ARRAY") and isinstance(node, (exp.Tuple, exp.Struct, exp.Array)):
        return constructed(queries.expressions, node, column.type, scope).sql
    value = queries.expressions.translate(node, scope)
    _check(value, column)
    return value.to(column.type).sql


def _check(value: Expr, column: Column) -> None:
    if not value.fits(column.type):
        raise InvalidQuery(
            f"Value has type {value.type} which cannot be inserted into column {column.name}, which has type"
            f" {column.type}"
        )


def _column(columns: Sequence[Column], name: str) -> Column:
    found = next((each for each in columns if each.name.lower() == name.lower()), None)
    if found is None:
        raise InvalidQuery(f"Column {name} is not present in the table")
    return found


def _assignments(nodes: Sequence[exp.Expression], source: Source, scope: Scope, queries: Queries) -> str:
    parts = []
    for each in nodes:
        if not isinstance(each, exp.EQ) or not isinstance(each.this, exp.Column):
            raise unsupported(each)
        if len(each.this.parts) > 2 or (len(each.this.parts) == 2 and not _is_target(each.this, scope)):
            raise InvalidQuery(f"UPDATE of the field {each.this.sql()} is not supported by local BigQuery")
        column = _column(source.columns, each.this.name)
        parts.append(f"{quoted(column.name)} = {_value(each.expression, column, scope, queries)}")
    return ", ".join(parts)


def _is_target(node: exp.Column, scope: Scope) -> bool:
    return node.parts[0].name.lower() == scope.relations[0].alias.lower()


def _update(node: exp.Update, queries: Queries) -> Mutation:
    only(node, "this", "expressions", "from_", "where")
    parts, source, target = _target(node.this, queries)
    where = node.args.get("where")
    if where is None:
        raise InvalidQuery("UPDATE must have a WHERE clause")
    scope = Scope(relations=[target])
    origin = ""
    if (from_ := node.args.get("from_")) is not None:
        around = Scope()
        select = exp.Select(from_=from_.copy())
        origin = " " + from_clause(queries, select, around)
        scope.relations += around.relations
        scope.merged = around.merged
    condition = queries.expressions.boolean(where.this, scope, "WHERE clause")
    assigned = _assignments(node.expressions, source, scope, queries)
    name = quoted(target.alias)
    check = ""
    if origin:
        check = (
            f"SELECT 1 {origin.strip()} CROSS JOIN {source.sql} AS {name} WHERE {condition}"
            f" GROUP BY {name}.rowid HAVING count(*) > 1 LIMIT 1"
        )
    return Mutation(
        "UPDATE", parts, f"UPDATE {source.sql} AS {name} SET {assigned}{origin} WHERE {condition}", check
    )


def _delete(node: exp.Delete, queries: Queries) -> Mutation:
    only(node, "this", "where")
    parts, source, target = _target(node.this, queries)
    where = node.args.get("where")
    if where is None:
        raise InvalidQuery("DELETE must have a WHERE clause")
    condition = queries.expressions.boolean(where.this, Scope(relations=[target]), "WHERE clause")
    return Mutation("DELETE", parts, f"DELETE FROM {source.sql} AS {quoted(target.alias)} WHERE {condition}")


def _truncate(node: exp.TruncateTable, queries: Queries) -> Mutation:
    only(node, "expressions")
    parts, source, _ = _target(node.expressions[0], queries)
    return Mutation("TRUNCATE_TABLE", parts, f"DELETE FROM {source.sql}")


def _merge(node: exp.Merge, queries: Queries) -> Mutation:
    only(node, "this", "using", "on", "whens")
    parts, source, target = _target(node.this, queries)
    around = Scope()
    using = from_clause(queries, exp.Select(from_=exp.From(this=node.args["using"].copy())), around)
    both = Scope(relations=[target, *around.relations])
    condition = queries.expressions.boolean(node.args["on"], both, "MERGE ON clause")
    whens = [_when(each, source, both, around, queries) for each in node.args["whens"].expressions]
    sql = (
        f"MERGE INTO {source.sql} AS {quoted(target.alias)} USING {using.removeprefix('FROM ')}"
        f" ON {condition} {' '.join(whens)}"
    )
    return Mutation("MERGE", parts, sql)


def _when(node: exp.When, source: Source, both: Scope, around: Scope, queries: Queries) -> str:
    only(node, "matched", "source", "condition", "then")
    is_by_source = bool(node.args.get("source"))
    word = "MATCHED" if node.args.get("matched") else f"NOT MATCHED{' BY SOURCE' if is_by_source else ''}"
    scope = both
    if word == "NOT MATCHED":
        scope = around
    elif is_by_source:
        scope = Scope(relations=both.relations[:1])
    condition = node.args.get("condition")
    test = (
        f" AND {queries.expressions.boolean(condition, scope, 'WHEN clause')}"
        if condition is not None
        else ""
    )
    then = node.args["then"]
    if isinstance(then, exp.Update):
        action = f"UPDATE SET {_assignments(then.expressions, source, scope, queries)}"
    elif isinstance(then, exp.Insert):
        action = _merged_insert(then, source, scope, queries)
    elif isinstance(then, exp.Var) and then.name.upper() == "DELETE":
        action = "DELETE"
    else:
        raise unsupported(then)
    return f"WHEN {word}{test} THEN {action}"


def _merged_insert(node: exp.Insert, source: Source, scope: Scope, queries: Queries) -> str:
    columns: Sequence[Column] = source.columns
    if node.this is not None and node.this.expressions:
        columns = [_column(source.columns, each.name) for each in node.this.expressions]
    if isinstance(node.expression, exp.Tuple):
        values = [
            _value(v, c, scope, queries) for v, c in zip(node.expression.expressions, columns, strict=True)
        ]
    elif node.expression is None or (
        isinstance(node.expression, exp.Var) and node.expression.name.upper() == "ROW"
    ):
        values = [scope.resolve([column.name]).to(column.type).sql for column in columns]
    else:
        raise unsupported(node)
    return f"INSERT ({', '.join(quoted(c.name) for c in columns)}) VALUES ({', '.join(values)})"


def _create(node: exp.Create, queries: Queries) -> Definition:
    only(node, "this", "kind", "replace", "exists", "expression", "properties")
    kind = str(node.args.get("kind")).upper()
    attributes = _attributes(node.args.get("properties"))
    replace, lenient = bool(node.args.get("replace")), bool(node.args.get("exists"))
    schema = node.this if isinstance(node.this, exp.Schema) else None
    parts = parts_of(schema.this if schema is not None else node.this)
    if kind == "SCHEMA":
        parts = tuple(part.name for part in node.this.parts if part.name)
        return Definition("CREATE_SCHEMA", parts, lenient=lenient, attributes=attributes)
    query = node.expression
    if kind == "VIEW" and schema is None and query is not None:
        columns = queries.query(query).columns
        view = query.sql(dialect="bigquery")
        return Definition(
            "CREATE_VIEW", parts, columns, view=view, replace=replace, lenient=lenient, attributes=attributes
        )
    if kind != "TABLE":
        raise InvalidQuery(f"CREATE {kind} is not supported by local BigQuery")
    columns = tuple(_definition(each) for each in schema.expressions) if schema is not None else ()
    if query is None:
        if not columns:
            raise InvalidQuery("CREATE TABLE needs a list of columns or AS SELECT")
        return Definition(
            "CREATE_TABLE", parts, columns, replace=replace, lenient=lenient, attributes=attributes
        )
    result = queries.query(query)
    if columns:
        if len(columns) != len(result.columns):
            raise InvalidQuery("The number of columns in the column definition list does not match the query")
        for have, want in zip(result.columns, columns, strict=True):
            _check(Expr("", have.type), want)
    return Definition(
        "CREATE_TABLE_AS_SELECT", parts, columns or result.columns, sql=result.sql, replace=replace,
        lenient=lenient, attributes=attributes,
    )  # fmt: skip


def _definition(node: exp.Expression) -> Column:
    if not isinstance(node, exp.ColumnDef):
        raise unsupported(node)
    required, described = False, ""
    for constraint in node.args.get("constraints") or []:
        if isinstance(constraint.kind, exp.NotNullColumnConstraint):
            required = True
        elif isinstance(constraint.kind, exp.Properties):
            for option in constraint.kind.expressions:
                described = _option(option).get("description", described)
        else:
            raise InvalidQuery(f"Column {node.name}: {constraint.sql(dialect='bigquery')} is not supported")
    kind = read_type(node.args["kind"])
    return Column(node.name, array_of(kind.element) if kind.element else kind, required, described)


def _attributes(properties: exp.Properties | None) -> dict[str, Any]:
    """PARTITION BY, CLUSTER BY and OPTIONS; they change no answer, and are kept with the table."""
    attributes: dict[str, Any] = {}
    for each in properties.expressions if properties is not None else []:
        if isinstance(each, exp.PartitionedByProperty):
            attributes["timePartitioning"] = _partitioning(each.this)
        elif isinstance(each, exp.ClusterProperty):
            attributes["clustering"] = {"fields": [column.name for column in each.expressions]}
        elif isinstance(each, exp.LocationProperty):
            attributes["location"] = each.this.name
        elif type(each) is exp.Property:
            attributes |= _option(each)
        else:
            raise unsupported(each)
    return attributes


def _partitioning(node: exp.Expression) -> dict[str, str]:
    """TimePartitioning of `PARTITION BY column`, of `DATE(column)` or of `..._TRUNC(column, part)`."""
    if isinstance(node, exp.Identifier):
        return {"type": "DAY", "field": node.name}
    if isinstance(node, exp.Anonymous) and node.expressions and isinstance(node.expressions[0], exp.Column):
        part = node.expressions[1].name.upper() if len(node.expressions) > 1 else "DAY"
        if part in ("HOUR", "DAY", "MONTH", "YEAR") and str(node.this).upper().endswith(("DATE", "_TRUNC")):
            return {"type": part, "field": node.expressions[0].name}
    raise InvalidQuery(f"PARTITION BY {node.sql(dialect='bigquery')} is not supported by local BigQuery")


def _option(node: exp.Property) -> dict[str, Any]:
    name = node.this.name.lower() if isinstance(node.this, exp.Expression) else str(node.this).lower()
    value = node.args["value"]
    if name not in _OPTIONS:
        raise InvalidQuery(f"OPTIONS({name}) is not supported by local BigQuery")
    if name == "labels" and isinstance(value, exp.Array):
        return {"labels": {pair.expressions[0].name: pair.expressions[1].name for pair in value.expressions}}
    if not isinstance(value, exp.Literal):
        raise unsupported(value)
    return {_OPTIONS[name]: value.name}


def _drop(node: exp.Drop, queries: Queries) -> Definition:
    only(node, "this", "tables", "kind", "exists", "cascade")
    named = node.args.get("tables") or [node.this]
    if len(named) != 1:
        raise unsupported(node)
    kind = str(node.args.get("kind")).upper()
    if kind not in ("TABLE", "VIEW", "SCHEMA"):
        raise InvalidQuery(f"DROP {kind} is not supported by local BigQuery")
    parts = parts_of(named[0]) if kind != "SCHEMA" else tuple(p.name for p in named[0].parts if p.name)
    return Definition(
        f"DROP_{kind}", parts, lenient=bool(node.args.get("exists")), cascade=bool(node.args.get("cascade"))
    )
