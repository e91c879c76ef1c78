"""`caxton config check|show`.

Owns how a configuration is shown. Must never show a secret: `caxton.config.show` masks them.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from caxton import config as configuration
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state

FILE = click.option("--file", "file", type=click.Path(path_type=Path), help="The TOML file (default: as for serve).")


@click.group()
def config() -> None:
    """Check or show the configuration of a node."""


@config.command()
@FILE
@output_options
@pass_state
def check(state: State, file: Path | None) -> None:
    """Say everything that is wrong with a configuration; exit 0 when it holds."""
    from caxton.provenance import Trust

    loaded = configuration.load(file or state.config_file, os.environ)
    if loaded.config.networking.tls_enabled and not configuration.unreadable(loaded.config.networking):
        configuration.server_context(loaded.config.networking)
    Trust.load(loaded.config.security.trusted_keys)
    if state.as_json:
        emit_json({"file": str(loaded.file) if loaded.file else None, "valid": True, "warnings": loaded.warnings})
        return
    for warning in loaded.warnings:
        note(state, f"warning: {warning}")
    note(state, f"{loaded.file or 'built-in configuration'}: good")


@config.command()
@FILE
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@output_options
@pass_state
def show(state: State, file: Path | None, origin: bool) -> None:
    """Print every effective value; secrets are masked."""
    loaded = configuration.load(file or state.config_file, os.environ)
    columns = {"KEY": "key", "VALUE": "value"}
    if origin:
        columns |= {"ORIGIN": "origin", "RELOAD": "reloadable"}
    rows = [asdict(row) for row in configuration.show(loaded)]
    if not origin:
        rows = [{"key": row["key"], "value": row["value"]} for row in rows]
    emit_rows(state, rows, columns)
    if not state.as_json:
        for warning in loaded.warnings:
            note(state, f"warning: {warning}")
