"""The command reference: every command with its help, arguments and options, from click itself."""

import re
from collections.abc import Iterator

import click

from imgvec_pg.cli.exit_codes import INTERRUPTED, TERMINATED
from imgvec_pg.cli.main import cli
from tools.docs.markdown import NOTICE, table

INTRODUCTION = f"""# Commands

Every command and option of `imgvec`, as `--help` prints them. In a Django project the same commands are
`python manage.py imgvec …` ([Django](../howto/django.md#managepy-imgvec)), in a Flask application
`flask imgvec …` ([Flask](../howto/flask.md)).

The database is named by `--dsn`, by `IMGVEC_DSN`, or by libpq's own `PG*` variables ([settings](settings.md)).
Exit codes: 0 done, 1 error, 2 usage, 3 no connection, 4 some rows failed, {INTERRUPTED} and {TERMINATED} stopped by a signal
([errors](errors.md)).
"""
# Text that click would wrap: code, names and options stand in backquotes on the page.
CODE = re.compile(
    r"(?<![`\w/<-])(--[a-z][a-z-]*|IMGVEC_[A-Z_]+|[a-z_]+\.[a-z_]+\(\)|imgvec\.[a-z_]+)(?![\w`-])"
)
PLACEHOLDER = re.compile(r"<([a-z_]+)>")


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command's path ("imgvec index create") and the command: itself, then those below it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk(below, f"{path} {name}")


def prose(text: str) -> str:
    """Return a line of help as Markdown: names in backquotes, `<` and `*` no markup."""
    escaped = re.sub(r"(?<!`)([*<])(?!`)", r"\\\1", PLACEHOLDER.sub(r"‹\1›", text))
    return CODE.sub(r"`\1`", re.sub(r"\b(near|search|page)_\\\*", r"`\1_*`", escaped))


def help_text(command: click.Command) -> str:
    """Return the help as Markdown: paragraphs joined, the blocks that click keeps as they are as code."""
    parts = []
    for block in re.split(r"\n\s*\n", command.help or ""):
        lines = block.splitlines()
        if lines and lines[0].strip() == "\b":
            parts.append(kept_block(lines[1:]))
        else:
            parts.append(prose(" ".join(line.strip() for line in lines)))
    return "\n\n".join(part for part in parts if part) + "\n"


def kept_block(lines: list[str]) -> str:
    """Return a block that click does not wrap: its indented lines as code, the line before them as prose."""
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    lines = [line[indent:].rstrip() for line in lines]
    head = [line for line in lines if not line.startswith(" ")]
    code = [line[2:] for line in lines if line.startswith(" ")]
    # Lines at the margin throughout are a table drawn with spaces.
    if not code:
        return "```text\n" + "\n".join(head) + "\n```"
    return prose(" ".join(head).strip()) + "\n\n```\n" + "\n".join(code) + "\n```"


def option_name(option: click.Option, context: click.Context) -> str:
    """Return an option with its value, as "`--limit` INTEGER"."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count else option.make_metavar(context)
    # A range is told by its bounds beside the help.
    return f"{names} {PLACEHOLDER.sub(r'‹1›', value)}".strip()


def option_help(option: click.Option, context: click.Context) -> str:
    """Return what an option does, with its default, its bounds and the variable that sets it."""
    extra = option.get_help_extra(context)
    told = list(dict.fromkeys(filter(None, [extra.get("range"), extra.get("required")])))
    text = prose(option.help or "")
    default = option.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    if plain and "[default:" not in (option.help or "") and not option.required:
        told.append(f"default: {default}")
    # Brackets would be links; two spaces before them line them up in a terminal.
    text = re.sub(r"\[(default: [^]]*)\]", r"(\1)", " ".join(text.split()))
    return " ".join([text, *([f"({'; '.join(told)})"] if told else [])])


def render_command(path: str, command: click.Command) -> str:
    """Return one command's part of the page."""
    context = click.Context(command, info_name=path)
    level = "##" if path.count(" ") == 1 else "###"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"{level} `{path}`\n", f"```text\n{usage}\n```\n", help_text(command)]
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        rows = [(option_name(option, context), option_help(option, context)) for option in options]
        parts.append(table(["option", "meaning"], rows))
    return "\n".join(parts)


def render() -> str:
    """Return the page."""
    commands = list(walk(cli, "imgvec"))[1:]
    groups = [
        (f"[`{path}`](#{path.replace(' ', '-')})", prose((command.help or "").split("\n\n")[0]))
        for path, command in commands
        if path.count(" ") == 1
    ]
    return "\n".join(
        [
            INTRODUCTION,
            table(["command", "what it does"], groups),
            *(render_command(path, command) for path, command in commands),
            NOTICE,
        ]
    )
