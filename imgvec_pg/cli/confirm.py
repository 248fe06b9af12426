"""Asking before something is removed."""

import click

from imgvec_pg.errors import ImgvecError


def confirm(question: str) -> None:
    """Go on if the answer is yes; ctrl-C at the question stops the command as everywhere.

    Raises:
        ImgvecError: The answer is no, or there is nobody to answer.
    """
    try:
        agreed = click.confirm(question)
    except click.Abort as error:
        # click makes one of the end of the input and of ctrl-C.
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo()
        agreed = False
    if not agreed:
        raise ImgvecError("nothing was changed; add --yes to skip the question")
