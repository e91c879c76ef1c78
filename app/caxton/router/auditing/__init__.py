"""What the router records in the audit: which operations, how they are described, and when that is on disk.

Owns the only writer while the node runs. Must never touch the path of a message: those operations are not wrapped.
"""
