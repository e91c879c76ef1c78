"""One worker process: an epoll loop and a run queue of guests on fibers, all on one thread.

Owns executions from `Execute` to `Result`. Must never open a network connection, a database, or a thread
that runs guest code.
"""
