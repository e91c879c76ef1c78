"""The one writer: mailboxes, scheduler, registry, deployments, timers, supervision.

Owns every message of the node from acceptance to its end. Must never parse HTTP or run wasm.
"""
