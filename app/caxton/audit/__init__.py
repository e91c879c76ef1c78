"""The audit: an append-only, hash-chained record of who did what, from where, with which outcome.

Owns `<data directory>/audit`: the records' bytes, their chain, its check, its export and what retention takes away.
Files and not the database, because a restore of the database must not take back what was recorded. Must never hold
a secret or the content of a message, nor know what an operation does.
"""

from caxton.audit.files import directory_of
from caxton.audit.log import Log
from caxton.audit.offline import recorded
from caxton.audit.record import Draft
from caxton.audit.verify import Report, verify

__all__ = ["Draft", "Log", "Report", "directory_of", "recorded", "verify"]
