"""Runs WebAssembly: a supervisor, its workers and its jailed compiler.

Owns the only imports of wasmtime. Must never open a network connection or a database.
"""
