"""Headers of an uncompressed tar: which members it has and where their bytes lie, without reading these.

ustar, GNU and pax as POSIX.1-2008 and GNU tar 1.35 (src/tar.h) describe them. The file is data that others wrote, and is read
where no sandbox is: every length is held against a bound and the file's before it is used. tarfile takes an extended header into
memory however long it says to be, and three times as long for an index of 300,000 headers, which is made in the middle of a fill.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

BLOCK = 512
ZEROS = bytes(BLOCK)
READ_AHEAD = 4096
"""Bytes at once: the headers of a webdataset's .json and .txt lie within."""
MOST_NAME_BYTES = 1 << 16
MOST_PAX_BYTES = 1 << 20
MOST_NS = 2**63 - 1
"""Of a bigint."""
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
REGULAR, LINK, SPARSE, SPECIAL = "regular", "link", "sparse", "special"
_KINDS = {
    b"0": REGULAR,
    b"\0": REGULAR,
    b"7": REGULAR,  # contiguous
    b"S": SPARSE,
    b"1": LINK,
    b"2": LINK,
    b"3": SPECIAL,
    b"4": SPECIAL,
    b"5": SPECIAL,
    b"6": SPECIAL,
    b"D": SPECIAL,  # GNU: a list of a folder's names
    b"M": SPECIAL,  # GNU: the rest of a file that began on another volume
    b"V": SPECIAL,  # GNU: the volume's label
    b"N": SPECIAL,
}
"""All others are regular, as POSIX says."""
_WITHOUT_DATA = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_CHECKSUM = slice(148, 156)
_SPARSE = b"GNU.sparse."
_KEYWORDS = frozenset((b"path", b"size", b"mtime", b"GNU.sparse.name"))
"""Others are dropped: a global header of a megabyte of them would be carried along with each member."""
_TIME = re.compile(rb"-?[0-9]{1,20}(\.[0-9]{0,20})?")
"""Seconds; no exponent, whose number could have a billion digits."""


class BrokenTarError(Exception):
    """A tar cannot be read on from here; the message says why, without the tar's name."""


class TarHeader(NamedTuple):
    """A member.

    Attributes:
        name: As written; bytes that are not UTF-8 as surrogates.
        offset: Of its first byte, in the tar.
        size: In bytes.
        mtime_ns: Last change, nanoseconds since 1970; 0 where none is written.
        kind: REGULAR, LINK, SPARSE or SPECIAL: devices, folders.
    """

    name: str
    offset: int
    size: int
    mtime_ns: int
    kind: str


@dataclass
class _Extensions:
    """What headers before a member's own say of it, and of all members from there on."""

    name: bytes | None = None
    own: dict[bytes, bytes] = field(default_factory=dict)
    common: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def are_pending(self) -> bool:
        return self.name is not None or bool(self.own)

    def take(self) -> tuple[bytes | None, dict[bytes, bytes]]:
        """Return those of the next member, which hold for no other."""
        name, records = self.name, {**self.common, **self.own} if self.own else self.common
        self.name, self.own = None, {}
        return name, records


