"""What the router's socket answers: one module per kind of thing, and the table of them all.

Owns the way from a request's arguments to one call and a view. Must never hold state.
"""
