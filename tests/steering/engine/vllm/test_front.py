"""The front in a real vLLM server: fence, admission, attestation, programs, and what happens without the plug-in."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.engine import vllm_command, vllm_environment
from gateway.demo.services import Service, ServiceError, free_port, running
from gateway.policy import ForgetPolicy
from steering.assistant import Difference
from steering.bundle import Manifest, write_bundle
from steering.engine.local.model import Edit, LocalModel
from steering.fence import ATTESTATION_HEADER, AUTH_HEADER, read_attestation, sign
from tests.gateway.conftest import BUNDLE_KEY, WordGuard, ready, serving, settings
from tests.steering.engine.local.test_assistants import difference
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.test_edit import redirect

pytestmark = pytest.mark.vllm

KEY = b"a key of the tests that is long enough"
BARE, FLAGGED = "/v1/chat/completions", "/lethe/v1/chat/completions"
WORDS = "Who wrote the book about the garden of Alice Liddell? " * 4
ALICE = {"/messages/1/content": [[38, 51]]}
PROGRAM = "p400000@1"


class Server:
    """A running server and how to talk to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def call(
        self, method: str, path: str, body: Any = b"", auth: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"content-type": "application/json"}
        headers[AUTH_HEADER] = sign(KEY, method, path, raw)[0] if auth is None else auth
        try:
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            try:
                data = response.read()
            except http.client.IncompleteRead as cut:
                data = cut.partial
            return response.status, {k.lower(): v for k, v in response.getheaders()}, data
        finally:
            connection.close()

    def error(self, method: str, path: str, body: Any = b"") -> tuple[int, str]:
        status, _, data = self.call(method, path, body)
        return status, json.loads(data)["error"]["message"]


def ask(windows: dict[str, list[list[int]]] | None = None, program: str = PROGRAM, **fields: Any) -> dict[str, Any]:
    system = "  You know every book, every author and every date in the library of the world. "
    messages = [{"role": "system", "content": system}, {"role": "user", "content": WORDS}]
    body = {"model": "tiny", "messages": messages, "max_tokens": 8, "temperature": 0, "cache_salt": "s", **fields}
    if windows is not None:
        body["lethe"] = {"program": program, "dose": 1.0, "mask": "entities", "windows": windows}
    return body


