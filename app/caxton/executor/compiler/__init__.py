"""Compiles untrusted modules in a jailed, short-lived child.

Owns the queue of compilations, the child's limits, and what each way of failing means. The supervisor's
side must never import wasmtime or read a module: only the child does.
"""
