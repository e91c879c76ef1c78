"""Traces as the router sees them: which spans a message has, and the process that takes them to a collector.

Owns both. Must never hold up a message.
"""
