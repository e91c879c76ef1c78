"""Starts, watches and replaces workers; answers the router; runs the compiler.

Owns the executor's process tree. Must never run guest code, and never import wasmtime.
"""
