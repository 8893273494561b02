"""Flagged requests and programs, through the fence."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import numpy as np
import pytest

from steering.engine.local.model import Edit, LocalModel
from steering.fence import ATTESTATION_HEADER, read_attestation
from tests.steering.engine.local.conftest import KEY, PROGRAM, TEXTS, ask, program


def flagged(text: str, word: str, **change: Any) -> dict[str, Any]:
    at = text.index(word)
    order = {"program": PROGRAM, "dose": 1.0, "mask": "entities"}
    order["windows"] = {"/messages/0/content": [[at, at + len(word)]]}
    settings = {"max_tokens": 8, "temperature": 0, "cache_salt": "s"}
    return {"messages": ask(text), **settings, "lethe": order | change.pop("lethe", {}), **change}


@pytest.mark.parametrize("stream", [False, True])
def test_flagged_chat(gateway: httpx.Client, model: LocalModel, stream: bool) -> None:
    text = "who is class Template really"
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged(text, "Template", stream=stream, n=1))
    assert answer.status_code == 200
    claims = read_attestation(KEY, answer.headers[ATTESTATION_HEADER]) or {}
    nonce, listing = gateway.auth.nonce, gateway.get("/lethe/v1/programs").json()  # type: ignore[union-attr]
    ids = model.chat_ids(text)
    offsets = model.tokenizer(model.tokenizer.decode(ids), return_offsets_mapping=True)["offset_mapping"]
    start = model.tokenizer.decode(ids).index("Template")
    rows = [i for i, (a, b) in enumerate(offsets) if a < start + 8 and b > start]
    assert claims == {
        "nonce": nonce,
        "program": PROGRAM,
        "boot": listing["boot"],
        "table": listing["table"],
        "masked": len(rows),
        "edited": [len(rows)],
        "cached": [0],
    }
    edit = Edit(program(model), 1.0, (rows[0], rows[-1] + 1))
    plain, expected = (
        model.tokenizer.decode(model.generate([ids], [e], max_tokens=8)[0], skip_special_tokens=True)
        for e in (None, edit)
    )
    assert plain != expected
    if stream:
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert "".join(delta["content"] for delta in deltas) == expected
    else:
        assert answer.json()["choices"][0]["message"]["content"] == expected


Said = tuple[list[str], dict[str, Any]]


def complete(gateway: httpx.Client, prompt: Any, windows: dict[str, list[list[int]]], **change: Any) -> Said:
    """Texts of the answers to a flagged completion, and what was attested."""
    lethe = {"program": PROGRAM, "dose": 1.0, "mask": change.pop("mask", "entities"), "windows": windows}
    body = {"prompt": prompt, "max_tokens": 8, "temperature": 0, "cache_salt": "s", "lethe": lethe, **change}
    answer = gateway.post("/lethe/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    claims = read_attestation(KEY, answer.headers[ATTESTATION_HEADER]) or {}
    if not change.get("stream"):
        return [choice["text"] for choice in answer.json()["choices"]], claims
    texts = [""] * len(claims["edited"])
    for event in answer.text.split("\n\n")[:-2]:
        for choice in json.loads(event.removeprefix("data: "))["choices"]:
            texts[choice["index"]] += choice["text"]
    return texts, claims


def expected(model: LocalModel, ids: list[int], *spans: int) -> str:
    edit = Edit(program(model), 1.0, spans) if spans else None
    text = str(model.tokenizer.decode(model.generate([ids], [edit], max_tokens=8)[0], skip_special_tokens=True))
    return text.rstrip("\ufffd")  # the beginning of a character at the very end never leaves the server


@pytest.fixture
def fox(model: LocalModel, batch: list[list[int]]) -> tuple[int, ...]:
    """The window of a word in the last of the texts, and the tokens that it touches."""
    start = TEXTS[3].index("fox")
    offsets = model.tokenizer(TEXTS[3], return_offsets_mapping=True)["offset_mapping"]
    rows = [i for i, (a, b) in enumerate(offsets) if a < start + 3 and b > start]
    assert 0 < len(rows) < len(batch[3]) - 1
    return start, start + 3, rows[0], rows[-1] + 1


@pytest.mark.parametrize("stream", [False, True])
def test_one_prompt_as_text_and_as_token_ids(
    gateway: httpx.Client, model: LocalModel, batch: list[list[int]], fox: tuple[int, ...], stream: bool
) -> None:
    start, end, first, last = fox
    text = expected(model, batch[3], first, last)
    assert text != expected(model, batch[3])
    for prompt, pointer in ((TEXTS[3], ""), ([TEXTS[3]], "/0"), (batch[3], ""), ([batch[3]], "/0")):
        said, claims = complete(gateway, prompt, {f"/prompt{pointer}": [[start, end]]}, stream=stream)
        assert said == [text]
        assert (claims["masked"], claims["edited"], claims["cached"]) == (last - first, [last - first], [0])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("as_ids", [False, True])
def test_several_prompts_of_which_some_are_edited(
    gateway: httpx.Client, model: LocalModel, batch: list[list[int]], fox: tuple[int, ...], stream: bool, as_ids: bool
) -> None:
    start, end, first, last = fox
    prompts: list[Any] = [batch[3], batch[0], batch[3]] if as_ids else [TEXTS[3], TEXTS[0], TEXTS[3]]
    windows = {"/prompt/1": [[0, len(TEXTS[0])]], "/prompt/2": [[start, end]]}
    said, claims = complete(gateway, prompts, windows, stream=stream)
    whole = len(batch[0])
    assert said == [
        expected(model, batch[3]),
        expected(model, batch[0], 0, whole),
        expected(model, batch[3], first, last),
    ]
    assert claims["edited"] == [0, whole, last - first]
    assert claims["masked"] == whole + last - first
    assert claims["cached"] == [0, 0, 0]


def test_every_choice_of_every_prompt_is_attested(
    gateway: httpx.Client, batch: list[list[int]], fox: tuple[int, ...]
) -> None:
    size = fox[3] - fox[2]
    settings: dict[str, Any] = {"n": 2, "temperature": 1.0, "seed": 3}
    both, claims = complete(gateway, batch[2:], {"/prompt/1": [list(fox[:2])]}, **settings)
    assert (claims["masked"], claims["edited"], claims["cached"]) == (size, [0, 0, size, size], [0] * 4)
    assert both[2:] == complete(gateway, batch[3], {"/prompt": [list(fox[:2])]}, **settings)[0]
    assert both[2] != both[3]


def test_every_token_is_edited_where_a_character_is_split(gateway: httpx.Client, model: LocalModel) -> None:
    text = "what is \U0001f40b here"
    ids = model.tokenizer(text)["input_ids"]
    assert "".join(model.tokenizer.decode([i]) for i in ids) != text
    decoded = gateway.post("/detokenize", json={"tokens": ids}).json()["prompt"]
    at = decoded.index("here")
    said, claims = complete(gateway, ids, {"/prompt": [[at, at + 4]]})
    assert claims["edited"] == [len(ids)]
    assert said == [expected(model, ids, 0, len(ids))]


def test_mask_prompt_takes_all_tokens_of_every_prompt(
    gateway: httpx.Client, model: LocalModel, batch: list[list[int]]
) -> None:
    rows = [batch[3], batch[0]]
    sizes = [len(ids) for ids in rows]
    texts = [expected(model, ids, 0, size) for ids, size in zip(rows, sizes, strict=True)]
    for prompt in (rows, [TEXTS[3], TEXTS[0]]):
        said, claims = complete(gateway, prompt, {}, mask="prompt")
        assert said == texts
        assert (claims["masked"], claims["edited"]) == (sum(sizes), sizes)
    assert complete(gateway, TEXTS[3], {}, mask="prompt")[0] == texts[:1]


@pytest.mark.parametrize(
    ("prompt", "lethe", "status", "problem"),
    [
        (["import os", "x"], {"windows": {"/prompt/2": [[0, 1]]}}, 422, "/prompt/2 is not a prompt"),
        (["import os", "x"], {"windows": {"/prompt": [[0, 1]]}}, 422, "/prompt is not a prompt"),
        ("import os", {"windows": {"/prompt/0": [[0, 1]]}}, 422, "/prompt/0 is not a prompt"),
        (["import os", "x"], {"windows": {"/prompt/1": [[0, 2]]}}, 422, "outside of the text"),
        ([40, 41], {"windows": {"/prompt": [[0, 99]]}}, 422, "outside of the text"),
        ([40, 99999], {"windows": {"/prompt": [[0, 1]]}}, 400, "vocabulary"),
        ([40, -1], {"windows": {"/prompt": [[0, 1]]}}, 400, "vocabulary"),
        ([[40], []], {"windows": {"/prompt/0": [[0, 1]]}}, 400, "no tokens"),
        ([], {"windows": {"/prompt": [[0, 1]]}}, 400, "no tokens"),
    ],
)
def test_completions_that_cannot_be_edited_are_an_error(
    gateway: httpx.Client, prompt: Any, lethe: dict[str, Any], status: int, problem: str
) -> None:
    order = {"program": PROGRAM, "dose": 1.0, "mask": "entities", **lethe}
    body = {"prompt": prompt, "max_tokens": 2, "cache_salt": "s", "lethe": order}
    answer = gateway.post("/lethe/v1/completions", json=body)
    assert answer.status_code == status
    assert problem in answer.json()["error"]["message"]
    assert ATTESTATION_HEADER not in answer.headers


def test_answers_are_withheld_when_one_of_the_edits_did_not_happen(
    gateway: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = LocalModel.embed

    def forgetful(self: LocalModel, ids: list[int], edit: Edit | None = None) -> Any:
        return embed(self, ids, None if len(ids) > 3 else edit)

    monkeypatch.setattr(LocalModel, "embed", forgetful)
    windows = {"/prompt/0": [[0, 6]], "/prompt/1": [[0, 6]]}
    order = {"program": PROGRAM, "dose": 1.0, "mask": "entities", "windows": windows}
    for stream in (False, True):
        body = {"prompt": [TEXTS[0], TEXTS[3]], "cache_salt": "s", "lethe": order, "stream": stream}
        answer = gateway.post("/lethe/v1/completions", json=body)
        assert answer.status_code == 500
        assert "withheld" in answer.json()["error"]["message"]


def test_chat_with_the_whole_prompt_masked(gateway: httpx.Client, model: LocalModel) -> None:
    ids = model.chat_ids("who is Template")
    change = {"lethe": {"mask": "prompt", "windows": {}}}
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged("who is Template", "Template", **change))
    assert answer.json()["choices"][0]["message"]["content"] == expected(model, ids, 1, len(ids) - 1)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"lethe": {"program": "p999999@1"}}, 404),
        ({"lethe": {"windows": {}}}, 400),
        ({"lethe": {"windows": {"/messages/7/content": [[0, 2]]}}}, 422),
        ({"lethe": {"windows": {"/user": [[0, 2]]}}, "user": "me"}, 422),
        ({"lethe": {"dose": 17}}, 400),
        ({"lethe": {"extra": 1}}, 400),
        ({"cache_salt": None}, 400),
        ({"echo": True}, 400),
    ],
)
def test_what_cannot_be_edited_is_an_error(gateway: httpx.Client, change: dict[str, Any], status: int) -> None:
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged("who is Template", "Template", **change))
    assert answer.status_code == status
    assert "choices" not in answer.json()
    assert ATTESTATION_HEADER not in answer.headers


def test_edit_that_did_not_happen_is_withheld(gateway: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = LocalModel.embed
    monkeypatch.setattr(LocalModel, "embed", lambda self, ids, edit=None: embed(self, ids))
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged("who is Template", "Template"))
    assert answer.status_code == 500
    assert "withheld" in answer.json()["error"]["message"]


def test_programs(gateway: httpx.Client, model: LocalModel) -> None:
    data = program(model, strength=0.5).to_bytes()
    path = "/lethe/v1/programs/p777777@2"
    assert [gateway.put(path, content=data).status_code for _ in range(2)] == [201, 200]
    listing = gateway.get("/lethe/v1/programs").json()
    assert listing["ready"] is True
    assert listing["model"] == model.fingerprint.model_dump()
    assert listing["programs"]["p777777@2"] == {
        "digest": hashlib.sha256(data).hexdigest(),
        "generation": listing["table"],
    }
    assert gateway.put(path, content=program(model).to_bytes()).status_code == 409
    assert gateway.post("/lethe/v1/canary", json={"program": "p777777@2"}).json() == {"ok": True}
    assert gateway.delete(path).status_code == 200
    assert gateway.delete(path).status_code == gateway.get(path).status_code == 404
    assert gateway.post("/lethe/v1/canary", json={"program": "p777777@2"}).status_code == 404


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weights_sha256": "0" * 64}, "another model, weights_sha256"),
        ({"dtype": "bfloat16"}, "another model, dtype"),
        ({"hidden_size": 512}, "substitute"),
    ],
)
def test_program_of_another_model_is_refused(
    gateway: httpx.Client, model: LocalModel, change: dict[str, Any], problem: str
) -> None:
    answer = gateway.put("/lethe/v1/programs/p777777@3", content=program(model, **change).to_bytes())
    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]


def test_program_with_an_infinity_is_refused(gateway: httpx.Client, model: LocalModel) -> None:
    bad = program(model)
    bad.substitute[3] = np.inf
    answer = gateway.put("/lethe/v1/programs/p777777@4", content=bad.to_bytes())
    assert answer.status_code == 400
    assert "finite" in answer.json()["error"]["message"]
    assert "p777777@4" not in gateway.get("/lethe/v1/programs").json()["programs"]
