"""Configuration: one frozen model per TOML section; load, check, show.

Owns every key of production.toml. Must never import another Caxton package.
"""
