"""The path of GPUs, by torch on the CPU: the same pairs, to the last bit."""

import json

import numpy as np
import pytest

from imgvec_pg.duplicates.pair_search.torch_comparison import torch_devices
from imgvec_pg.duplicates.pairs import Pairs, find_pairs
from imgvec_pg.errors import ModelError, UsageError

pytest.importorskip("torch")


def vectors(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    random = np.random.default_rng(1)
    made = random.normal(size=64) / 8 + random.normal(size=(rows, 64)) / np.sqrt(np.arange(1, 65)) / 2
    made[: rows // 5] = made[random.integers(rows, size=rows // 5)] + random.normal(size=(rows // 5, 64)) / 50
    halves: np.ndarray[tuple[int, int], np.dtype[np.float16]] = (
        made / np.linalg.norm(made, axis=1, keepdims=True)
    ).astype(np.float16)
    halves[3] = 0
    return halves


def plain(pairs: Pairs) -> str:
    return json.dumps(
        [pairs.first.tolist(), pairs.second.tolist(), pairs.similarities.tolist(), pairs.skipped]
    )


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu", "cpu")])
@pytest.mark.parametrize("block", [(None, None), (64, 200)])
@pytest.mark.parametrize("fast", [False, True])
def test_torch_finds_the_pairs_that_numpy_finds(
    devices: tuple[str, ...], block: tuple[int | None, int | None], fast: bool
) -> None:
    halves = vectors(3000)
    expected = find_pairs(halves, 0.95)
    assert len(expected.first) > 500
    found = find_pairs(halves, 0.95, fast=fast, devices=devices, block_rows=block[0], block_columns=block[1])
    if fast and found.checked is not None:
        assert found.recall is not None and found.recall >= 0.999
        assert len(found.first) >= 0.999 * len(expected.first)
    else:
        assert plain(found) == plain(expected)


def test_products_stay_in_float32_where_an_application_allows_less() -> None:
    import torch

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        during: list[str] = []
        find_pairs(
            vectors(500),
            0.95,
            devices=("cpu",),
            progress=lambda done, total: during.append(torch.get_float32_matmul_precision()),
        )
        assert set(during) == {"highest"}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_device_that_is_not_there_is_named() -> None:
    assert torch_devices("cpu") == ()
    with pytest.raises(UsageError, match="device 'tpu' is unknown"):
        torch_devices("tpu")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="device 'cuda' was asked for, but torch"):
            torch_devices("cuda")
