"""Decoding in children: the same pixels, and nothing that happens to a child happens to this decoder_process."""

import contextlib
import inspect
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from hostile_images import jpeg_of_many_scans
from PIL import Image
from skimage import data as photographs

from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import DecoderError, ImageError, UsageError
from imgvec_pg.images.decoding import child as child_module
from imgvec_pg.images.decoding import decode, decoder_process, formats, header, sandbox
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.decoder_process import CODES, Decoder, KilledError
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.decoding.sandbox import (
    DecodingPool,
    compare_sandboxed,
    decode_sandboxed,
    describe_sandboxed,
)
from imgvec_pg.images.rendering.version import FIRST, NEWEST

FOLDER = Path(photographs.__file__).parent
PHOTOGRAPH = (FOLDER / "coffee.png").read_bytes()
REQUEST = {"describe": False, "compare": None, "resize": None, "rendering": NEWEST}
LIMIT = 50_000_000


@pytest.fixture
def child() -> Iterator[Decoder]:
    # Started here, as the kernel ties it to the thread.
    started = Decoder()
    yield started
    started.close()


@pytest.fixture
def fresh_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecodingPool]:
    """Give this process another pool, whose children obey what the test has changed."""
    pool = DecodingPool(2)
    monkeypatch.setattr(sandbox, "_pool", pool)
    yield pool
    pool.close()


def refusal(call: Callable[[], object]) -> ImageError:
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value


def soon(pid: int, number: signal.Signals) -> None:
    """Send a signal in a moment, unless the process is gone by then."""

    def send() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    threading.Timer(0.1, send).start()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or is a zombie that init has still to bury."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_threads_get_the_pixels_that_decoding_here_gives() -> None:
    names = ("coffee.png", "rocket.jpg", "chessboard_GRAY.png", "hubble_deep_field.jpg", "color.png")
    contents = [path.read_bytes() for path in map(FOLDER.joinpath, names) if path.exists()]
    assert len(contents) >= 2
    wanted = [decode_image(data) for data in contents] * 4
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(decode_sandboxed, contents * 4))
    assert [(image.size, image.tobytes()) for image in found] == [(i.size, i.tobytes()) for i in wanted]
    assert [describe_sandboxed(data) for data in contents] == [describe_image(data) for data in contents]


def test_resizing_there_is_resizing_here() -> None:
    resize = Resize(224, 224, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC))
    found = decode_sandboxed(PHOTOGRAPH, resize)
    assert found.size == (336, 224)
    assert found.tobytes() == decode_image(PHOTOGRAPH).resize((336, 224), Image.Resampling.BICUBIC).tobytes()


@pytest.mark.parametrize("data", [b"", b"<svg/>", PHOTOGRAPH[:5000], b"%PDF-1.7\n"])
def test_refusals_are_those_of_decoding_here(data: bytes) -> None:
    here, there = refusal(lambda: decode_image(data)), refusal(lambda: decode_sandboxed(data))
    assert (there.code, str(there), there.transient) == (here.code, str(here), False)


def test_a_child_knows_and_has_little(child: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = Path(f"/proc/{child.pid}")
    monkeypatch.setenv("PGPASSWORD", "secret")
    another = Decoder()
    try:
        assert b"secret" not in Path(f"/proc/{another.pid}/environ").read_bytes()
    finally:
        another.close()
    assert "libtorch" not in (proc / "maps").read_text()
    assert len(list((proc / "fd").iterdir())) == 3
    assert (proc / "oom_score_adj").read_text().strip() == "1000"
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    limits = (proc / "limits").read_text()
    assert all(word in limits for word in ("Max core file size        0", "Max file size             0"))


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE]
)
def test_a_crash_is_the_picture_s_fault(child: Decoder, number: signal.Signals) -> None:
    """The child is stopped, so that it dies with the picture in hand."""
    os.kill(child.pid, signal.SIGSTOP)
    os.kill(child.pid, number)
    soon(child.pid, signal.SIGCONT)
    error = refusal(lambda: child.ask(REQUEST, PHOTOGRAPH, LIMIT))
    assert (error.code, error.transient) == ("decode_limit", False)
    assert number.name in str(error)
    assert child.is_spent


def test_a_child_killed_from_outside_may_have_had_a_good_picture(child: Decoder) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    soon(child.pid, signal.SIGKILL)
    error = refusal(lambda: child.ask(REQUEST, PHOTOGRAPH, LIMIT))
    assert isinstance(error, KilledError)
    assert (error.code, error.transient) == ("decode_limit", True)


