"""`caxton`: the options that every verb shares, and the exit codes.

Owns the list of verbs. Must never do a verb's work.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final

import click

from caxton import __version__
from caxton.cli.failures import EXIT_FAILED, exit_code_of, explain, printable
from caxton.cli.lazy import LazyGroup
from caxton.cli.state import State, output_options
from caxton.protocol.errors import CaxtonError

VERBS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("caxton.cli.serve_verb:serve", "Run a node in the foreground"),
    "config": ("caxton.cli.config_verbs:config", "Check or show the configuration"),
    "agent": ("caxton.cli.agent_verbs:agent", "Deploy and use agents"),
    "message": ("caxton.cli.message_verbs:message", "Send and follow messages"),
    "conversation": ("caxton.cli.conversation_verbs:conversation", "Follow conversations and their protocols"),
    "capability": ("caxton.cli.capability_verbs:capability", "See and register who offers what"),
    "topic": ("caxton.cli.topic_verbs:topic", "See and change who subscribed to what"),
    "task": ("caxton.cli.task_verbs:task", "Have work done by the best bidder"),
    "namespace": ("caxton.cli.namespace_verbs:namespace", "See and set what each namespace may use"),
    "dlq": ("caxton.cli.dead_letter_verbs:dlq", "Look after dead letters"),
    "ledger": ("caxton.cli.ledger_verb:ledger", "Account for every message"),
    "gossip": ("caxton.cli.gossip_verbs:gossip", "serf, which tells the nodes of a cluster who is alive"),
    "cluster": ("caxton.cli.cluster_verbs:cluster", "See the cluster; take nodes out and back"),
    "plan": ("caxton.cli.plan_verbs:plan", "Which agents would move, before members change"),
    "db": ("caxton.cli.database_verbs:db", "The node's database: status, upgrade"),
    "backup": ("caxton.cli.backup_verbs:backup", "Back the node up, verify, prove that it restores"),
    "restore": ("caxton.cli.restore_verb:restore", "Put a backup in the place of the node's state"),
    "key": ("caxton.cli.key_verbs:key", "API keys of the node on this host"),
    "secret": ("caxton.cli.secret_verbs:secret", "Secrets that agents get by name and grant"),
    "token": ("caxton.cli.token_verbs:token", "Tokens signed with the node's secret"),
    "drain": ("caxton.cli.gate_verbs:drain", "Take no new work on this host's node"),
    "undrain": ("caxton.cli.gate_verbs:undrain", "Take work again"),
    "pause": ("caxton.cli.gate_verbs:pause", "Start no executions on this host's node"),
    "resume": ("caxton.cli.gate_verbs:resume", "Start executions again"),
    "audit": ("caxton.cli.audit_verbs:audit", "Who did what: list, verify, export"),
    "selftest": ("caxton.cli.selftest_verb:selftest", "Attack every limit of a node and see whether it holds"),
    "top": ("caxton.cli.top_verb:top", "What a node and its agents do now, live"),
    "doctor": ("caxton.cli.doctor_verb:doctor", "Check the node on this host"),
    "unit-settings": ("caxton.cli.unit_verbs:unit_settings", "What the configuration means for systemd's units"),
    "debug": ("caxton.cli.debug_verb:debug", "All that a node knows of one agent, as one file"),
    "replay": ("caxton.cli.replay_verb:replay", "Run a recorded execution again, here"),
    "dev": ("caxton.cli.dev_verbs:dev", "Run an agent here, without a node"),
    "bench": ("caxton.cli.bench_verb:bench", "Put a short load on a node"),
}

EPILOG: Final = """
The node: --url, $CAXTON_URL, or a context of ~/.config/caxton/config.toml; http://127.0.0.1:8080 otherwise.
Credentials: $CAXTON_API_KEY, $CAXTON_TOKEN, or the context's api_key, api_key_file, token.
TLS: --ca, $CAXTON_CA_FILE or the context's ca_file; a certificate of our own: $CAXTON_CERT_FILE with
$CAXTON_KEY_FILE, or the context's cert_file and key_file.

\b
Completion:  bash  eval "$(_CAXTON_COMPLETE=bash_source caxton)"
             zsh   eval "$(_CAXTON_COMPLETE=zsh_source caxton)"
             fish  _CAXTON_COMPLETE=fish_source caxton | source

Exit status: 0 done, 1 failed, 2 wrong usage, 3 node not reachable.
"""


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    aliases={"agents": "agent", "messages": "message", "conversations": "conversation", "dead-letters": "dlq"},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.option(
    "--config", "config", type=click.Path(path_type=Path), help="The node's TOML file; alone it means serve."
)
@click.option("--url", help="The node's address, e.g. https://caxton.example.com.")
@click.option("--context", "context", help="A context of ~/.config/caxton/config.toml.")
@click.option("--ca", "ca", metavar="FILE", help="Whose certificates to believe instead of the system's (PEM).")
@output_options
@click.version_option(__version__, prog_name="caxton", message="%(prog)s %(version)s")
@click.pass_context
def caxton(ctx: click.Context, config: Path | None, url: str | None, context: str | None, ca: str | None) -> None:
    """Run WebAssembly agents behind durable mailboxes."""
    state = ctx.ensure_object(State)
    state.config_file, state.url, state.context, state.ca_file = config, url, context, ca
    if ctx.invoked_subcommand is None:
        if config is None:
            click.echo(ctx.get_help())
            return
        from caxton.cli.serve_verb import serve

        ctx.invoke(serve)


def main() -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 wrong usage, 3 node not reachable."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; answers its exit code. Nothing but an exit code and text leaves here."""
    try:
        result = caxton.main(arguments, prog_name="caxton", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # it quotes the arguments
        click.echo(printable(shown.getvalue().expandtabs(4)), err=True, nl=False)
        return error.exit_code
    except CaxtonError as error:
        click.echo(explain(error), err=True)
        return exit_code_of(error)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough of it
        return EXIT_FAILED
    return result if isinstance(result, int) else 0
