"""`caxton serve`.

Owns its options. Must never know which processes a node has.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from caxton.cli.state import State, output_options, pass_state


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="The node's TOML file.")
@output_options
@pass_state
def serve(state: State, file: Path | None = None) -> None:
    """Run a node in the foreground, without root and without systemd.

    Without a configuration: on 127.0.0.1:8080, no authentication, data below ./.caxton. SIGHUP reads the
    configuration again; SIGTERM and Ctrl-C end the node in order.
    """
    from caxton.serve import run

    run(file or state.config_file, os.environ)