def test_the_pool_tries_again_when_a_child_was_killed(fresh_pool: DecodingPool) -> None:
    decode_sandboxed(PHOTOGRAPH)
    [pid] = fresh_pool.pids()
    os.kill(pid, signal.SIGSTOP)
    soon(pid, signal.SIGKILL)
    assert decode_sandboxed(PHOTOGRAPH).tobytes() == decode_image(PHOTOGRAPH).tobytes()
    assert pid not in fresh_pool.pids()


def test_an_idle_child_that_died_is_replaced(fresh_pool: DecodingPool) -> None:
    decode_sandboxed(PHOTOGRAPH)
    [pid] = fresh_pool.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    assert decode_sandboxed(PHOTOGRAPH).size == (600, 400)
    assert len(fresh_pool.pids()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_are_meant_for_the_parent_do_not_end_a_child(
    child: Decoder, number: signal.Signals
) -> None:
    os.kill(child.pid, number)
    fields, _ = child.ask(REQUEST, PHOTOGRAPH, LIMIT)
    assert fields["size"] == [600, 400]


def test_one_that_does_not_answer_is_killed(child: Decoder) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    error = refusal(lambda: child.ask(REQUEST, PHOTOGRAPH, LIMIT, seconds=0.2))
    assert (error.code, error.transient) == ("decode_limit", True)
    assert "0 s" in str(error)
    assert is_gone(child.pid)


def test_an_answer_that_came_while_this_process_was_stopped_is_taken(child: Decoder) -> None:
    sent: dict[str, object] = {}

    def slow_send(*arguments: object) -> None:
        decoder_send(*arguments)  # type: ignore[arg-type]
        select.select([child._connection], [], [], 600)
        time.sleep(0.6)  # as SIGSTOP would; the deadline passes, and the answer waits in the socket
        sent["late"] = True

    decoder_send = decoder_process.send
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_process, "send", slow_send)
        fields, _ = child.ask(REQUEST, PHOTOGRAPH, LIMIT, seconds=0.5)
    assert sent and fields["size"] == [600, 400]


def test_computing_for_too_long_is_stopped_by_the_kernel(
    fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_process, "decode_cpu_seconds", lambda: 1)
    bomb = jpeg_of_many_scans(7000, 20_000)
    assert len(bomb) < 3_000_000
    error = refusal(lambda: decode_sandboxed(bomb))
    assert (error.code, error.transient) == ("decode_limit", False)
    assert "1 s of computing" in str(error)
    assert decode_sandboxed(PHOTOGRAPH).size == (600, 400)


def test_taking_too_much_memory_is_refused(fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "decode_memory_bytes", lambda: 64 * 1024**2)
    buffer = BytesIO()
    Image.new("RGB", (5000, 5000)).save(buffer, "PNG")
    error = refusal(lambda: decode_sandboxed(buffer.getvalue()))
    assert (error.code, error.transient) == ("decode_limit", False)
    assert "64 MiB" in str(error)
    assert decode_sandboxed(PHOTOGRAPH).size == (600, 400)


def test_a_child_that_cannot_start_is_no_picture_s_fault(
    fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_process.sys, "executable", "/nonexistent/python")
    with pytest.raises(DecoderError, match="No such file"):
        decode_sandboxed(PHOTOGRAPH)
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_process, "_environment", lambda: {"PYTHONHOME": "/nonexistent"})
        with pytest.raises(DecoderError, match="ended at its start"):
            Decoder()


def test_an_answer_that_is_none_is_not_believed(child: Decoder) -> None:
    """A child may be in other hands by now: too many bytes, or no JSON."""
    error = refusal(lambda: child.ask(REQUEST, PHOTOGRAPH, 1000))
    assert (error.code, error.transient) == ("decode_limit", False)
    assert child.is_spent


def compare_first(data: bytes) -> float:
    return compare_sandboxed(data, FIRST)


