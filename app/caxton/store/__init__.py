"""SQLite behind one interface: models, migrations, the single writer, readers.

Owns every line of SQL. Must never know why a row changes: the router decides. What is exported here is the
whole interface; nothing else of this package is imported from outside.
"""

from caxton.store.changes import Changes, CommitResult
from caxton.store.rows import (
    Accept,
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    JobRow,
    KeyRow,
    Known,
    LogRow,
    MessageRow,
    Mismatch,
    Retention,
    Settle,
    Sizes,
    Slice,
    Swept,
    TimerRow,
)

__all__ = [
    "Accept",
    "AgentRow",
    "ApiKeyRow",
    "Changes",
    "CommitResult",
    "ExecutionRow",
    "FailedAttempt",
    "JobRow",
    "KeyRow",
    "Known",
    "LogRow",
    "MessageRow",
    "Mismatch",
    "Retention",
    "Settle",
    "Sizes",
    "Slice",
    "Swept",
    "TimerRow",
]
