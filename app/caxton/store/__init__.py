"""SQLite behind one interface: models, migrations, the single writer, readers.

Owns every line of SQL. Must never know why a row changes: the router decides. What is exported here is the
whole interface; nothing else of this package is imported from outside.
"""

from caxton.store.changes import Changes, CommitResult
from caxton.store.durable import sync_directory
from caxton.store.extent import Extent
from caxton.store.health import disk_free, integrity_check, sqlite_version
from caxton.store.namespaces import NamespaceRow
from caxton.store.reader import Reader
from caxton.store.rows import (
    Accept,
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    Held,
    HttpCallRow,
    JobRow,
    KeyRow,
    Known,
    LogRow,
    MessageRow,
    Mismatch,
    Retention,
    RevokedTokenRow,
    ScheduleMark,
    Settle,
    Sizes,
    Slice,
    Swept,
    TimerRow,
)
from caxton.store.schema import COMPAT_VERSION, SCHEMA_VERSION, SchemaStatus, db_status, db_upgrade, schema_problem
from caxton.store.secret_rows import SecretRow
from caxton.store.snapshot import Archive, copy_bytes, copy_database, fold_log, modules_needed
from caxton.store.snapshot_rows import SnapshotFold, SnapshotInfo, SnapshotPart, SnapshotRow
from caxton.store.store import Store
from caxton.store.talk_rows import BidRow, CapabilityRow, ChoiceRow, ConversationRow, ProviderRow, TaskRow
from caxton.store.transitions import TransitionRow
from caxton.store.version_rows import RolloutRow, VersionRow
from caxton.store.writer import Writer

__all__ = [
    "COMPAT_VERSION",
    "SCHEMA_VERSION",
    "Accept",
    "AgentRow",
    "ApiKeyRow",
    "Archive",
    "BidRow",
    "CapabilityRow",
    "Changes",
    "ChoiceRow",
    "CommitResult",
    "ConversationRow",
    "ExecutionRow",
    "Extent",
    "FailedAttempt",
    "Held",
    "HttpCallRow",
    "JobRow",
    "KeyRow",
    "Known",
    "LogRow",
    "MessageRow",
    "Mismatch",
    "NamespaceRow",
    "ProviderRow",
    "Reader",
    "Retention",
    "RevokedTokenRow",
    "RolloutRow",
    "ScheduleMark",
    "SchemaStatus",
    "SecretRow",
    "Settle",
    "Sizes",
    "Slice",
    "SnapshotFold",
    "SnapshotInfo",
    "SnapshotPart",
    "SnapshotRow",
    "Store",
    "Swept",
    "TaskRow",
    "TimerRow",
    "TransitionRow",
    "VersionRow",
    "Writer",
    "copy_bytes",
    "copy_database",
    "db_status",
    "db_upgrade",
    "disk_free",
    "fold_log",
    "integrity_check",
    "modules_needed",
    "schema_problem",
    "sqlite_version",
    "sync_directory",
]