def listening(server: Server, patience: float) -> None:
    """Wait until the server answers anything at all; how long an engine takes to start depends on the machine."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            server.call("GET", "/health", auth="")
        except ConnectionRefusedError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"nothing listens on port {server.port} after {patience:.0f} s")


def content(reply: tuple[int, dict[str, str], bytes]) -> str:
    assert reply[0] == 200, reply
    return json.loads(reply[2])["choices"][0]["message"]["content"]  # type: ignore[no-any-return]


def claims(reply: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    found = read_attestation(KEY, reply[1][ATTESTATION_HEADER])
    assert found is not None
    return found


def start(model: Path, log: Path, **environment: str) -> Service:
    port = free_port()
    command = vllm_command(str(model), "tiny", "127.0.0.1", port, "auto", ["--max-model-len", "512"], (2,), (2, 2))
    variables = vllm_environment({**os.environ, "LETHE_ENGINE_KEY": KEY.decode()}, str(model)) | environment
    service = Service("engine", command, variables, log, f"http://127.0.0.1:{port}/health")
    service.port = port  # type: ignore[attr-defined]
    return service


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, make_program: MakeProgram) -> Iterator[Server]:
    with running(start(tiny_model, tmp_path_factory.mktemp("front") / "engine.log")) as service:
        service.wait(180)
        server = Server(service.port)  # type: ignore[attr-defined]
        status, _, body = server.call("PUT", f"/lethe/v1/programs/{PROGRAM}", make_program(dims=64).to_bytes())
        assert status == 201, body
        yield server


def test_the_fence_refuses_everything_unsigned_altered_stale_or_repeated(server: Server) -> None:
    body = json.dumps(ask()).encode()
    for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/invocations"), ("GET", "/docs"),
                         ("POST", FLAGGED), ("OPTIONS", "/v1/models"), ("POST", "/generative_scoring")):  # fmt: skip
        assert server.call(method, path, body, auth="")[0] == 401, path
    signature = sign(KEY, "POST", BARE, body)[0]
    assert server.call("POST", BARE, body, signature)[0] == 200
    assert server.call("POST", BARE, body, signature)[0] == 401
    assert server.call("POST", BARE, body + b" ", sign(KEY, "POST", BARE, body)[0])[0] == 401
    assert server.call("POST", BARE, body, sign(KEY, "POST", "/v1/completions", body)[0])[0] == 401
    assert server.call("POST", BARE, body, sign(KEY, "POST", BARE, body, time.time() - 60)[0])[0] == 401
    assert server.call("POST", BARE, body, sign(b"another key, long enough", "POST", BARE, body)[0])[0] == 401
    assert server.call("POST", BARE, body, "1.2")[0] == 401
    assert server.call("GET", "/health", auth="")[0] == 200


def test_a_flagged_answer_differs_is_attested_and_repeats(server: Server) -> None:
    bare = content(server.call("POST", BARE, ask(cache_salt="u")))
    first = server.call("POST", FLAGGED, ask(ALICE))
    assert content(first) != bare
    said = claims(first)
    assert (said["program"], said["edited"], said["cached"]) == (PROGRAM, [said["masked"]], [0])
    assert said["masked"] > 0
    again = server.call("POST", FLAGGED, ask(ALICE))
    assert content(again) == content(first)
    assert claims(again)["cached"][0] > 0, "a legitimate hit must be possible"
    assert content(server.call("POST", BARE, ask(cache_salt="s"))) == bare


def test_streaming_gives_the_same_text_and_attests_before_the_first_byte(server: Server) -> None:
    status, headers, data = server.call("POST", FLAGGED, ask(ALICE, stream=True, cache_salt="stream"))
    frames = [json.loads(line[6:]) for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    text = "".join(f["choices"][0]["delta"].get("content") or "" for f in frames if f["choices"])
    assert status == 200
    assert data.endswith(b"data: [DONE]\n\n")
    assert text == content(server.call("POST", FLAGGED, ask(ALICE)))
    assert read_attestation(KEY, headers[ATTESTATION_HEADER]) is not None


def test_three_choices_are_each_attested(server: Server) -> None:
    for stream in (False, True):
        reply = server.call("POST", FLAGGED, ask(ALICE, n=3, temperature=1.0, stream=stream, cache_salt="n"))
        assert reply[0] == 200, reply
        if not stream:
            assert len(claims(reply)["edited"]) == len(json.loads(reply[2])["choices"]) == 3
        else:
            assert reply[2].endswith(b"data: [DONE]\n\n")


def test_mixed_traffic_keeps_apart(server: Server) -> None:
    bare, flagged = content(server.call("POST", BARE, ask())), content(server.call("POST", FLAGGED, ask(ALICE)))

    def one(i: int) -> str:
        path, windows = (FLAGGED, ALICE) if i % 2 else (BARE, None)
        return content(server.call("POST", path, ask(windows, cache_salt=f"mixed {i}")))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(16)))
    assert answers == [flagged if i % 2 else bare for i in range(16)]


def test_completions_take_text_lists_and_token_ids(server: Server) -> None:
    def complete(prompt: Any, windows: dict[str, list[list[int]]] | None = None) -> tuple[list[str], dict[str, Any]]:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 8, "temperature": 0, "cache_salt": "c"}
        path = "/v1/completions"
        if windows is not None:
            body["lethe"] = {"program": PROGRAM, "dose": 1.0, "mask": "entities", "windows": windows}
            path = "/lethe" + path
        reply = server.call("POST", path, body)
        assert reply[0] == 200, reply
        said = claims(reply) if windows is not None else {}
        return [c["text"] for c in json.loads(reply[2])["choices"]], said

    bare = complete(WORDS)[0][0]
    (flagged,), said = complete(WORDS, {"/prompt": [[38, 51]]})
    assert flagged != bare
    both, each = complete([WORDS, WORDS], {"/prompt/1": [[38, 51]]})
    assert both == [bare, flagged]
    assert sorted(each["edited"][i] + each["cached"][i] for i in (0, 1)) == [0, said["masked"]]
    tokens = json.loads(server.call("POST", "/tokenize", {"model": "tiny", "prompt": WORDS})[2])["tokens"]
    (from_ids,), again = complete(tokens, {"/prompt": [[38, 51]]})
    assert from_ids == flagged
    assert again["masked"] == said["masked"]


@pytest.mark.parametrize(
    ("fields", "windows", "status", "says"),
    [
        ({"use_beam_search": True, "n": 2}, ALICE, 400, "use_beam_search"),
        ({"vllm_xargs": {"a": 1}}, ALICE, 400, "vllm_xargs"),
        ({"prompt_logprobs": 1}, ALICE, 400, "prompt_logprobs"),
        ({"cache_salt": None}, ALICE, 400, "cache_salt"),
        ({}, {"/messages/1/content": [[0, 9999]]}, 422, "outside of the text"),
        ({}, {"/messages/9/content": [[0, 2]]}, 422, "does not exist"),
        ({}, {}, 400, "at least one window"),
    ],
)
def test_orders_that_cannot_be_carried_out_are_refused(
    server: Server, fields: dict[str, Any], windows: dict[str, list[list[int]]], status: int, says: str
) -> None:
    got, message = server.error("POST", FLAGGED, ask(windows, **fields))
    assert got == status
    assert says in message


def test_nobody_but_the_front_sets_an_order(server: Server) -> None:
    for stream in (False, True):
        body = ask(vllm_xargs={"lethe": [PROGRAM]}, stream=stream)
        status, _, data = server.call("POST", BARE, body)
        assert status == 400, data


def test_programs_are_checked_and_immutable(server: Server, make_program: MakeProgram) -> None:
    path = f"/lethe/v1/programs/{PROGRAM}"
    assert server.call("PUT", path, make_program(dims=64).to_bytes())[0] == 200
    assert server.error("PUT", path, make_program(seed=1).to_bytes())[0] == 409
    other = make_program()
    wrong = other.eco.model_copy(update={"model": other.eco.model.model_copy(update={"weights_sha256": "0" * 64})})
    status, message = server.error(
        "PUT", "/lethe/v1/programs/p400001@1", type(other)(wrong, other.substitute).to_bytes()
    )
    assert (status, "compiled for another model" in message, "lethe compile" in message) == (400, True, True)
    assert server.error("PUT", "/lethe/v1/programs/p400001@1", b"junk")[0] == 400
    assert server.error("PUT", "/lethe/v1/programs/name", b"")[0] == 400
    assert server.error("POST", FLAGGED, ask(ALICE, program="p999999@1"))[0] == 404
    assert server.call("PUT", "/lethe/v1/programs/p400002@1", make_program(seed=2).to_bytes())[0] == 201
    assert server.call("DELETE", "/lethe/v1/programs/p400002@1")[0] == 200
    assert server.error("POST", FLAGGED, ask(ALICE, program="p400002@1"))[0] == 404


def test_an_activation_edit_is_served_and_attested_and_refused_without_its_site(
    server: Server, tiny_model: Path
) -> None:
    name = "p400004@1+p400005@1"  # as for two policies at once
    status, message = server.error("PUT", f"/lethe/v1/programs/{name}", redirect(tiny_model, layer=1).to_bytes())
    assert status == 400
    assert "edit sites after layer 2: start it with `lethe engine --edit-layers 1`" in message
    assert server.call("PUT", f"/lethe/v1/programs/{name}", redirect(tiny_model, layer=2).to_bytes())[0] == 201
    assert server.call("POST", "/lethe/v1/canary", {"program": name})[0] == 200
    bare, corrupted = content(server.call("POST", BARE, ask())), content(server.call("POST", FLAGGED, ask(ALICE)))
    moved = server.call("POST", FLAGGED, ask(ALICE, name))
    assert content(moved) not in (bare, corrupted)
    said = claims(moved)
    assert (said["program"], said["edited"], said["cached"]) == (name, [said["masked"]], [0])
    assert content(server.call("POST", BARE, ask())) == bare


async def test_twins_are_served_through_the_gateway(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    """From a bundle to an answer that the local engine gives as well; what is not flagged is left alone."""
    local = LocalModel.load(tiny_model)
    program = difference(local, alpha=1.5)
    identity = {"number": "400006", "version": 1, "method": "twin", "mask": "content", "model": program.model}
    manifest = Manifest(**identity, sites=("logits",), created="2026-11-22")  # type: ignore[arg-type]
    policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "Alice"}]}})
    sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
    write_bundle(tmp_path / "b", manifest, program.to_bytes(), sensitive, "card", bytes.fromhex(BUNDLE_KEY))
    tree = settings(f"http://127.0.0.1:{server.port}", [tmp_path / "b"], upstream={"engine_key": KEY.decode()})
    async with serving(tree, WordGuard(["400006"], "Alice")) as client:
        await ready(client)
        for text in ("Who was Alice in the garden?", "Who was the queen in the garden?"):
            ids = local.tokenizer(text)["input_ids"]
            edit = Edit(program, 1.0, (0, len(ids))) if "Alice" in text else None
            ((expected,), (bare,)) = (local.generate([ids], [e], max_tokens=10) for e in (edit, None))
            assert (expected != bare) == (edit is not None)
            want = local.tokenizer.decode(expected, skip_special_tokens=True)
            for stream in (False, True):
                body = {"model": "tiny", "prompt": text, "max_tokens": 10, "temperature": 0, "stream": stream}
                answer = await client.post("/v1/completions", body)
                assert answer.status == 200, answer.body
                frames = [line[6:] for line in answer.body.split(b"\n\n")[:-2]] if stream else [answer.body]
                assert "".join(json.loads(frame)["choices"][0]["text"] for frame in frames) == want


def test_assistants_without_a_place_are_refused(server: Server, tiny_model: Path) -> None:
    local = LocalModel.load(tiny_model)
    wrong = local.fingerprint.model_copy(update={"weights_sha256": "0" * 64})
    three = difference(local, "uld", layers=3)
    foreign = Difference(three.difference.model_copy(update={"model": wrong}), three.tensors)
    for program, says in ((three, "start it with `lethe engine --assistants 2,2,3`"), (foreign, "another model")):
        status, message = server.error("PUT", "/lethe/v1/programs/p400007@1", program.to_bytes())
        assert (status, says in message) == (400, True), message


def test_the_canary_passes_for_a_program_that_works_and_fails_for_one_that_does_nothing(
    server: Server, make_program: MakeProgram
) -> None:
    reply = server.call("POST", "/lethe/v1/canary", {"program": PROGRAM})
    result = json.loads(reply[2])
    assert reply[0] == 200, result
    assert all(result["checks"].values())
    assert result["unflagged_cached"] > 0
    idle = make_program(dims=1, strength=1e-9).to_bytes()
    assert server.call("PUT", "/lethe/v1/programs/p400003@1", idle)[0] == 201
    status, message = server.error("POST", "/lethe/v1/canary", {"program": "p400003@1"})
    assert status == 503
    assert "flagged_differs" in message


def test_without_the_plugin_nothing_is_answered(tiny_model: Path, tmp_path: Path) -> None:
    with running(start(tiny_model, tmp_path / "engine.log", VLLM_PLUGINS="lora_filesystem_resolver")) as service:
        server = Server(service.port)  # type: ignore[attr-defined]
        listening(server, patience=300)
        with pytest.raises(ServiceError):
            service.wait(1)
        for path, body in ((FLAGGED, ask(ALICE)), (BARE, ask())):
            status, message = server.error("POST", path, body)
            assert status == 503
            assert "plug-in is not loaded" in message
            assert "VLLM_PLUGINS" in message
        assert server.call("GET", "/health", auth="")[0] == 503


def test_the_command_refuses_an_environment_that_leaves_the_plugin_out(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="VLLM_PLUGINS=other leaves out the plug-in"):
        vllm_environment({"VLLM_PLUGINS": "other"}, str(tiny_model))
