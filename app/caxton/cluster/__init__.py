"""The cluster: who is a member, how nodes talk, what is deployed where. One folder per part.

Owns what is decided between nodes. Must never be needed by a node that is alone, nor read the database: what is to be
kept goes through the router.
"""
