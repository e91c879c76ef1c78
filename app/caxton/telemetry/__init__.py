"""Logs and metrics of a process.

Owns formats and names of what is told to the outside. Must never decide anything.
"""
