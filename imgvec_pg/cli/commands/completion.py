"""`imgvec completion`."""

import click
from click.shell_completion import get_completion_class

COMPLETE_VARIABLE = "_IMGVEC_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands, options and names.

    Collections, aliases and models are completed too, where the database of --dsn, IMGVEC_DSN or the PG* variables
    answers at once. Bash needs version 4.4.

    \b
    Example:
      imgvec completion bash > ~/.local/share/bash-completion/completions/imgvec
      imgvec completion zsh > "${fpath[1]}/_imgvec"
      imgvec completion fish > ~/.config/fish/completions/imgvec.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - click knows all three
    click.echo(script(context.find_root().command, {}, "imgvec", COMPLETE_VARIABLE).source())
