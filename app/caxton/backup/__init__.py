"""Snapshot, verify, restore: empty until the appliance is built.

Owns nothing yet. Must never be imported by anything before that.
"""
