"""Reads statements to prepare with and queries as JSON, and prints what DuckDB answers to each.

An answer is the rows, each a list of texts or nulls; or the text of the error.
"""

import json
import sys

import duckdb



def text(value):
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


asked = json.load(sys.stdin)
connection = duckdb.connect()
connection.execute("set timezone = 'UTC'")
for statement in asked["prepare"]:
    connection.execute(statement)
answers = []
for query in asked["queries"]:
    try:
        rows = connection.execute(query).fetchall()
        answers.append([[text(value) for value in row] for row in rows])
    except duckdb.Error as error:
        answers.append(str(error).splitlines()[0])
json.dump(answers, sys.stdout)
