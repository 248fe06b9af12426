"""Models of a server that speaks KServe v2, against one on loopback that answers badly.

Real ones are asked by tests/peers/kserve_servers.py.
"""

import base64
from collections.abc import Iterator
from typing import Any

import embedserver
import numpy as np
import pytest
from embedserver import Answer
from kserveserver import KServeServer, kserve_server, opened
from PIL import Image

from imgvec_pg.embedding.light_embedder import LightEmbedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.remote import client
from imgvec_pg.embedding.remote.kserve import kserve_url
from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder
from imgvec_pg.errors import ModelAnswerError, ModelAwayError, ModelError, ModelNotFoundError


@pytest.fixture(autouse=True)
def loopback_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1")
    monkeypatch.delenv("IMGVEC_EMBEDDER_KEY", raising=False)
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def server() -> Iterator[KServeServer]:
    with kserve_server() as serving:
        yield serving


def pictures(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (9, 7), (n * 37 % 256, n * 91 % 256, n * 151 % 256)) for n in range(count)]


def is_right(remote: RemoteEmbedder, count: int = 20, atol: float = 1e-6) -> bool:
    own = LightEmbedder().embed_images(pictures(count))
    return np.allclose(remote.embed_images(pictures(count)), own, atol=atol)


def output(name: str, datatype: str = "FP32", shape: tuple[int, ...] = (-1, 48)) -> Answer:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


@pytest.mark.parametrize("rest", ["", "/", "/v1", "/v2", "/v2/models/test", "/v2/models/test/infer"])
def test_the_protocol_is_found_by_asking_where_ever_the_url_points(server: KServeServer, rest: str) -> None:
    remote = load_embedder(f"http:test@{server.url}{rest}")
    assert isinstance(remote, RemoteEmbedder)
    assert (remote._dialect.name, remote.dimensions, remote.has_text) == ("kserve", 48, False)
    assert is_right(remote)


def test_a_url_of_v2_is_asked_by_kserve_first_and_any_other_by_openai(server: KServeServer) -> None:
    RemoteEmbedder(f"http:test@{server.url}/v2")
    assert server.gets[0] == "/v2/models/test"
    with embedserver.embedding_server() as other:
        assert RemoteEmbedder(other.name.replace("/v1", "/v1/"))._dialect.name == "modality"


def test_raw_bytes_go_behind_the_json_where_the_server_takes_them(server: KServeServer) -> None:
    server.extensions, server.takes = ["statistics", "binary_tensor_data"], "raw"
    remote = RemoteEmbedder(server.name)
    assert remote._dialect.name == "kserve-binary" and is_right(remote)
    # A model behind the same server that wants base64, as many of Triton's do.
    server.takes = "base64"
    remote = RemoteEmbedder(server.name)
    assert remote._dialect.name == "kserve" and is_right(remote)


@pytest.mark.parametrize(("datatype", "atol"), [("FP16", 1e-3), ("FP32", 1e-6), ("FP64", 1e-6)])
@pytest.mark.parametrize("extensions", [[], ["binary_tensor_data"]])
def test_vectors_of_each_datatype_are_read(
    server: KServeServer, datatype: str, atol: float, extensions: list[str]
) -> None:
    server.extensions = extensions
    server.about["test"]["outputs"] = [output("embedding", datatype)]
    assert is_right(RemoteEmbedder(server.name), atol=atol)


def test_a_model_says_how_many_pictures_it_takes_by_refusing_more(server: KServeServer) -> None:
    server.most = 5
    remote = RemoteEmbedder(server.name)
    server.seen.clear()
    assert remote._dialect.images_per_request == 4 and is_right(remote)
    assert max(count for count, _, _ in server.seen) == 4
    server.most = 64
    server.about["test"]["inputs"][0]["shape"] = [1]
    assert RemoteEmbedder(server.name)._dialect.images_per_request == 1