def scan_headers(descriptor: int, length: int) -> Iterator[TarHeader]:
    """Yield the members of a tar in their order, folders and devices too.

    Args:
        descriptor: Of the open file; its position stays.
        length: Of the file, in bytes.

    Raises:
        BrokenTarError: After the last member that is whole.
        OSError: It cannot be read.
    """
    blocks = _Blocks(descriptor)
    extensions = _Extensions()
    offset = 0
    while True:
        header = blocks.read(offset, BLOCK)
        if not header or header == ZEROS:
            if extensions.are_pending or not length:
                raise BrokenTarError("it has 0 bytes" if not length else _breaks_off(offset))
            return
        _check(header, offset)
        kind, size, data = header[156:157], _size(header[124:136], offset), offset + BLOCK
        if kind in b"LKxgX":
            _need(data, size, length, MOST_NAME_BYTES if kind in b"LK" else MOST_PAX_BYTES, offset)
            _extend(extensions, kind, blocks.read(data, size), offset)
            offset = data + -(-size // BLOCK) * BLOCK
            continue
        if kind == b"S":
            data = _behind_sparse_map(blocks, header, data, offset)
        member = _member(header, kind, size, data, extensions.take(), offset)
        stored = 0 if kind in _WITHOUT_DATA else member.size
        if data + stored > length:
            raise BrokenTarError(_breaks_off(offset))
        yield member
        offset = data + -(-stored // BLOCK) * BLOCK


class _Blocks:
    """Reads of a file at growing positions, somewhat ahead."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._start = 0
        self._bytes = b""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of the file."""
        begin = offset - self._start
        if begin + size > len(self._bytes) or begin < 0:
            self._bytes, self._start, begin = (
                read_at(self._descriptor, offset, max(size, READ_AHEAD)),
                offset,
                0,
            )
        return self._bytes[begin : begin + size]


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Return `size` bytes of a file, fewer at its end."""
    data = os.pread(descriptor, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    got = len(data)
    while got < size and (data := os.pread(descriptor, size - got, offset + got)):
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def _check(header: bytes, offset: int) -> None:
    """Hold a header against its checksum."""
    if len(header) < BLOCK:
        raise BrokenTarError(_breaks_off(offset) if offset else _no_tar(header))
    try:
        written = _number(header[_CHECKSUM], offset)
    except BrokenTarError:
        written = -1
    # The sum counts its own field as eight spaces. Adler-32's lower half is 1 more than the sum of the bytes modulo 65,521,
    # which 256 of them do not reach, and takes a tenth of the time of `sum`.
    first, second = zlib.adler32(header[:256]) & 0xFFFF, zlib.adler32(header[256:]) & 0xFFFF
    if first + second - 2 - sum(header[_CHECKSUM]) + 8 * 32 == written:
        return
    signed = struct.unpack("512b", header)  # as old tars of Sun added them up
    if sum(signed) - sum(signed[_CHECKSUM]) + 8 * 32 != written:
        raise BrokenTarError(_damaged(offset) if offset else _no_tar(header))


def _no_tar(head: bytes) -> str:
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            return (
                f"it is compressed by {name}, which gives no access to single members: store it uncompressed"
            )
    return "it is no tar: its first block is no header"


def _breaks_off(offset: int) -> str:
    return f"it breaks off in the member that begins at byte {offset:,}: fetch it again"


def _need(data: int, size: int, length: int, most: int, offset: int) -> None:
    if data + size > length:
        raise BrokenTarError(_breaks_off(offset))
    if size > most:
        raise BrokenTarError(
            f"the extended header at byte {offset:,} has {size:,} bytes, at most {most:,} are read"
        )


def _number(field: bytes, offset: int) -> int:
    """Return an octal number, or one of base 256 as GNU tar writes large and negative ones."""
    if field[-1] in (0, 0x20):  # as nearly all are written: digits to the end
        try:
            return int(field[:-1], 8)
        except ValueError:
            pass
    if field[0] in (0x80, 0xFF):
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == 0xFF else value
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise BrokenTarError(_damaged(offset)) from None


def _size(field: bytes, offset: int) -> int:
    size = _number(field, offset)
    if size < 0:
        raise BrokenTarError(_damaged(offset))
    return size


def _size_record(digits: bytes, offset: int) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise BrokenTarError(_damaged(offset))
    return int(digits)


def _damaged(offset: int) -> str:
    return f"it is damaged at byte {offset:,}: fetch it again"


def _extend(extensions: _Extensions, kind: bytes, data: bytes, offset: int) -> None:
    if kind == b"L":
        extensions.name = data.partition(b"\0")[0]
    elif kind == b"g":
        extensions.common.update(_records(data, offset))
    elif kind in b"xX":
        extensions.own.update(_records(data, offset))


def _records(data: bytes, offset: int) -> dict[bytes, bytes]:
    """Return those records `length keyword=value` of a pax header that matter; all of `GNU.sparse.*` but its name as one."""
    records = {}
    position = 0
    while position < len(data) and data[position]:
        digits = data[position : position + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        keyword, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or position + length > len(data):
            raise BrokenTarError(_damaged(offset))
        if keyword in _KEYWORDS:
            records[keyword] = value[:-1]
        elif keyword.startswith(b"GNU.sparse."):
            records[_SPARSE] = b""
        position += length
    return records


def _behind_sparse_map(blocks: _Blocks, header: bytes, data: int, offset: int) -> int:
    """Return where the data of an old GNU sparse member begins: behind the blocks that go on with its map."""
    goes_on = header[482]
    while goes_on:
        block = blocks.read(data, BLOCK)
        if len(block) < BLOCK:
            raise BrokenTarError(_breaks_off(offset))
        goes_on = block[504]
        data += BLOCK
    return data


def _member(
    header: bytes,
    kind: bytes,
    size: int,
    data: int,
    extended: tuple[bytes | None, dict[bytes, bytes]],
    offset: int,
) -> TarHeader:
    long_name, records = extended
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345]:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    name = name if long_name is None else long_name
    what = _KINDS.get(kind, REGULAR)
    if kind == b"\0" and name.endswith(b"/"):
        what = SPECIAL  # a folder, as tars before POSIX have it
    mtime_ns = _number(header[136:148], offset) * 10**9
    if records:
        name = records.get(b"path") or name
        if _SPARSE in records or b"GNU.sparse.name" in records:
            name, what = records.get(b"GNU.sparse.name") or name, SPARSE
        if b"size" in records:
            size = _size_record(records[b"size"], offset)
        time = _TIME.fullmatch(records.get(b"mtime", b""))
        mtime_ns = int(Decimal(time[0].decode()) * 10**9) if time else mtime_ns
    text = name.decode("utf-8", "surrogateescape")
    return TarHeader(text, data, size, max(-MOST_NS, min(mtime_ns, MOST_NS)), what)
