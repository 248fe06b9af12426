"""Models of a server, http:NAME@URL, against servers on loopback: a real process of the example, and one that answers badly."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import embedserver
import numpy as np
import pytest
from embedserver import FaultyServer, embedding_server
from PIL import Image

from imgvec_pg.embedding.catalog import describe_known, describe_model
from imgvec_pg.embedding.golden import GOLDEN_TEXTS, golden_images
from imgvec_pg.embedding.light_embedder import LightEmbedder
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.embedding.remote import client
from imgvec_pg.embedding.remote.client import retry_after_seconds
from imgvec_pg.embedding.remote.connection import NotFoundError
from imgvec_pg.embedding.remote.dialects import api_urls
from imgvec_pg.embedding.remote.model_name import parse_remote
from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder, fingerprint_of
from imgvec_pg.errors import ModelAnswerError, ModelAwayError, ModelError, ModelNotFoundError, UsageError

SERVE = Path(__file__).parents[2] / "examples" / "embedding_server" / "serve.py"


@pytest.fixture(autouse=True)
def loopback_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1")
    monkeypatch.delenv("IMGVEC_EMBEDDER_KEY", raising=False)
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with embedding_server() as serving:
        yield serving


def pictures(count: int) -> list[Image.Image]:
    """Return pictures of different colours."""
    return [
        Image.new("RGB", (9, 7), (place * 37 % 256, place * 91 % 256, place * 151 % 256))
        for place in range(count)
    ]


def process(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(SERVE), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SERVE.parents[2]), **environment},
    )


def url_of(serving: "subprocess.Popen[str]") -> str:
    assert serving.stdout is not None
    return serving.stdout.readline().split(" at ")[1].strip()


def end(serving: "subprocess.Popen[str]") -> None:
    serving.terminate()
    serving.wait()
    assert serving.stdout is not None
    serving.stdout.close()


def test_a_real_server_gives_the_demo_models_own_vectors() -> None:
    serving = process("--model", "demo")
    try:
        remote, local = load_embedder(f"http:demo@{url_of(serving)}"), load_embedder("demo", device="cpu")
        assert (remote.dimensions, remote.has_text) == (local.dimensions, True)
        assert (remote.embed_images(golden_images()) * local.embed_images(golden_images())).sum(
            axis=1
        ).min() > 0.9999
        assert (remote.embed_texts(GOLDEN_TEXTS) * local.embed_texts(GOLDEN_TEXTS)).sum(axis=1).min() > 0.9999
    finally:
        end(serving)


def test_a_real_server_wants_its_key_and_smaller_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = process("--model", "test", "--key-from", "OURS", "--max-inputs", "3", OURS="s3cret-key")
    try:
        name = f"http:test@{url_of(serving)}"
        with pytest.raises(ModelAnswerError, match=r"answered 401 .*it wants a key as IMGVEC_EMBEDDER_KEY"):
            load_embedder(name)
        monkeypatch.setenv("IMGVEC_EMBEDDER_KEY", "wrong")
        with pytest.raises(ModelAnswerError, match="it wants another key"):
            load_embedder(name)
        monkeypatch.setenv("IMGVEC_EMBEDDER_KEY", "s3cret-key")
        remote = load_embedder(name)
        assert np.allclose(
            remote.embed_images(pictures(50)), LightEmbedder().embed_images(pictures(50)), atol=1e-6
        )
        assert "s3cret-key" not in remote.name + remote.fingerprint
    finally:
        end(serving)


@pytest.mark.parametrize("dialect", ["modality", "objects", "messages"])
def test_each_way_to_send_pictures_is_found(dialect: str) -> None:
    with embedding_server(dialect) as server:
        remote = RemoteEmbedder(server.name)
        assert (remote._dialect.name, remote.dimensions, remote.has_text) == (dialect, 48, True)
        assert np.allclose(
            remote.embed_images(pictures(5)), LightEmbedder().embed_images(pictures(5)), atol=1e-6
        )
        words = ["red", "white and blue"]
        assert np.allclose(remote.embed_texts(words), LightEmbedder().embed_texts(words), atol=1e-6)


def test_a_server_without_v1_is_found_as_infinity_has_it() -> None:
    with embedding_server() as server:
        server.below = ""
        remote = RemoteEmbedder(server.name)
        assert np.allclose(
            remote.embed_images(pictures(5)), LightEmbedder().embed_images(pictures(5)), atol=1e-6
        )
        # A path that is given is taken as it is.
        with pytest.raises((NotFoundError, ModelNotFoundError)):
            RemoteEmbedder(f"{server.name}/v1")


def test_a_server_that_embeds_the_text_of_data_urls_is_refused() -> None:
    with embedding_server("text") as server, pytest.raises(ModelNotFoundError) as caught:
        RemoteEmbedder(server.name)
    assert "it embeds the text of a picture's data URL, not the picture" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prompts_go_with_words_and_pictures() -> None:
    with embedding_server("messages") as server:
        remote = RemoteEmbedder(f"{server.name}#query=a%20photo%20of%20{{}}&document=Represent%20it.")
        remote.embed_texts(["red"])
        assert server.seen[-1][2]["input"] == ["a photo of red"]
        remote.embed_images(pictures(1))
        asked = next(asked for _, _, asked in reversed(server.seen) if "messages" in asked)
        assert asked["messages"][0]["content"][1] == {"type": "text", "text": "Represent it."}
        assert remote.fingerprint != RemoteEmbedder(server.name).fingerprint


def test_requests_are_bounded_and_several_at_once(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_REQUESTS", "3")
    remote = RemoteEmbedder(server.name)
    server.seen.clear()
    # No answer before a second request is there: else a fast server meets them one by one.
    server.fault = lambda server, answer, inputs: (server.wait_for_company(30), answer)[1]
    remote.embed_images(pictures(60))
    counts = [count for count, _, _ in server.seen]
    assert max(counts) <= 16 and sum(counts) >= 60
    assert 1 < server.most_at_once <= 3


@pytest.mark.parametrize("fault", [embedserver.as_base64, embedserver.in_another_order])
def test_what_the_protocol_allows_is_read(server: FaultyServer, fault: embedserver.Fault) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = fault
    assert np.allclose(
        remote.embed_images(pictures(30)), LightEmbedder().embed_images(pictures(30)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (embedserver.one_too_few, "expected one each"),
        (embedserver.an_index_twice, "(numbers its|gave) .* embeddings"),
        (embedserver.another_dimension, "24 dimensions; expected 48 as before: its model was changed"),
        (embedserver.no_json, "is not JSON, it begins '<html>Welcome"),
        (
            embedserver.status(401, b'{"error": {"message": "no"}}'),
            "answered 401 .no.: it wants a key as IMGVEC_EMBEDDER_KEY",
        ),
        (
            embedserver.status(404, b'{"detail": "unknown model"}'),
            "answered 404 .unknown model.: it has no such model",
        ),
        (embedserver.status(307, Location="http://127.0.0.1:1/"), "it redirects, which is not followed"),
        (lambda *_: {"data": "many"}, 'has no list "data"'),
        (lambda *_: {"data": [{"embedding": "!"}] * 4}, "(gave 4|neither a list)"),
    ],
)
def test_answers_that_are_none_are_the_servers_fault(
    server: FaultyServer, fault: embedserver.Fault, told: str
) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = fault
    with pytest.raises(ModelAnswerError, match=told) as caught:
        remote.embed_images(pictures(4))
    assert "\n" not in str(caught.value)


def test_too_large_a_request_is_halved_until_it_fits(server: FaultyServer) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = embedserver.at_most(2)
    assert np.allclose(
        remote.embed_images(pictures(40)), LightEmbedder().embed_images(pictures(40)), atol=1e-6
    )
    assert {count for count, _, _ in server.seen if count <= 2} >= {1, 2}
    server.fault = embedserver.status(413)
    with pytest.raises(ModelError, match="answered 413: the request is too large"):
        remote.embed_images(pictures(1))


def test_later_is_heeded(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    remote = RemoteEmbedder(server.name)
    server.fault = embedserver.only_at_first(embedserver.status(429, Retry_After="7"), 2)
    assert len(remote.embed_images(pictures(1))) == 1
    assert pauses == [7.0, 7.0]
    # Longer than a request should wait: the worker does.
    pauses.clear()
    server.fault = embedserver.status(503, b'{"error": "loading"}', Retry_After="120")
    with pytest.raises(ModelAwayError, match=r"answered 503 .loading.: it says to come again later"):
        remote.embed_images(pictures(1))
    assert pauses == []


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429, 408])
def test_a_server_that_fails_now_and_then_is_asked_again(server: FaultyServer, code: int) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = embedserver.only_at_first(embedserver.status(code), 3)
    assert len(remote.embed_images(pictures(1))) == 1
    server.fault = embedserver.status(code)
    with pytest.raises(ModelAwayError, match=f"answered {code}"):
        remote.embed_images(pictures(1))


def test_a_picture_that_the_server_refuses_is_to_blame_and_its_neighbours_are_not(
    server: FaultyServer,
) -> None:
    remote = RemoteEmbedder(server.name)

    def fault(_: FaultyServer, answer: embedserver.Answer, inputs: list[str]) -> object:
        is_bad = any(embedserver.picture(url).getpixel((0, 0)) == (37, 91, 151) for url in inputs)
        return (400, b'{"detail": "cannot read picture"}', {}) if is_bad else answer

    server.fault = fault
    with pytest.raises(ModelError, match=r"answered 400 .cannot read picture") as caught:
        remote.embed_images(pictures(2))
    assert not isinstance(caught.value, ModelAwayError | ModelAnswerError)


def test_a_server_that_is_slow_or_gone_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_SECONDS", "1")
    monkeypatch.setattr(client, "TRIES", 1)
    with embedding_server() as server:
        remote = RemoteEmbedder(server.name)
        server.fault = embedserver.slow
        with pytest.raises(ModelAwayError, match="did not answer within 1 s"):
            remote.embed_images(pictures(1))
    with pytest.raises(ModelAwayError, match="cannot be reached"):
        remote.embed_images(pictures(1))


def test_a_kept_connection_that_was_closed_is_opened_again(server: FaultyServer) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = embedserver.status(200, b"", Connection="close")
    with pytest.raises(ModelAnswerError):
        remote.check()
    server.fault = None
    remote.check()


def test_a_model_that_changed_is_noticed(server: FaultyServer) -> None:
    remote = RemoteEmbedder(server.name)
    remote.embed_images(pictures(3))
    server.fault = embedserver.another_model
    with pytest.raises(
        ModelAnswerError, match="has changed its model test: the same picture embeds to cosine"
    ):
        remote.embed_images(pictures(70))


def test_vectors_that_are_none_come_back_as_they_are(server: FaultyServer) -> None:
    remote = RemoteEmbedder(server.name)

    def fault(_: FaultyServer, answer: embedserver.Answer, inputs: list[str]) -> embedserver.Answer:
        answer["data"][0]["embedding"] = [None] * 48
        return answer

    server.fault = fault
    found = remote.embed_prepared([remote.prepare_image(picture) for picture in pictures(2)])
    assert np.isnan(found[0]).all()
    with pytest.raises(ModelAnswerError, match="zero or not finite"):
        remote.embed_texts(["red"])


def test_addresses_that_are_not_public_need_the_operators_word(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "")
    with pytest.raises(ModelAnswerError, match=r"allow it: IMGVEC_ALLOW_NETWORKS=127.0.0.1"):
        RemoteEmbedder(server.name)
    assert server.seen == []


def test_the_key_is_sent_and_never_told(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_KEY", "sk-verysecret")
    remote = RemoteEmbedder(server.name)
    assert server.seen[0][1]["Authorization"] == "Bearer sk-verysecret"
    server.fault = embedserver.status(401, b'{"error": {"message": "bad key sk-verysecret"}}')
    with pytest.raises(ModelAnswerError) as caught:
        remote.embed_images(pictures(1))
    assert "sk-verysecret" not in str(caught.value) and "bad key ***" in str(caught.value)


def test_the_server_may_be_elsewhere_from_here(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_URL", server.name.partition("@")[2])
    remote = RemoteEmbedder("http:test@https://embed.example.com/v1")
    assert remote.name == "http:test@https://embed.example.com/v1"
    assert remote.fingerprint == fingerprint_of(parse_remote("http:test@http://another.example.com"), 48)


def test_large_pictures_are_shrunk_and_small_ones_are_sent_as_they_are(server: FaultyServer) -> None:
    remote = RemoteEmbedder(server.name)
    assert embedserver.picture(remote.prepare_image(Image.new("RGB", (3000, 1500)))).size == (1536, 768)
    assert embedserver.picture(remote.prepare_image(Image.new("RGB", (9000, 900)))).size == (4096, 410)
    assert embedserver.picture(remote.prepare_image(Image.new("RGB", (640, 480)))).size == (640, 480)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("http:", "names no model of a server"),
        ("http:clip", "names no model of a server"),
        ("http:clip@ftp://x", "names no model of a server"),
        ("http:clip@https://ann:pw@x/v1", "has a password or a query in it"),
        ("http:clip@https://x/v1?key=1", "has a password or a query in it"),
        ("http:clip@https://x:0/v1", "has no host"),
        ("http:clip@https://x:99999/v1", "cannot be understood"),
        ("http:clip@https://x/v1#query=words", "without a place for the words"),
        ("http:clip@https://x/v1#pixels=9", "has pixels"),
    ],
)
def test_names_that_are_none_are_refused_before_any_request(name: str, told: str) -> None:
    with pytest.raises(ModelNotFoundError, match=told) as caught:
        describe_model(name)
    assert "pw" not in str(caught.value).replace("password", "")
    with pytest.raises(ModelNotFoundError):
        describe_known(name)


def test_names_are_taken_apart() -> None:
    named = parse_remote("http:openai/clip-vit@https://embed.example.com:8443/api/v1/#query=find%20{}")
    assert (named.model, named.url, named.query) == (
        "openai/clip-vit",
        "https://embed.example.com:8443/api/v1",
        "find {}",
    )
    assert api_urls("https://x") == ["https://x/v1", "https://x"]
    assert api_urls("https://x/v2/embeddings") == ["https://x/v2"]
    assert describe_known("http:clip@https://x/v1") is None
    check_loadable("http:clip@https://x/v1")


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, 5.0), ("12", 12.0), ("soon", 5.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)]
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, 5.0) == seconds


def test_settings_out_of_range_are_refused(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_REQUESTS", "0")
    with pytest.raises(UsageError, match="IMGVEC_EMBEDDER_REQUESTS"):
        RemoteEmbedder(server.name)
