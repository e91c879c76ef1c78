"""Numbered migrations, executed by path, never imported: each is a frozen copy of its time."""
