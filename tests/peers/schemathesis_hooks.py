"""How schemathesis sends rows and reads members, and which refusals of fitting requests are right."""

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi import checks
from schemathesis.transport.requests import REQUESTS_TRANSPORT

# A document says what requests look like, and not what is behind them. These codes are the only
# refusals of requests that fit it.
EXPLAINED = {
    # A text that is no SQL, or names what is not there.
    "ambiguous_column",
    "empty_criteria",
    "empty_sql",
    "invalid_sql",
    "more_than_one_statement",
    "named_segment_failed",
    "not_read_only",
    "segments_in_circle",
    "sql_syntax",
    "sql_too_complex",
    "unknown_column",
    "unknown_function",
    "unknown_segment_named",
    "unknown_table",
    # A token that looks right, and that the server never gave.
    "invalid_page_token",
    # Parameters that exclude or need each other.
    "invalid_search",
    "invalid_stream",
    "empty_time",
    # A condition is wanted, and the segment is a query.
    "not_a_condition",
    # A person with themselves.
    "same_person",
    # They are another one by now.
    "became_another",
    # Rows that no mapping of the provider takes.
    "cannot_ingest",
    "missing_source",
    "unreadable_file",
    # A key that was given with other rows before.
    "idempotency_key_reused",
}


@REQUESTS_TRANSPORT.serializer("application/x-ndjson")
def ndjson(_context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.deserializer("application/vnd.apache.arrow.stream", "application/vnd.apache.parquet")
def as_bytes(_context, response):
    return response.content.decode("latin-1")


@schemathesis.check
def fitting_requests_are_taken(context, response, case):
    """As `positive_data_acceptance`, without what is explained above."""
    try:
        return checks.positive_data_acceptance(context, response, case)
    except RejectedPositiveData:
        if response.json().get("code") in EXPLAINED:
            return None
        raise
