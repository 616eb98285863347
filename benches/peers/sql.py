"""Segments as SQL, for engines that read Parquet: the same queries in two dialects."""

import dataclasses
import datetime
from collections.abc import Callable

from criteria import Clause, Question, Segment, questions

TIME = {"activities": "occurred_at", "orders": "placed_at"}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """Where the engines differ."""

    time: Callable[[datetime.datetime], str]
    # What a greatest time is where there is none: a time that is tested for, or else null.
    never: str | None = None


DUCKDB = Dialect(lambda at: f"timestamptz '{at:%Y-%m-%d %H:%M:%S}+00'")
CLICKHOUSE = Dialect(
    lambda at: f"toDateTime64('{at:%Y-%m-%d %H:%M:%S}', 6, 'UTC')", "toDateTime64(0, 6, 'UTC')"
)


def joined(one: Segment, dialect: Dialect) -> str:
    """One segment: its aggregates by person, over the rows that any of them counts."""
    return aggregated([one], dialect, is_filtered=True)


def fused(among: list[Segment], dialect: Dialect) -> str:
    """All segments in one query: each question asked once, two columns for each segment."""
    return aggregated(among, dialect, is_filtered=False)


def aggregated(among: list[Segment], dialect: Dialect, is_filtered: bool) -> str:
    names = {asked: f"c{number}" for number, asked in enumerate(questions(among))}
    joins = ""
    for table in TIME:
        own = [asked for asked in names if asked.table == table]
        if not own:
            continue
        columns = ", ".join(f"{aggregate(asked, dialect)} as {names[asked]}" for asked in own)
        rows = "person_id <> 0"
        if is_filtered:
            rows += f" and ({' or '.join(f'({counted(asked, dialect)})' for asked in own)})"
        joins += (
            f" left join (select person_id, {columns} from {table} where {rows}"
            f" group by person_id) as of_{table} using (person_id)"
        )
    tests = [
        f" {one.word} ".join(f"({bound(clause, names, dialect)})" for clause in one.clauses)
        for one in among
    ]
    members = ", ".join(f"countIf({test}), sum(if({test}, person_id, 0))" for test in tests)
    return f"select {members} from persons{joins} where person_id <> 0"


def semijoined(one: Segment, dialect: Dialect) -> str:
    """One segment: a list of persons for each clause, over the rows that it counts."""
    tests = f" {one.word} ".join(f"({listed(clause, dialect)})" for clause in one.clauses)
    members = "count(*), coalesce(sum(person_id), 0)"
    return f"select {members} from persons where person_id <> 0 and ({tests})"


def listed(clause: Clause, dialect: Dialect) -> str:
    asked = clause.question
    if asked is None:
        return bound(clause, {}, dialect)
    if asked.what == "count":
        test = f"count(*) >= {clause.at_least}"
    else:
        test = f"max({TIME[asked.table]}) < {dialect.time(clause.before())}"
    persons = (
        f"select person_id from {asked.table} where {counted(asked, dialect)}"
        f" group by person_id having {test}"
    )
    return f"person_id {'not ' if clause.is_negated else ''}in ({persons})"


def counted(asked: Question, dialect: Dialect) -> str:
    """Which rows of its table a question is about."""
    tests = [f"type = '{asked.kind}'"] if asked.kind else []
    if asked.what == "count":
        tests.append(f"{TIME[asked.table]} > {dialect.time(asked.since())}")
    return " and ".join(tests)


def aggregate(asked: Question, dialect: Dialect) -> str:
    if asked.what == "count":
        return f"countIf({counted(asked, dialect)})"
    return f"max({TIME[asked.table]}) filter (where {counted(asked, dialect)})"


def bound(clause: Clause, names: dict[Question, str], dialect: Dialect) -> str:
    """A clause as a test of the aggregates, called as `names` says."""
    if clause.question is None:
        return f"country in ({', '.join(repr(one) for one in clause.countries)})"
    name = names[clause.question]
    if clause.question.what == "last":
        test = f"{name} < {dialect.time(clause.before())}"
        return test if dialect.never is None else f"{name} > {dialect.never} and {test}"
    word = "<" if clause.is_negated else ">="
    return f"coalesce({name}, 0) {word} {clause.at_least}"
