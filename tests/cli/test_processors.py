"""How many processors a process may use, by control groups of both versions."""

from pathlib import Path

import pytest

from imgvec_pg import processors
from imgvec_pg.embedding.onnx_models import exported_embedder


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 processors whose control groups are files of this test."""
    monkeypatch.setattr(processors, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(processors, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    return tmp_path / "groups"


def set_group(groups: Path, own: str, files: dict[str, str]) -> None:
    (groups.parent / "own").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)


V1 = "5:cpuset:/\n4:cpu,cpuacct:/kubepods/pod1\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000\n", "a/cpu.max": "1600000 100000\n"}, 8),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000\n"}, 3),
        (V1, {"cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us": "-1\n"}, 64),
        (
            V1,
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("0::/\n", {"cpu.max": "nonsense"}, 64),
        ("0::/\n", {}, 64),
    ],
    ids=[
        "none", "two", "half of one", "of a group above", "the least", "a container's root", "version 1, none", "version 1",
        "unreadable", "missing",
    ],
)  # fmt: skip
def test_a_quota_bounds_the_processors(groups: Path, own: str, files: dict[str, str], count: int) -> None:
    set_group(groups, own, files)
    assert processors.usable_cpus() == count


def test_without_affinity_or_control_groups_all_count(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(processors.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processors.os, "cpu_count", lambda: 10)
    assert processors.usable_cpus() == 10


def test_a_models_threads_follow(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_group(groups, "0::/\n", {"cpu.max": "200000 100000\n"})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert exported_embedder.model_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert exported_embedder.model_threads() == 1
