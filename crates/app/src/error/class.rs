//! Classes of errors, from which callers derive exit statuses and HTTP statuses.

/// Class of an error: whether the request, the lake or the program is at fault, and whether trying again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request cannot be parsed.
    Malformed,
    /// The request names something that does not exist.
    Missing,
    /// The request names something that existed and was removed.
    Gone,
    /// The request conflicts with the state of the lake.
    Conflict,
    /// The request can be parsed, but not executed.
    Unprocessable,
    /// The caller has no valid API key.
    Unauthenticated,
    /// The caller lacks a right.
    Forbidden,
    /// The request exceeds a limit of memory, disk or time.
    Excessive,
    /// Too busy now: the same request may succeed later.
    Busy,
    /// Storage is full or read-only.
    Storage,
    /// A fault of the program or of the lake, not of the request.
    Internal,
}