def test_a_server_that_turns_a_batch_round_is_asked_for_one_picture_at_a_time(server: KServeServer) -> None:
    server.fault = turned_round
    remote = RemoteEmbedder(server.name)
    assert remote._dialect.images_per_request == 1 and is_right(remote)


def test_another_order_after_loading_cannot_be_told_from_the_right_one(server: KServeServer) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = turned_round
    found = remote.embed_prepared([remote.prepare_image(picture) for picture in pictures(2)])
    server.fault = None
    # The protocol numbers nothing; this documents what docs/howto/models.md says of it.
    assert np.allclose(
        sorted(map(tuple, found)), sorted(map(tuple, remote.embed_images(pictures(2)))), atol=1e-6
    )


def test_words_are_a_model_of_their_own(server: KServeServer) -> None:
    remote = RemoteEmbedder(f"{server.name}#words=words&query=a%20photo%20of%20{{}}")
    assert remote.has_text
    own = LightEmbedder().embed_texts([f"a photo of {n}" for n in range(70)])
    assert np.allclose(remote.embed_texts([str(n) for n in range(70)]), own, atol=1e-6)
    assert remote.fingerprint != RemoteEmbedder(server.name).fingerprint
    with pytest.raises(ModelAnswerError, match="no text tower"):
        RemoteEmbedder(server.name).embed_texts(["red"])
    with pytest.raises(ModelAnswerError, match=r"answered 404 .* no /models/nope below"):
        RemoteEmbedder(f"{server.name}#words=nope")


def test_one_output_of_two_is_named(server: KServeServer) -> None:
    server.about["test"]["outputs"] = [
        output("first"),
        output("second"),
        output("hidden", shape=(-1, 50, 48)),
    ]
    with pytest.raises(
        ModelNotFoundError, match=r"several outputs .*name one, such as #output=first"
    ) as caught:
        RemoteEmbedder(server.name)
    assert "\n" not in str(caught.value)
    first = RemoteEmbedder(f"{server.name}#output=first")
    second = RemoteEmbedder(f"{server.name}#output=second&input=picture")
    assert is_right(first) and first.fingerprint != second.fingerprint
    moved = np.roll(first.embed_images(pictures(3)), 1, axis=1)
    assert np.allclose(second.embed_images(pictures(3)), moved, atol=1e-6)


def test_a_server_that_describes_nothing_needs_its_input_named(server: KServeServer) -> None:
    server.about["test"].update(inputs=[], outputs=[])
    with pytest.raises(ModelNotFoundError, match=r"lists no inputs of the model; .*#input=NAME"):
        RemoteEmbedder(server.name)
    assert is_right(RemoteEmbedder(f"{server.name}#input=picture"))
    assert server.seen[-1][2]["inputs"][0]["name"] == "picture"


@pytest.mark.parametrize(
    ("about", "rest", "told"),
    [
        (
            {"inputs": [output("pixels", "FP32", (-1, 3, 224, 224))]},
            "",
            r"input pixels \(FP32 .* expected BYTES",
        ),
        ({"inputs": [output("a", "BYTES", (-1, 1))] * 2}, "", "has several inputs; its inputs are a"),
        ({"inputs": [output("grid", "BYTES", (-1, 7))]}, "", r"expected BYTES \[-1\] or \[-1, 1\]"),
        ({}, "#input=words", "has no input words; its inputs are picture"),
        ({"outputs": [output("text", "BYTES")]}, "", "has no output of vectors"),
        ({}, "#output=other", "has no output other; its outputs are embedding"),
        ({"outputs": [output("text", "BYTES")]}, "#output=text", "has the output text .*; expected FP32"),
        ({"outputs": [output("a\nb", "BYTES")] * 9}, "", r"outputs are ab \(BYTES \[-1, 48\]\).*, …"),
        ({"outputs": "many"}, "", 'no list "outputs"'),
        ({"inputs": [{"name": "x"}]}, "", "a tensor without name, datatype and shape"),
    ],
)
def test_models_that_embed_no_files_are_refused_in_one_line(
    server: KServeServer, about: Answer, rest: str, told: str
) -> None:
    server.about["test"].update(about)
    with pytest.raises(ModelNotFoundError, match=told) as caught:
        RemoteEmbedder(server.name + rest)
    assert "\n" not in str(caught.value)


