"""Snapshot, verify, restore: empty until the appliance is built.

Owns nothing yet.
"""