@pytest.mark.parametrize(
    ("call", "reply"),
    [
        (decode_sandboxed, '{"code": "x\\u0000y", "message": "boo"}'),
        (decode_sandboxed, '{"code": "worker_died", "message": "boo"}'),
        (decode_sandboxed, '{"code": ["empty"], "message": "boo"}'),
        (decode_sandboxed, '{"code": "empty", "message": ["boo"]}'),
        (decode_sandboxed, '{"code": "empty"}'),
        (decode_sandboxed, '{"size": [5000, 5000]}'),
        (decode_sandboxed, '{"size": [600, 400]}'),
        (decode_sandboxed, '{"size": [600, 400], "notes": ["boo"]}'),
        (decode_sandboxed, '{"size": [600, 400], "notes": [[]]}'),
        (compare_first, '{"difference": 255.5}'),
        (compare_first, '{"difference": NaN}'),
        (compare_first, '{"difference": "1"}'),
        (decode_sandboxed, '{"size": [1000000000, 1000000000]}'),
        (decode_sandboxed, '{"size": [1, 1.0]}'),
        (decode_sandboxed, '{"size": [Infinity, 1]}'),
        (decode_sandboxed, '{"size": 1}'),
        (decode_sandboxed, "{}"),
        (decode_sandboxed, "[" * 20_000),
        (describe_sandboxed, '{"media_type": "image/\\u0000", "width": 1, "height": 1, "taken_at": null}'),
        (describe_sandboxed, '{"media_type": 1, "width": 1, "height": 1, "taken_at": null}'),
        (describe_sandboxed, '{"media_type": "image/png", "width": 1e9, "height": 1, "taken_at": null}'),
        (
            describe_sandboxed,
            '{"media_type": "image/png", "width": 9999999999, "height": 1, "taken_at": null}',
        ),
        (describe_sandboxed, '{"media_type": "image/png", "width": 1, "height": 1, "taken_at": 7}'),
    ],
)
def test_what_a_child_in_other_hands_says_is_not_believed(
    call: Callable[[bytes], object], reply: str, fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies = (
        "import sys; from imgvec_pg.images.decoding import child, protocol; reply = sys.argv.pop();"
        " protocol.json.dumps = lambda fields: '{}' if 'ready' in fields else reply; child.main()"
    )
    command = [sys.executable, "-c", lies, *decoder_process._command()[-3:], reply]
    monkeypatch.setattr(decoder_process, "_command", lambda: command)
    error = refusal(lambda: call(PHOTOGRAPH))
    assert (error.code, error.transient) == ("decode_limit", False)
    assert "its decoder went astray" in str(error)
    assert not fresh_pool.pids()


def test_a_child_may_give_each_reason_that_its_modules_have() -> None:
    modules = (child_module, decode, header, formats)
    source = "".join(inspect.getsource(module) for module in modules)
    assert set(re.findall(r'(?:ImageError\(\s*|"code": )"([a-z_]+)"', source)) == CODES


SCRIPT = """
import os, sys, time
from pathlib import Path
from imgvec_pg.images.decoding.sandbox import decode_sandboxed, shared_pool
data = Path(sys.argv[1]).read_bytes()
decode_sandboxed(data)
pid = os.fork()
if pid == 0:
    own = decode_sandboxed(data).size
    os._exit(0 if own == (600, 400) else 1)
assert os.waitpid(pid, 0)[1] == 0
assert decode_sandboxed(data).size == (600, 400)
print(*shared_pool().pids(), flush=True)
time.sleep(60)
"""


def test_children_go_with_their_parent_and_are_not_shared_by_a_fork() -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(FOLDER / "coffee.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 1 and not is_gone(pids[0])
        # Busy or stopped, it does not see its standard input end: the kernel must end it.
        os.kill(pids[0], signal.SIGSTOP)
        parent.kill()
    wait_until(lambda: all(map(is_gone, pids)))


def test_tiff_is_decoded_where_it_is_allowed(
    fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = BytesIO()
    Image.new("RGB", (3, 2), (200, 0, 0)).save(buffer, "TIFF")
    monkeypatch.setenv("IMGVEC_FORMATS", "web")
    error = refusal(lambda: decode_sandboxed(buffer.getvalue()))
    assert error.code == "format_denied" and "IMGVEC_FORMATS=web" in str(error)
    monkeypatch.setenv("IMGVEC_FORMATS", "tiff")
    fresh_pool.close()
    pool = DecodingPool(1)
    monkeypatch.setattr(sandbox, "_pool", pool)
    assert decode_sandboxed(buffer.getvalue()).getpixel((2, 1)) == (200, 0, 0)
    pool.close()
    monkeypatch.setattr(sandbox, "_pool", None)
    monkeypatch.setenv("IMGVEC_FORMATS", "psd")
    with pytest.raises(UsageError, match="tiff"):
        decode_sandboxed(buffer.getvalue())


def test_one_of_several_processes_has_children_for_its_own_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    # As `backfill --workers` tells each of its processes.
    monkeypatch.setenv("IMGVEC_WORKER_CPUS", "1")
    sandbox.close_pool()
    assert sandbox.shared_pool()._slots._value == 1 + 1  # type: ignore[attr-defined]
    sandbox.close_pool()