def test_a_model_that_embeds_the_bytes_of_files_is_refused(server: KServeServer) -> None:
    with pytest.raises(ModelNotFoundError, match="it embeds the bytes of a picture's file, not the picture"):
        RemoteEmbedder(f"http:words@{server.url}")


def test_a_model_that_neither_protocol_knows_is_told_once(server: KServeServer) -> None:
    with pytest.raises(ModelAnswerError, match=r"no /embeddings below .*no /models/nope below") as caught:
        RemoteEmbedder(f"http:nope@{server.url}")
    assert "\n" not in str(caught.value)


def test_names_that_only_one_protocol_knows_go_to_that_one(server: KServeServer) -> None:
    with pytest.raises(ModelNotFoundError, match="KServe's protocol has no place for"):
        RemoteEmbedder(f"{server.name}#document=x&output=embedding")
    with pytest.raises(ModelAnswerError, match="no /embeddings below"):
        RemoteEmbedder(f"{server.name}#document=x")
    assert server.gets == []
    assert kserve_url("https://x/serving/a/v1/") == "https://x/serving/a/v2"


def first_output(change: dict[str, Any]) -> embedserver.Fault:
    def fault(_: object, answer: Answer, inputs: object) -> Answer:
        answer["outputs"][0].update(change)
        return answer

    return fault


def turned_round(_: object, answer: Answer, inputs: list[Any]) -> Answer:
    numbers = np.asarray(answer["outputs"][0]["data"]).reshape(len(inputs), -1)
    answer["outputs"][0]["data"] = numbers[::-1].ravel().tolist()
    return answer


def one_too_few(_: object, answer: Answer, inputs: list[Any]) -> Answer:
    only = answer["outputs"][0]
    only["shape"][0] -= 1
    only["data"] = only["data"][: only["shape"][0] * 48]
    return answer


def another_dimension(_: object, answer: Answer, inputs: list[Any]) -> Answer:
    only = answer["outputs"][0]
    only["shape"][1] = 24
    only["data"] = only["data"][: len(inputs) * 24]
    return answer


def nested_with_nothing(_: object, answer: Answer, inputs: list[Any]) -> Answer:
    only = answer["outputs"][0]
    only["data"] = np.asarray(only["data"]).reshape(only["shape"]).tolist()
    only["data"][0] = [None] * 48
    return answer


