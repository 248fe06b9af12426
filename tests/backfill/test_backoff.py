"""How often a worker tells of what it waits for."""

import threading

import psycopg
import pytest

from imgvec_pg.backfill import backoff
from imgvec_pg.backfill.backoff import Backoff, loss_told_from_answers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Backoff:
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", (0.0, 0.0))
    return Backoff(threading.Event())


def full(file: int) -> psycopg.Error:
    return psycopg.errors.DiskFull(f'could not extend file "base/1/{file}": No space left on device')


def test_a_full_disk_is_told_once_a_minute_whichever_file_it_meets(
    impatient: Backoff, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient.wait(full(17014))
    impatient.wait(full(16828))
    impatient.renew()
    impatient.wait(full(17014))
    assert caplog.text.count("disk is full") == 1
    monkeypatch.setattr(backoff, "FULL_DISK_LOG_SECONDS", 0.0)
    impatient.wait(full(16828))
    assert caplog.text.count("disk is full") == 2


def test_an_outage_is_told_once_and_anew_after_there_was_success(
    impatient: Backoff, caplog: pytest.LogCaptureFixture
) -> None:
    refused = psycopg.OperationalError("connection refused")
    impatient.wait(refused)
    impatient.wait(refused)
    assert caplog.text.count("connection refused") == 1
    impatient.renew()
    impatient.wait(refused)
    assert caplog.text.count("connection refused") == 2


def test_a_statement_that_takes_too_long_is_not_called_an_outage(
    impatient: Backoff, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
    impatient.wait(cancelled)
    assert "cancelled a statement (canceling" in caplog.text and "lost the connection" not in caplog.text
    monkeypatch.setattr(backoff, "GIVE_UP_AFTER_SECONDS", -1.0)
    with pytest.raises(psycopg.errors.QueryCanceled):
        impatient.wait(cancelled)


def test_answers_that_do_not_belong_together_are_a_lost_connection() -> None:
    with pytest.raises(psycopg.OperationalError, match="received 2 results"), loss_told_from_answers():
        raise psycopg.InternalError("received 2 results from command 'BEGIN'")
    with pytest.raises(psycopg.errors.DataCorrupted), loss_told_from_answers():
        raise psycopg.errors.DataCorrupted("of the server")
