"""Members, peers, placement: empty until the cluster is built.

Owns nothing yet. Must never be imported by a single node.
"""
