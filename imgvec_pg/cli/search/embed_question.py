"""Query vector of a search command: from words, an image file or a row."""

from pathlib import Path

from imgvec_pg.cli.output.messages import say
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_embedding import ModelOptions, ask_with_image, ask_with_words, check_words
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.search.rows import ask_with_row
from imgvec_pg.store.collection import Collection


def check_query(words: tuple[str, ...], image: Path | None, like: str | None) -> None:
    """Refuse no question and several, before anything is connected or loaded.

    Raises:
        UsageError: Not exactly one of the three is given, or the words cannot be searched for.
    """
    given = [
        name
        for name, value in (("words", words), ("--image", image), ("--like", like))
        if value not in (None, ())
    ]
    if not given:
        raise UsageError(
            'nothing to search for; give words ("red leather shoes"), --image FILE or --like KEY'
        )
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(given)} were given; expected one of words, --image FILE and --like KEY"
        )
    if words:
        check_words(" ".join(words))


def ask(
    connection: Connection, collection: Collection, words: str, image: Path | None, model: ModelOptions
) -> SearchQuery:
    """Make a question of words or of a picture file."""
    if image is not None:
        return ask_with_image(connection, collection, image, model)
    query = ask_with_words(connection, collection, words, model)
    if query.truncated is not None:
        say(query.truncated)
    return query


def embed_query(
    connection: Connection,
    collection: Collection,
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    model: ModelOptions,
) -> SearchQuery:
    """Make a query of the one that is given: words, a picture file or a row's key."""
    if like is not None:
        return ask_with_row(connection, collection, like)
    return ask(connection, collection, " ".join(words), image, model)
