"""Versions of agents: what is kept, how one takes another's place, and rollouts that prove themselves.

Owns which version serves. Must never touch a message: all versions of an agent share its mailbox.
"""
