"""What commands say on stderr: each line once, without passwords."""

import json
import logging
from collections.abc import Iterator

import pytest

from imgvec_pg.cli.output.messages import set_up_logs


@pytest.fixture
def root_with_handler(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Do as open_clip does when it is imported, by logging.info(): basicConfig, to the stderr that is captured."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    logging.basicConfig()
    yield
    root.handlers[:] = before


@pytest.mark.usefixtures("root_with_handler")
def test_a_library_s_handler_does_not_repeat_lines_with_their_passwords(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        set_up_logs("json", None)
        logging.getLogger("imgvec_pg.backfill.worker").warning("no postgresql://u:s3cretpw@h/db")
    finally:
        set_up_logs("text", None)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "no postgresql://u:***@h/db"
