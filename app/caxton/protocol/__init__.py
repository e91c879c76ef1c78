"""What crosses a process or node border: error codes, typed models, frames.

Owns the shapes that API, router and executor agree on. Must never import another Caxton package, do
I/O, or know who is on the other end.
"""
