"""Compare projected rows by torch, on one GPU or several: the same bounds, and the same pairs.

One product gives the halves of negative squared distances (`search_form` has the rows' own lengths in it), which are compared
with the threshold where they lie; what is left is compared over more axes there too, and only its places come back. Products
are of float32 throughout: the bounds' margin is not for TF32.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.pair_search.comparison import Comparison, Projected
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.embedding.runtime import require_models_extra, resolve_device

if TYPE_CHECKING:
    import torch

Indices = npt.NDArray[np.intp]

BLOCK = 4096, 65_536
"""Rows and columns multiplied at once: 1 GiB of products, and a quarter of it of marks, for each thread."""
THREADS_OF_A_DEVICE = 2
"""One verifies what it found while the other's product is made."""


def torch_devices(device: str) -> tuple[str, ...]:
    """Return the GPUs that a device's name means, "cuda" all; none for "cpu".

    Raises:
        UsageError: No name of a device.
        MissingExtraError: torch is not installed.
        ModelError: There is no such GPU.
    """
    resolved = resolve_device(device)
    if resolved == "cpu":
        return ()
    if ":" in resolved and device == resolved:
        return (resolved,)
    import torch

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))


@contextmanager
def float32_products(devices: Sequence[str]) -> Iterator[None]:
    """Keep torch from multiplying in less than float32, where it is used at all; what was set before comes back.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if not devices:
        yield
        return
    require_models_extra("comparing by torch")
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class TorchComparison(Comparison):
    """Compares on devices of torch; each thread uses one of them, in turn."""

    def __init__(
        self, vectors: Halves, threshold: float, projected: Projected, devices: Sequence[str]
    ) -> None:
        """Copy the coordinates to each device.

        Args:
            devices: Names as torch has them, "cpu" among them.
        """
        super().__init__(vectors, threshold, projected)
        import torch

        self._on = [
            tuple(torch.from_numpy(part).to(device) for part in (self.left, self.right, self.fine))
            for device in devices
        ]
        self._turn, self._thread = itertools.count(), threading.local()

    def candidates(self, places: slice | Indices, low: int, high: int) -> tuple[Indices, Indices]:
        """Return pairs that neither few axes nor more discard: numbers among `places`, and places."""
        import torch

        lefts, rights, fines = self._parts()
        chosen = places if isinstance(places, slice) else torch.from_numpy(places).to(lefts.device)
        marks = (lefts[chosen] @ rights[:, low:high]) >= -self.near_most / 2
        first, second = marks.nonzero(as_tuple=True)
        kept = (fines[chosen][first] - fines[low:high][second]).square().sum(dim=1) <= self.fine_most
        return first[kept].cpu().numpy(), second[kept].cpu().numpy() + low

    def _parts(self) -> tuple[torch.Tensor, ...]:
        place: int | None = getattr(self._thread, "place", None)
        if place is None:
            place = self._thread.place = next(self._turn) % len(self._on)
        return self._on[place]
