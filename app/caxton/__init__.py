"""Caxton: an appliance that runs untrusted WebAssembly agents behind durable mailboxes.

Owns nothing but its version. Must never import a subpackage: each process imports only its own rooms.
"""

__version__ = "0.3.0"
