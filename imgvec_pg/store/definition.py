"""What a collection shall be, as an application declares it beside its models or writes it into a migration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imgvec_pg.database.hnsw import HnswParams
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.errors import UsageError
from imgvec_pg.store.spec import CollectionRequest, check_name


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
