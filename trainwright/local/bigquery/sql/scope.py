"""What a query's parts are while they are translated: typed expressions, relations, names in scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.types import Column, Type, coerces, quoted

_LITERAL_TARGETS = {"DATE", "DATETIME", "TIME", "TIMESTAMP"}


@dataclass(frozen=True)
class Expr:
    """A translated expression.

    Args:
        sql: DuckDB SQL, safe to stand as an operand.
        type: None for a bare NULL.
        literal: Whether it is a literal or parameter, which coerces to more types.
    """

    sql: str
    type: Type | None
    literal: bool = False

    def fits(self, target: Type) -> bool:
        """Whether it is taken for `target` without a cast."""
        if self.type is None or coerces(self.type, target):
            return True
        return self.literal and self.type.kind == "STRING" and target.kind in _LITERAL_TARGETS

    def to(self, target: Type) -> "Expr":
        """Itself as `target`, which it fits."""
        if self.type == target:
            return self
        return Expr(f"CAST({self.sql} AS {target.duckdb})", target)


@dataclass(frozen=True)
class Relation:
    """What a FROM item gives: columns under an alias.

    Args:
        alias: Its name; "" for a join, which has none.
        columns: In order.
        hidden: Columns that `*` leaves out (`_TABLE_SUFFIX`, an UNNEST's value of structs).
        value: The column that the alias itself stands for (UNNEST), or None.
    """

    alias: str
    columns: tuple[Column, ...]
    hidden: tuple[Column, ...] = ()
    value: str | None = None

    def find(self, name: str) -> Column | None:
        """The column of that name, whatever its case."""
        return next((c for c in (*self.columns, *self.hidden) if c.name.lower() == name.lower()), None)

    def sql(self, column: Column) -> str:
        """The column as DuckDB knows it."""
        return f"{quoted(self.alias)}.{quoted(column.name)}"


@dataclass
class Scope:
    """The names that an expression may use.

    Args:
        relations: Of the FROM clause.
        outer: The scope of the query around a subquery.
        aliases: Of the select list, where they are visible; lower case.
        merged: Columns of USING, by lower-case name.
        windows: Named windows.
    """

    relations: list[Relation] = field(default_factory=list)
    outer: "Scope | None" = None
    aliases: Mapping[str, Expr] = field(default_factory=dict)
    merged: dict[str, Expr] = field(default_factory=dict)
    windows: Mapping[str, exp.Window] = field(default_factory=dict)

    def resolve(self, parts: Sequence[str]) -> Expr:
        """The expression that a path such as `t.address.city` names.

        Raises:
            InvalidQuery: No or more than one column has the name.
        """
        found = self._find(parts)
        if found is None:
            raise InvalidQuery(f"Unrecognized name: {'.'.join(parts)}")
        return found

    def _find(self, parts: Sequence[str]) -> Expr | None:
        first = parts[0].lower()
        if first in self.aliases:
            return fields_of(self.aliases[first], parts[1:])
        if first in self.merged:
            return fields_of(self.merged[first], parts[1:])
        owners = [(r, c) for r in self.relations if (c := r.find(parts[0])) is not None]
        named = [r for r in self.relations if r.alias.lower() == first]
        if named and len(parts) > 1:
            return self._qualified(named[0], parts)
        if len(owners) > 1:
            raise InvalidQuery(f"Column name {parts[0]} is ambiguous")
        if owners:
            relation, column = owners[0]
            return fields_of(Expr(relation.sql(column), column.type), parts[1:])
        if named:
            return _whole(named[0])
        return self.outer._find(parts) if self.outer is not None else None

    @staticmethod
    def _qualified(relation: Relation, parts: Sequence[str]) -> Expr:
        if relation.value is not None:
            column = relation.find(relation.value)
            assert column is not None
            if column.name.lower() != parts[1].lower() or column.type.kind == "STRUCT":
                return fields_of(Expr(relation.sql(column), column.type), parts[1:])
        found = relation.find(parts[1])
        if found is None:
            raise InvalidQuery(f"Name {parts[1]} not found inside {parts[0]}")
        return fields_of(Expr(relation.sql(found), found.type), parts[2:])


def _whole(relation: Relation) -> Expr:
    """A relation's alias used as a value."""
    if relation.value is not None:
        column = relation.find(relation.value)
        assert column is not None
        return Expr(relation.sql(column), column.type)
    items = ", ".join(f"{quoted(c.name)} := {relation.sql(c)}" for c in relation.columns)
    return Expr(f"struct_pack({items})", Type("STRUCT", fields=relation.columns))


def fields_of(base: Expr, names: Sequence[str]) -> Expr:
    """A field of a field ... of a struct.

    Raises:
        InvalidQuery: There is no such field.
    """
    for name in names:
        if base.type is None or base.type.kind != "STRUCT":
            raise InvalidQuery(f"Cannot access field {name} on a value with type {base.type}")
        found = next((f for f in base.type.fields if f.name.lower() == name.lower()), None)
        if found is None:
            raise InvalidQuery(f"Field name {name} does not exist in {base.type}")
        base = Expr(f"struct_extract({base.sql}, {text(found.name)})", found.type)
    return base


def text(value: str) -> str:
    """A string literal of DuckDB.

    Raises:
        InvalidQuery: It holds NUL, which DuckDB's SQL cannot.
    """
    if "\0" in value:
        raise InvalidQuery("A string literal with NUL is not supported by local BigQuery")
    return "'" + value.replace("'", "''") + "'"


def supertype(kinds: Sequence[Expr], what: str) -> Type | None:
    """The one type that several expressions have in common; None when all are NULL.

    Raises:
        InvalidQuery: They have none.
    """
    typed = [each for each in kinds if each.type is not None]
    for candidate in sorted(typed, key=lambda each: each.literal):
        assert candidate.type is not None
        if all(each.fits(candidate.type) for each in typed):
            return candidate.type
    if not typed:
        return None
    listed = ", ".join(str(each.type) for each in kinds)
    raise InvalidQuery(f"No matching signature for {what} for argument types: {listed}")


def only(node: exp.Expression, *known: str) -> None:
    """Refuses a node that carries more than the translation looks at.

    Raises:
        InvalidQuery: It does; names the part.
    """
    for name, value in node.args.items():
        if name not in known and value not in (None, False, [], ""):
            part = value.sql(dialect="bigquery") if isinstance(value, exp.Expression) else str(value)
            where = type(node).__name__.upper()
            raise InvalidQuery(
                f"{where} with {name.strip('_')} ({part[:80]}) is not supported by local BigQuery"
            )


def unsupported(node: exp.Expression) -> InvalidQuery:
    """The refusal of a construct that nobody translated."""
    try:
        words = node.sql(dialect="bigquery")
    except Exception:  # sqlglot cannot always write what it has read
        words = type(node).__name__
    return InvalidQuery(f"{type(node).__name__} is not supported by local BigQuery: {words[:120]}")
