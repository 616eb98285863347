"""Segments of two to four clauses on what persons did, from a seeded generator.

A clause is kept as data, so that every side of a comparison can say it in its own words. Nothing
but the standard library is used here: scripts that measure others have to stay small.
"""

import dataclasses
import datetime
import random

AS_OF = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
KINDS = [
    "page_viewed",
    "form_submitted",
    "email_sent",
    "email_opened",
    "email_clicked",
    "pricing_viewed",
    "signed_up",
    "cart_abandoned",
]
DAYS = [7, 14, 30, 60, 90, 180, 365]
COUNTRIES = ["DE", "US", "FR", "GB", "IT", "ES", "NL"]


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked of a person's facts: how many in the last days, or when the last one was."""

    table: str
    what: str  # count or last
    kind: str | None = None  # of activities
    days: int | None = None  # of a count

    def since(self) -> datetime.datetime:
        return AS_OF - datetime.timedelta(days=self.days)


@dataclasses.dataclass(frozen=True)
class Clause:
    """A bound on the answer to a question, or countries to be of."""

    question: Question | None = None
    at_least: int | None = None  # of a count
    is_negated: bool = False
    before_days: int | None = None  # of a last time
    countries: tuple[str, ...] = ()

    def before(self) -> datetime.datetime:
        return AS_OF - datetime.timedelta(days=self.before_days)

    def rollbook(self) -> str:
        if self.countries:
            return f"country in ({', '.join(repr(one) for one in self.countries)})"
        asked = self.question
        if asked.what == "last":
            return f"last_time('{asked.kind}') < now() - interval '{self.before_days} days'"
        bounds = f"at_least => {self.at_least}, within => interval '{asked.days} days'"
        if asked.table == "orders":
            return f"ordered({bounds})"
        return f"{'not ' if self.is_negated else ''}did('{asked.kind}', {bounds})"


@dataclasses.dataclass(frozen=True)
class Segment:
    """Clauses with `and` between all of them, or `or`."""

    clauses: tuple[Clause, ...]
    word: str

    def rollbook(self) -> str:
        return f" {self.word} ".join(clause.rollbook() for clause in self.clauses)

    def questions(self) -> list[Question]:
        return [clause.question for clause in self.clauses if clause.question]


def segments(dice: random.Random, number: int) -> list[Segment]:
    return [segment(dice) for _ in range(number)]


def segment(dice: random.Random) -> Segment:
    clauses = tuple(clause(dice) for _ in range(dice.randint(2, 4)))
    return Segment(clauses, dice.choice(["and", "and", "or"]))


def clause(dice: random.Random) -> Clause:
    days, kind = dice.choice(DAYS), dice.choice(KINDS)
    if dice.random() < 0.2:
        return Clause(Question("orders", "count", None, days), at_least=dice.randint(1, 3))
    if dice.random() < 0.15:
        return Clause(countries=tuple(dice.sample(COUNTRIES, 3)))
    if dice.random() < 0.15:
        return Clause(Question("activities", "last", kind), before_days=days)
    at_least = dice.randint(1, 4)
    is_negated = dice.random() < 0.3
    return Clause(Question("activities", "count", kind, days), at_least, is_negated)


def questions(among: list[Segment]) -> list[Question]:
    """All that is asked, each once, in a fixed order."""
    return list(dict.fromkeys(asked for one in among for asked in one.questions()))


def as_data(among: list[Segment]) -> list[dict]:
    """As it goes to a process of its own."""
    return [dataclasses.asdict(one) for one in among]


def of_data(data: list[dict]) -> list[Segment]:
    return [Segment(tuple(clause_of(one) for one in each["clauses"]), each["word"]) for each in data]


def clause_of(data: dict) -> Clause:
    question = data["question"] and Question(**data["question"])
    return Clause(**{**data, "question": question, "countries": tuple(data["countries"])})
