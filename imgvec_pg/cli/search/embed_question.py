"""Query vector of a search command: from words, an image file or a row."""

from pathlib import Path

from imgvec_pg.cli.output.messages import say
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.load import is_loadable
from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_client import query_of_words, vector_of_image
from imgvec_pg.search.query_embedding import (
    ModelOptions,
    ask_with_image,
    ask_with_words,
    check_words,
    read_picture,
)
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
    """Make a query of words or of a picture file.

    The model is loaded into this process; where it cannot be, as without the extra `models`, a running worker is asked.
    """
    loadable = is_loadable(collection.model_name)
    if image is not None:
        if loadable:
            return ask_with_image(connection, collection, image, model)
        data = read_picture(image)
        return SearchQuery("image", image.name, vector_of_image(connection, collection, data), data)
    if loadable:
        query = ask_with_words(connection, collection, words, model)
    else:
        found = query_of_words(connection, collection, words)
        query = SearchQuery("words", words, found.vector, truncated=found.truncated)
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
