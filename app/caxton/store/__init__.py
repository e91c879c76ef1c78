"""SQLite behind one interface: models, migrations, the single writer, readers.

Owns every line of SQL. Must never know why a row changes: the router decides.
"""
