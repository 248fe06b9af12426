"""What a new collection is asked to be, and whether it can be that."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imgvec_pg.database.hnsw import HnswParams
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.images.fetching.url_rules import parse_prefix
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.source import TEXT_TYPES, Source, no_such_column

NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
RESERVED_ENDINGS = ("_row", "_text")
"""near_<collection>_row would be the near_* of a collection named <collection>_row too."""
MAX_PROMPT_BYTES = 500
"""As the table imgvec.collection has it."""
MAX_DIMENSIONS = 4000
"""pgvector src/hnsw.h: HNSW_MAX_DIM 2000 floats, twice that in halfvec."""
DOLLAR_QUOTE = re.compile(r"\$\w*\$")


@dataclass(frozen=True)
class CollectionRequest:
    """What `imgvec collection create` was asked for.

    Attributes:
        image_columns: One column holding paths (text) or pictures (bytea), or one of each.
        watch_columns: Further columns whose change means a new image.
        root: Folder that paths are relative to and must stay inside.
        key: Columns that identify a row where there is no primary key.
        partitions: Hash partitions of the embedding table; 0 for a plain table.
        quantization: "bit" for a binary HNSW index, None for one over the vectors.
        prompt: What a text becomes before it is embedded, {} standing for it.
        url_prefixes: What URLs in the path column may begin with; none is fetched by default.
    """

    name: str
    relation: str
    image_columns: Sequence[str]
    model_name: str
    dimensions: int
    has_text: bool
    root: str | None = None
    watch_columns: Sequence[str] = ()
    key: Sequence[str] = ()
    with_foreign_key: bool = True
    hnsw: HnswParams = field(default_factory=HnswParams)
    partitions: int = 0
    quantization: str | None = None
    prompt: str = "{}"
    url_prefixes: Sequence[str] = ()


def check_name(name: str) -> None:
    """Refuse names that functions, tables and indexes cannot be called after.

    Raises:
        UsageError: Not 1 to 40 of a-z, 0-9 and _, it starts with a digit, or ends like another's functions.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a collection; expected 1 to 40 lower-case letters, digits and underscores, '
            "not starting with a digit, such as product_clip"
        )
    if name.endswith(RESERVED_ENDINGS):
        raise UsageError(
            f'"{name}" cannot name a collection: functions of other collections end in '
            f"{' or '.join(RESERVED_ENDINGS)}; choose another ending"
        )


