"""Snapshots of agents: an agent's memory as part of its transactions.

Owns what is kept of a memory and when. Must never know wasm: it moves blocks and globals as bytes.
"""
