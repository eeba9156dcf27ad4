"""GoogleSQL to DuckDB's SQL.

sqlglot reads the query; every node of its tree is then resolved and typed here, and written as DuckDB SQL.
What is not listed here, or has no match for its argument types, is refused with its name: nothing is handed
on in the hope that DuckDB means the same.
"""
