"""Polars asked for segments: `python -m peers.polars_segments`, spoken to as `answering` says.

All is lazy and goes through the streaming engine, which took a third of the other's time.
"""

import functools
import operator

import polars

from criteria import Clause, Question, Segment, questions
from peers.answering import Form, answer, paired

TIME = {"activities": "occurred_at", "orders": "placed_at"}
WORD = {"and": operator.and_, "or": operator.or_}


def open_files(files: dict[str, list[str]]) -> dict[str, Form]:
    tables = {
        table: polars.scan_parquet(paths).filter(polars.col("person_id") != 0)
        for table, paths in files.items()
    }

    def found(among: list[Segment], is_filtered: bool) -> list:
        query = aggregated(tables, among, is_filtered)
        return paired(query.collect(engine="streaming").row(0))

    return {
        "joined": lambda among: [found([one], is_filtered=True)[0] for one in among],
        "fused": lambda among: found(among, is_filtered=False),
    }


def aggregated(tables: dict, among: list[Segment], is_filtered: bool) -> polars.LazyFrame:
    """The aggregates of the segments by person, joined with the persons; two columns for each."""
    names = {asked: f"c{number}" for number, asked in enumerate(questions(among))}
    persons = tables["persons"]
    for table in TIME:
        own = [asked for asked in names if asked.table == table]
        if not own:
            continue
        rows = tables[table]
        if is_filtered:
            rows = rows.filter(functools.reduce(operator.or_, map(counted, own)))
        columns = {names[asked]: aggregate(asked) for asked in own}
        by_person = rows.group_by("person_id").agg(**columns)
        persons = persons.join(by_person, on="person_id", how="left")
    members = []
    for number, one in enumerate(among):
        test = functools.reduce(WORD[one.word], (bound(clause, names) for clause in one.clauses))
        ids = polars.col("person_id").filter(test)
        members += [ids.len().alias(f"n{number}"), ids.sum().alias(f"p{number}")]
    return persons.select(members)


def counted(asked: Question) -> polars.Expr:
    """Which rows of its table a question is about."""
    tests = [polars.col("type") == asked.kind] if asked.kind else []
    if asked.what == "count":
        tests.append(polars.col(TIME[asked.table]) > asked.since())
    return functools.reduce(operator.and_, tests)


def aggregate(asked: Question) -> polars.Expr:
    if asked.what == "count":
        return counted(asked).sum()
    return polars.col(TIME[asked.table]).filter(counted(asked)).max()


def bound(clause: Clause, names: dict[Question, str]) -> polars.Expr:
    """A clause as a test of the aggregates, called as `names` says."""
    if clause.question is None:
        return polars.col("country").is_in(list(clause.countries))
    aggregated = polars.col(names[clause.question])
    if clause.question.what == "last":
        return aggregated < clause.before()
    test = aggregated.fill_null(0) >= clause.at_least
    return ~test if clause.is_negated else test


if __name__ == "__main__":
    answer(open_files)
