"""Faults at random, but drawn from a seed, against a cluster under load; and whether it lived through them."""