IN_BASE64 = base64.b64encode(np.ones((4, 48), "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (first_output({"data": IN_BASE64}), "no list of numbers as its output embedding"),
        (first_output({"data": ["0.5"] * 192}), "no list of numbers as its output embedding"),
        (
            first_output({"data": [[0.5] * 48] * 3 + [[0.5] * 47]}),
            "no list of numbers as its output embedding",
        ),
        (first_output({"data": [0.5] * 191}), "gave 191 numbers as embedding .*; expected 4 times 48"),
        (
            first_output({"datatype": "BYTES", "data": [IN_BASE64] * 4}),
            "has the output embedding .BYTES .*expected FP32",
        ),
        (first_output({"name": "other"}), "has no output embedding; its outputs are other"),
        (first_output({"shape": "many"}), "a tensor without name, datatype and shape"),
        (
            first_output({"parameters": {"binary_data_size": 768}}),
            "fewer bytes than its output 'embedding' has",
        ),
        (lambda *_: {"error": "no"}, "has no output embedding; its outputs are none"),
        (lambda *_: [1], 'no list "outputs"'),
        (one_too_few, "gave 3 embeddings for 4 inputs; expected one each"),
        (another_dimension, "24 dimensions; expected 48 as before: its model was changed"),
        (embedserver.no_json, "is not JSON, it begins '<html>Welcome"),
        (
            embedserver.status(401, b'{"error": "no"}'),
            "answered 401 .no.: it wants a key as IMGVEC_EMBEDDER_KEY",
        ),
        (embedserver.status(404, b'{"error": "gone"}'), "answered 404 .gone.: it has no such model"),
        (
            embedserver.status(200, b"{}", Inference_Header_Content_Length="9"),
            "Content-Length '9' and 2 bytes",
        ),
    ],
)
def test_answers_that_are_none_are_the_servers_fault(
    server: KServeServer, fault: embedserver.Fault, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_REQUESTS", "1")
    remote = RemoteEmbedder(server.name)
    server.fault = fault
    with pytest.raises(ModelAnswerError, match=told) as caught:
        remote.embed_images(pictures(4))
    assert "\n" not in str(caught.value)


def test_vectors_that_are_none_come_back_as_they_are_and_their_neighbours_too(server: KServeServer) -> None:
    remote = RemoteEmbedder(server.name)
    server.fault = nested_with_nothing
    remote._client.concurrency = 1
    found = remote.embed_prepared([remote.prepare_image(picture) for picture in pictures(3)])
    assert np.isnan(found[0]).all()
    assert np.allclose(found[1:], LightEmbedder().embed_images(pictures(3))[1:], atol=1e-6)


def test_the_same_rules_of_time_size_and_key_hold(
    server: KServeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_EMBEDDER_KEY", "sk-verysecret")
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    remote = RemoteEmbedder(server.name)
    assert server.seen[0][1]["Authorization"] == "Bearer sk-verysecret"
    server.fault = embedserver.only_at_first(embedserver.status(429, Retry_After="7"), 2)
    assert len(remote.embed_images(pictures(1))) == 1
    assert pauses == [7.0, 7.0]
    server.fault = embedserver.status(503, Retry_After="120")
    with pytest.raises(ModelAwayError, match="answered 503: it says to come again later"):
        remote.embed_images(pictures(1))
    server.fault = embedserver.at_most(2)
    assert is_right(remote, 40)
    server.fault = embedserver.status(413)
    with pytest.raises(ModelError, match="answered 413: the request is too large"):
        remote.embed_images(pictures(1))
    server.fault = embedserver.status(401, b'{"error": "bad key sk-verysecret"}')
    with pytest.raises(ModelAnswerError, match=r"bad key \*\*\*.: it wants another key"):
        remote.embed_images(pictures(1))


def test_a_picture_that_the_model_refuses_is_to_blame(server: KServeServer) -> None:
    remote = RemoteEmbedder(server.name)

    def fault(_: object, answer: Answer, inputs: list[bytes]) -> object:
        colours = [opened(base64.b64decode(each)).getpixel((0, 0)) for each in inputs]
        return (400, b'{"error": "cannot read"}', {}) if (37, 91, 151) in colours else answer

    server.fault = fault
    with pytest.raises(ModelError, match=r"answered 400 .cannot read.") as caught:
        remote.embed_images(pictures(2))
    assert not isinstance(caught.value, ModelAwayError | ModelAnswerError)


def test_a_model_that_changed_is_noticed(server: KServeServer) -> None:
    remote = RemoteEmbedder(server.name)
    server.about["test"]["outputs"].insert(0, output("another"))
    with pytest.raises(
        ModelAnswerError, match="has changed its model test: the same picture embeds to cosine"
    ):
        remote.embed_images(pictures(70))


def test_addresses_that_are_not_public_need_the_operators_word(
    server: KServeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "")
    with pytest.raises(ModelAnswerError, match=r"allow it: IMGVEC_ALLOW_NETWORKS=127.0.0.1"):
        RemoteEmbedder(f"{server.name}/v2")
    assert server.gets == [] and server.seen == []
