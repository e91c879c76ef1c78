"""The HTTP API: one module per resource, served by gunicorn with gevent workers.

Owns HTTP: parsing, authentication, problem bodies. Must never run wasm, read the database or keep state.
"""
