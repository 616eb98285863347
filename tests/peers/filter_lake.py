"""Filters every column of every table of a tenant's folder with other readers, and counts by hand.

python filter_lake.py LAKE/TENANT [BOUNDS]: one JSON object, for each table its rows, files and seconds to open,
and for each reader the filters that it was asked and those whose count is not that of the rows as
they are without a filter. Columns are filtered by equality, by ranges, and by whether they are null.
"""

import datetime
import decimal
import json
import math
import pathlib
import sys
import time

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset  # noqa: F401
from deltalake import DeltaTable, QueryBuilder

from ending import end

BOUNDS = int(sys.argv[2]) if sys.argv[2:] else 3
BY_HAND = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    ">=": lambda value, bound: value >= bound,
}


def literal(value) -> str:
    """A value as SQL of DuckDB, DataFusion and Polars alike."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return f"cast('{value.isoformat()}' as timestamp with time zone)"
    if isinstance(value, datetime.date):
        return f"cast('{value.isoformat()}' as date)"
    if isinstance(value, decimal.Decimal):
        return f"cast('{value}' as decimal(19, 4))"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def bounds(values: list) -> list:
    """The middle one of the values of a column, then the least and the greatest."""
    known = sorted({v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))})
    return list(dict.fromkeys([known[len(known) // 2], known[0], known[-1]]))[:BOUNDS] if known else []


def questions(table: pa.Table):
    """Of each filter its column, operator, bound, and the rows that it leaves, counted by hand."""
    for column in table.column_names:
        values = table.column(column).to_pylist()
        nulls = sum(value is None for value in values)
        yield column, "is null", None, nulls
        if BOUNDS > 1:
            yield column, "is not null", None, len(values) - nulls
        if pa.types.is_list(table.schema.field(column).type):
            continue
        for bound in bounds(values):
            for operator, holds in BY_HAND.items():
                if operator == "=" or not isinstance(bound, bool) and (operator == ">=" or BOUNDS > 1):
                    yield column, operator, bound, sum(v is not None and holds(v, bound) for v in values)


def as_expression(column, operator, bound):
    field = pc.field(column)
    if bound is None:
        return field.is_null() if operator == "is null" else field.is_valid()
    return {"=": field == bound, "<": field < bound, ">=": field >= bound}[operator]


def as_polars(column, operator, bound):
    field = pl.col(column)
    if bound is None:
        return field.is_null() if operator == "is null" else field.is_not_null()
    return {"=": field == pl.lit(bound), "<": field < pl.lit(bound), ">=": field >= pl.lit(bound)}[operator]


def as_sql(column, operator, bound) -> str:
    return f'"{column}" {operator}' + ("" if bound is None else f" {literal(bound)}")


def readers(folder: str):
    """Each reader's name, and how it counts the rows that a filter leaves."""
    table = DeltaTable(folder)
    dataset = table.to_pyarrow_dataset()
    engine = QueryBuilder().register("rows_of", table)
    duck = duckdb.connect()
    duck.register("rows_of", dataset)
    lazy = pl.scan_delta(folder)

    def tuples(column, operator, bound):
        if bound is None:
            return table.to_pyarrow_table(filters=as_expression(column, operator, bound)).num_rows
        return table.to_pyarrow_table(filters=[(column, operator, bound)]).num_rows

    def own_engine(*question):
        rows = engine.execute(f"select count(*) as n from rows_of where {as_sql(*question)}").read_all()
        return pa.table(rows).column("n").to_pylist()[0]

    def over_dataset(*question):
        return duck.sql(f"select count(*) from rows_of where {as_sql(*question)}").fetchall()[0][0]

    found = {
        "deltalake to_pyarrow_table": tuples,
        "deltalake dataset": lambda *q: dataset.to_table(filter=as_expression(*q)).num_rows,
        "deltalake QueryBuilder": own_engine,
        "DuckDB over the dataset": over_dataset,
        "Polars scan_delta": lambda *q: lazy.filter(as_polars(*q)).collect().height,
    }
    try:
        duck.sql(f"load '{extension()}'")
        found["DuckDB delta_scan"] = lambda *q: duck.sql(
            f"select count(*) from delta_scan('{folder}') where {as_sql(*q)}"
        ).fetchall()[0][0]
    except (duckdb.Error, ImportError):
        pass  # Its extension is not of this version, or not there.
    return found


def extension() -> str:
    """DuckDB's reader of Delta, as the package `duckdb-extension-delta` brings it."""
    import duckdb_extension_delta

    place = pathlib.Path(duckdb_extension_delta.__file__).parent
    return str(place / "extensions" / f"v{duckdb.__version__}" / "delta.duckdb_extension")


def look(folder: pathlib.Path) -> dict:
    begun = time.perf_counter()
    table = DeltaTable(str(folder))
    files = table.file_uris()
    seconds = time.perf_counter() - begun
    rows = table.to_pyarrow_table()
    asked, wrong = {}, []
    counting = readers(str(folder))
    for column, operator, bound, expected in questions(rows):
        for reader, count in counting.items():
            asked[reader] = asked.get(reader, 0) + 1
            try:
                found = count(column, operator, bound)
            except Exception as error:  # noqa: BLE001
                found = f"{type(error).__name__}: {error}"
            if found != expected:
                wrong.append([reader, as_sql(column, operator, bound), expected, found])
    return {
        "rows": rows.num_rows,
        "files": len(files),
        "columns": rows.column_names,
        "version": table.version(),
        "seconds": round(seconds, 3),
        "asked": asked,
        "wrong": wrong,
    }


found = {}
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    if (folder / "_delta_log").is_dir():
        found[folder.name] = look(folder)
print(json.dumps(found, default=str))
end()
