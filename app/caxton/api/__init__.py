"""The HTTP border: Flask blueprints, authentication, problem+json, OpenAPI.

Owns parse, authorise, one call, serialise. Must never import peewee, sqlite3 or wasmtime, or keep state.
"""