def check_prompt(prompt: str) -> None:
    """Refuse prompts that the registry does not take, or that leave no room for words.

    Raises:
        UsageError: {} is missing, it is over 500 bytes, or it holds a character that PostgreSQL cannot store.
    """
    try:
        size = len(prompt.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt {prompt!r} is not valid UTF-8; expected plain text") from error
    if "{}" not in prompt or "\0" in prompt:
        raise UsageError(
            f"the prompt {prompt!r} has no place for the words; expected one such as 'a photo of {{}}'"
        )
    if size > MAX_PROMPT_BYTES:
        raise UsageError(f"the prompt has {size} bytes; expected at most {MAX_PROMPT_BYTES}")


def check_quotable(shown: str, names: Sequence[str]) -> None:
    """Refuse names that would end the quoted body of a function which mentions them.

    Raises:
        CollectionError: A name holds something like $word$.
    """
    for name in names:
        if DOLLAR_QUOTE.search(name):
            raise CollectionError(
                f'the name "{name}" of {shown} holds a dollar quote, which functions cannot mention safely; '
                "make a view with other names and use --no-fk"
            )


@dataclass(frozen=True)
class ImageColumns:
    """The columns of a source that hold its pictures."""

    path: str | None
    content: str | None


def choose_image_columns(source: Source, names: Sequence[str]) -> ImageColumns:
    """Tell path columns from bytea columns by their types.

    Raises:
        CollectionError: No such column, or of a type that holds no image.
    """
    shown = source.shown
    path = content = None
    for name in names:
        if name not in source.columns:
            raise CollectionError(no_such_column(shown, name, source.columns))
        type_name = source.columns[name]
        if type_name == "bytea" and content is None:
            content = name
        elif type_name.split(".")[-1] in TEXT_TYPES and path is None:
            path = name
        else:
            raise CollectionError(
                f'column "{name}" of {shown} is {type_name}; expected a text column with paths, a bytea column, or both'
            )
    return ImageColumns(path, content)


def build_collection(source: Source, request: CollectionRequest) -> Collection:
    """Check a request against its source and return the collection it would make (id 0).

    Raises:
        CollectionError, UsageError: It cannot be made as asked.
    """
    check_name(request.name)
    check_prompt(request.prompt)
    if not 1 <= request.dimensions <= MAX_DIMENSIONS:
        raise UsageError(
            f'model "{request.model_name}" gives {request.dimensions:,} dimensions; pgvector indexes at most '
            f"{MAX_DIMENSIONS:,} of halfvec, so choose a model with fewer"
        )
    shown = source.shown
    if source.schema == "imgvec" and source.name != "image":
        raise CollectionError(
            f"{shown} is imgvec's own and no source of pictures; of this schema only imgvec.image is one (--library)"
        )
    check_quotable(shown, [source.schema, source.name, *source.columns])
    columns = choose_image_columns(source, request.image_columns)
    for prefix in request.url_prefixes:
        parse_prefix(prefix)
    if columns.path is not None and request.root is None and not request.url_prefixes:
        raise UsageError(
            f'column "{columns.path}" holds paths; say which folder they are under with --root DIR '
            "(the worker reads no file outside it), or which URLs it may fetch with --url PREFIX"
        )
    if request.with_foreign_key and source.can_have_triggers and not source.has_unique_key:
        raise CollectionError(
            f"{', '.join(request.key)} is not the primary key of {shown}, which is what a foreign key points to; "
            "leave out --key or add --no-fk"
        )
    if request.with_foreign_key and not source.can_have_triggers:
        raise CollectionError(
            f"{shown} is a {source.kind}, which a foreign key cannot point to; add --no-fk "
            "(changes are then found by imgvec collection reconcile)"
        )
    for column in request.watch_columns:
        if column not in source.columns:
            raise CollectionError(no_such_column(shown, column, source.columns))
    watched = [c for c in (columns.path, columns.content) if c is not None]
    watched += [c for c in request.watch_columns if c not in watched]
    return Collection(
        id=0,
        name=request.name,
        model_id=0,
        model_name=request.model_name,
        dimensions=request.dimensions,
        has_text=request.has_text,
        source_schema=source.schema,
        source_name=source.name,
        shown_source=source.shown,
        key_columns=[column.name for column in source.key],
        key_types=[column.type_name for column in source.key],
        key_equality_schemas=[column.equality_schema for column in source.key],
        path_column=columns.path,
        content_column=columns.content,
        watch_columns=watched,
        root=request.root,
        has_foreign_key=request.with_foreign_key,
        m=request.hnsw.m,
        ef_construction=request.hnsw.ef_construction,
        ef_search=None,
        quantization=request.quantization,
        prompt=request.prompt,
        is_listed=False,
        url_prefixes=list(request.url_prefixes),
    )


@dataclass(frozen=True)
class CollectionDefinition:
    """A collection's name and what makes it: the options of `imgvec collection create`.

    Attributes:
        name: 1 to 40 lower-case letters, digits and underscores.
        image: The column with paths (text) or pictures (bytea), or one of each.
        model: "architecture/pretrained", "demo", "local-dir:/path" or an entry point's name.
        root: Folder that paths are under.
        source: The source relation, quoted where SQL wants it; filled in from the model class where one declares this.
        key: The source's key columns and their PostgreSQL types, needed only to write SQL without a database.
        dimensions, has_text: Of the model; None to look them up by its name.
        watch: Further columns whose change means a new image.
        m, ef_construction: Of the HNSW index.
        partitions: Hash partitions of the embedding table, 0 for a plain table.
        quantization: "bit" for an index over bits.
        prompt: What a text becomes before it is embedded, {} standing for it.

    Raises:
        UsageError: The name, m or ef_construction cannot be used.
    """

    name: str
    image: str | Sequence[str] | None = None
    model: str | None = None
    root: str | None = None
    source: str | None = None
    key: Mapping[str, str] = field(default_factory=dict)
    dimensions: int | None = None
    has_text: bool | None = None
    watch: Sequence[str] = ()
    foreign_key: bool = True
    m: int = 16
    ef_construction: int = 64
    partitions: int = 0
    quantization: str | None = None
    prompt: str = "{}"

    def __post_init__(self) -> None:
        check_name(self.name)
        HnswParams(self.m, self.ef_construction)

    @property
    def image_columns(self) -> list[str]:
        """The image columns, none where only the name was given."""
        if self.image is None:
            return []
        return [self.image] if isinstance(self.image, str) else list(self.image)

    @property
    def is_complete(self) -> bool:
        """Whether a collection can be made of it."""
        return bool(self.source and self.image_columns and self.model)

    def request(self) -> CollectionRequest:
        """Return it as create_collection() takes it, with the model's dimensions.

        Raises:
            UsageError: Source, image or model is missing.
            ModelNotFoundError: No model has this name.
        """
        if not self.source or not self.image_columns or not self.model:
            missing = [name for name in ("source", "image", "model") if not getattr(self, name)]
            raise UsageError(
                f'collection "{self.name}" has no {" and no ".join(missing)}; expected all three to create it'
            )
        dimensions, has_text = self.dimensions, self.has_text
        if dimensions is None or has_text is None:
            described = describe_model(self.model)
            dimensions = described.dimensions if dimensions is None else dimensions
            has_text = described.has_text if has_text is None else has_text
        return CollectionRequest(
            name=self.name,
            relation=self.source,
            image_columns=self.image_columns,
            model_name=self.model,
            dimensions=dimensions,
            has_text=has_text,
            root=self.root,
            watch_columns=self.watch,
            with_foreign_key=self.foreign_key,
            hnsw=HnswParams(self.m, self.ef_construction),
            partitions=self.partitions,
            quantization=self.quantization,
            prompt=self.prompt,
        )
