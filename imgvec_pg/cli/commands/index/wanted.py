"""What an index build was asked for."""

from dataclasses import dataclass, replace

from imgvec_pg.database.index_methods.hnsw import HnswParams
from imgvec_pg.database.index_methods.methods import check_index_method
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import BuildOptions

QUANTIZATIONS = {"none": None, "bit": "bit"}


@dataclass(frozen=True)
class Wanted:
    """Options of an index build as given; None keeps the collection's own."""

    m: int | None
    ef_construction: int | None
    quantize: str | None
    method: str | None
    lists: int | None
    memory: str | None
    workers: int | None

    @property
    def build_options(self) -> BuildOptions:
        """The settings of the session that builds."""
        return BuildOptions(self.memory, self.workers)

    def define(self, present: Collection) -> Collection:
        """Return the collection with the index options asked for.

        Raises:
            UsageError: m, ef_construction or lists is out of range, or is an option of another method.
        """
        method = self.method or present.index_method
        if method != "hnsw" and (self.m is not None or self.ef_construction is not None):
            raise UsageError(
                f"m and ef_construction are of the index method hnsw, this is {method}; leave them out"
            )
        is_changed = method != present.index_method
        quantization = None if is_changed else present.quantization
        if self.quantize is not None:
            quantization = QUANTIZATIONS[self.quantize]
        lists = self.lists if self.lists is not None or is_changed else present.lists
        check_index_method(method, lists, quantization)
        params = HnswParams(
            present.m if self.m is None else self.m,
            present.ef_construction if self.ef_construction is None else self.ef_construction,
        )
        return replace(
            present,
            m=params.m,
            ef_construction=params.ef_construction,
            quantization=quantization,
            index_method=method,
            lists=lists,
        )
