"""Build a network whose weights all come from a safetensors file, which stays mapped: memory takes it once, not twice."""

import ctypes
import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MADV_DONTNEED = 4
"""madvise(2), Linux: a file's pages are given back, and read again where they are asked for."""


class UnfilledParameters(TorchFunctionMode):
    """Neither fills nor copies parameters while a network is built and loaded.

    Random numbers are left out, half the time of a load, as strict loading replaces all; and memory that nobody has written to
    is none yet. A weight that is in the file as the
    network wants it becomes the parameter itself, which safetensors maps: processes that load the same file share its memory.
    (torch's own `assign=True` is out of reach behind open_clip.create_model.) One that has to be converted is forgotten then.
    """

    _FILLERS = frozenset(
        {
            *(torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_),
            # These ask the mode by themselves, and what they call is then past it (torch 2.13 nn/init.py: handle_torch_function).
            *(torch.nn.init.normal_, torch.nn.init.uniform_, torch.nn.init.kaiming_uniform_),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self._file = range(0)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call a torch function, except those that draw random numbers in place, or copy a weight as it is."""
        if func in self._FILLERS:
            return args[0] if args else (kwargs or {})["tensor"]
        if func is not torch.Tensor.copy_ or kwargs or len(args) != 2 or not _is_load(*args):
            return func(*args, **(kwargs or {}))
        parameter, loaded = args
        if _is_as_wanted(parameter, loaded):
            parameter.data = loaded
        else:
            func(parameter, loaded)
            self._file = _forget_pages(loaded, self._file)
        return parameter


def _is_load(parameter: Any, loaded: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(parameter, torch.nn.Parameter)
        and isinstance(loaded, torch.Tensor)
        and loaded.device.type == "cpu"
        and parameter.shape == loaded.shape
    )


def _is_as_wanted(parameter: torch.Tensor, loaded: torch.Tensor) -> bool:
    """Return whether nothing has to be converted or moved."""
    return (
        parameter.device == loaded.device
        and parameter.dtype == loaded.dtype
        and parameter.stride() == loaded.stride()
        # safetensors promises as much for each type; torch needs no more.
        and loaded.data_ptr() % loaded.element_size() == 0
    )


def _forget_pages(loaded: torch.Tensor, known: range) -> range:
    """Give back the pages of a tensor that lies in a mapped file; its edges share theirs with others.

    Any other memory would read as zeros from then on, so the kernel is asked what lies there.

    Args:
        known: Addresses of the file met last.

    Returns:
        Addresses of the file that the tensor lies in, empty where it lies in none.
    """
    address = loaded.data_ptr()
    file = known if address in known else _mapped_file(address)
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + loaded.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if madvise is not None and loaded.is_contiguous() and start < end and start in file and end - 1 in file:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)
    return file


def _mapped_file(address: int) -> range:
    """Return the addresses of the file that is mapped there; empty for other memory, and beside Linux."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return range(0)
    for line in lines:
        # proc_pid_maps(5): start-end, rights, offset, device, inode, path.
        start, _, end = line.partition(" ")[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return range(int(start, 16), int(end, 16)) if " /" in line else range(0)
    return range(0)
