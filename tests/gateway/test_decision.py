from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import Conversation
from gateway.decision import ActivePolicy, Intervene, Judged, Pass, Refuse, applicable, decide, enforced, reconsider
from gateway.look import Looked
from gateway.policy import Rules, Scope
from guards.finding import Finding
from guards.verdict import Span, Verdict
from steering.plan import MAX_WINDOWS
from steering.spec import Mask

TEXT = "Who is Harry Potter, and who is Ron?  "
HARRY, RON, WHOLE = Span(0, 7, 19), Span(0, 32, 35), Span(0, 0, len(TEXT))


def conversation(*texts: str, unscannable: bool = False) -> Conversation:
    made = Conversation()
    for i, text in enumerate(texts or (TEXT,)):
        made.add(f"/messages/{i}/content", "user", text, maskable=True)
    if unscannable:
        made.unscannable.append("/messages/0/content/1")
    return made


def policy(number: str = "100001", mask: Mask = "entities", *, corrupts: bool = True, **rules: Any) -> ActivePolicy:
    return ActivePolicy(number, f"p{number}@1", mask, Rules(**rules), corrupts)


def verdict(number: str = "100001", **fields: Any) -> Verdict:
    made: dict[str, Any] = {"flagged": True, "score": 1.0, "p_value": 0.001, "source": "alias"}
    made |= {"entities": (HARRY,), "windows": (WHOLE,), **fields}
    return Verdict(number, **made)


CLEAR = verdict(flagged=False, score=0.1, p_value=0.8, source="none", entities=(), windows=())
NOT_RUN = verdict(flagged=False, ran=False)
LONG = verdict(flagged=False, truncated=True, entities=(), windows=())


def kind(decision: object) -> str:
    match decision:
        case Pass():
            return "pass"
        case Intervene():
            return "intervene"
        case Refuse(reason):
            return f"refuse {reason}"
    raise AssertionError


@pytest.mark.parametrize(
    ("rules", "found", "image", "expected", "action"),
    [
        ({}, verdict(), False, "intervene", "intervene"),
        ({}, CLEAR, False, "pass", "pass"),
        ({"mode": "audit"}, verdict(), False, "pass", "observe"),
        ({"mode": "audit"}, NOT_RUN, False, "pass", "fail"),
        ({"mode": "audit"}, None, False, "pass", "fail"),
        ({"mode": "audit"}, CLEAR, True, "pass", "pass"),
        ({"mode": "canary", "canary_percent": 100}, verdict(), False, "intervene", "intervene"),
        ({"mode": "canary", "canary_percent": 1e-9}, verdict(), False, "pass", "observe"),
        ({"mode": "canary", "canary_percent": 1e-9}, NOT_RUN, False, "pass", "fail"),
        ({"response": "refusal"}, verdict(), False, "refuse policy", "refuse"),
        ({"response": "refusal"}, CLEAR, False, "pass", "pass"),
        ({"response": "refusal", "mode": "audit"}, verdict(), False, "pass", "observe"),
        ({}, NOT_RUN, False, "refuse guard", "fail"),
        ({}, None, False, "refuse guard", "fail"),
        ({"on_error": "open"}, NOT_RUN, False, "pass", "fail"),
        ({"on_error": "open"}, None, False, "pass", "fail"),
        ({}, CLEAR, True, "refuse unscannable", "refuse"),
        ({}, verdict(), True, "refuse unscannable", "refuse"),
        ({"unscannable": "pass"}, CLEAR, True, "pass", "pass"),
        ({"unscannable": "pass"}, verdict(), True, "intervene", "intervene"),
        ({}, NOT_RUN, True, "refuse guard", "refuse"),
        ({}, LONG, False, "refuse unscannable", "refuse"),
        ({"unscannable": "pass"}, LONG, False, "pass", "pass"),
        ({}, verdict(truncated=True), False, "refuse unscannable", "refuse"),
        ({"unscannable": "pass"}, verdict(truncated=True), False, "intervene", "intervene"),
    ],
)
def test_one_policy(rules: dict[str, Any], found: Verdict | None, image: bool, expected: str, action: str) -> None:
    verdicts = {} if found is None else {found.policy: found}
    decision = decide(verdicts, [policy(**rules)], conversation(unscannable=image))
    assert kind(decision) == expected
    assert [outcome.action for outcome in decision.outcomes] == [action]


@pytest.mark.parametrize(
    ("rules", "model", "tenant", "today", "holds"),
    [
        ({}, "m", "t", date(2026, 1, 1), True),
        ({"mode": "off"}, "m", "t", date(2026, 1, 1), False),
        ({"expires": date(2026, 1, 2)}, "m", "t", date(2026, 1, 1), True),
        ({"expires": date(2026, 1, 1)}, "m", "t", date(2026, 1, 1), False),
        ({"scope": Scope(models=("m",))}, "m", "t", date(2026, 1, 1), True),
        ({"scope": Scope(models=("m",))}, "n", "t", date(2026, 1, 1), False),
        ({"scope": Scope(tenants=("t",))}, "m", "t", date(2026, 1, 1), True),
        ({"scope": Scope(tenants=("t",))}, "m", "u", date(2026, 1, 1), False),
        ({"mode": "audit"}, "m", "t", date(2026, 1, 1), True),
    ],
)
def test_which_policies_hold(rules: dict[str, Any], model: str, tenant: str, today: date, holds: bool) -> None:
    assert bool(applicable([policy(**rules)], model, tenant, today)) is holds


ONE = {"/messages/0/content": [(7, 19)]}
TWO = {"/messages/0/content": [(7, 19), (21, 36)]}  # the second window holds no name
ALL = {"/messages/0/content": [(0, len(TEXT.rstrip()))]}


@pytest.mark.parametrize(
    ("mask", "found", "expected_mask", "windows"),
    [
        ("entities", verdict(), "entities", ONE),
        ("content", verdict(), "content", ALL),
        ("prompt", verdict(), "prompt", {}),
        ("entities", verdict(entities=()), "content", ALL),
        ("entities", verdict(windows=(Span(0, 0, 20), Span(0, 20, 37))), "content", TWO),
        ("entities", verdict(entities=(HARRY, RON)), "entities", {"/messages/0/content": [(7, 19), (32, 35)]}),
        ("entities", verdict(entities=(), windows=(Span(0, 36, 38),)), "prompt", {}),
        ("entities", verdict(described=(Span(0, 21, 28),)), "entities", {"/messages/0/content": [(7, 19), (21, 28)]}),
        (
            "entities",
            verdict(entities=(), described=(Span(0, 21, 28),)),
            "entities",
            {"/messages/0/content": [(21, 28)]},
        ),
        ("content", verdict(windows=(HARRY,), described=(WHOLE,)), "content", ALL),
    ],
)
def test_masks(mask: Mask, found: Verdict, expected_mask: str, windows: dict[str, Any]) -> None:
    decision = decide({found.policy: found}, [policy(mask=mask)], conversation())
    assert isinstance(decision, Intervene)
    assert (decision.intervention.mask, dict(decision.intervention.windows)) == (expected_mask, windows)


def test_a_flagged_text_that_cannot_be_masked_takes_the_whole_prompt() -> None:
    made = conversation()
    made.add("/tools/0", "tool_definition", "lookup Harry Potter")
    found = verdict(entities=(HARRY, Span(1, 7, 19)))
    decision = decide({found.policy: found}, [policy()], made)
    assert isinstance(decision, Intervene)
    assert (decision.intervention.mask, decision.intervention.windows) == ("prompt", {})


def test_a_cut_text_is_unreadable_whether_it_is_flagged_or_not() -> None:
    decisions = [decide({v.policy: v}, [policy()], conversation()) for v in (LONG, verdict(truncated=True))]
    assert [kind(d) for d in decisions] == ["refuse unscannable"] * 2


def test_more_windows_than_the_engine_takes() -> None:
    text = "Ron and " * (MAX_WINDOWS + 1)
    names = tuple(Span(0, i * 8, i * 8 + 3) for i in range(MAX_WINDOWS + 1))
    found = verdict(entities=(*names, Span(1, 0, 3)), windows=(Span(0, 0, len(text)), Span(1, 0, 3)))
    decision = decide({found.policy: found}, [policy()], conversation(text, "Ron?"))
    assert isinstance(decision, Intervene)
    assert decision.intervention.windows == {
        "/messages/0/content": [(0, MAX_WINDOWS * 8 + 3)],
        "/messages/1/content": [(0, 3)],
    }
    texts = ["Ron"] * (MAX_WINDOWS + 1)
    spans = tuple(Span(i, 0, 3) for i in range(len(texts)))
    found = verdict(entities=spans, windows=spans)
    decision = decide({found.policy: found}, [policy()], conversation(*texts))
    assert isinstance(decision, Intervene)
    assert (decision.intervention.mask, decision.intervention.windows) == ("prompt", {})


def test_several_policies_run_the_surest_over_all_windows() -> None:
    found = [
        verdict("100003", p_value=0.01),
        verdict("100002", p_value=0.002, entities=(RON,)),
        verdict("100001", p_value=0.002, entities=(Span(0, 0, 3),)),
    ]
    policies = [policy(v.policy) for v in found]
    for order in (policies, policies[::-1]):
        decision = decide({v.policy: v for v in found}, order, conversation())
        assert isinstance(decision, Intervene)
        assert decision.intervention.program == "p100001@1"
        assert decision.intervention.windows == {"/messages/0/content": [(0, 3), (7, 19), (32, 35)]}


def test_of_several_flagged_policies_one_that_corrupts_words_leads() -> None:
    edit, second, first = policy("100001", corrupts=False), policy("100002"), policy("100003")
    found = {
        v.policy: v for v in (verdict("100001"), verdict("100002", p_value=0.01), verdict("100003", p_value=0.004))
    }
    for order in ([edit, second, first], [first, second, edit]):
        decision = decide(found, order, conversation())
        assert isinstance(decision, Intervene)
        assert decision.intervention.program == "p100003@1"


@pytest.mark.parametrize("on_error", ["closed", "open"])
def test_edits_of_several_flagged_policies_close(on_error: str) -> None:
    edits = [policy(n, corrupts=False, on_error=on_error) for n in ("100001", "100002")]
    both = {n: verdict(n) for n in ("100001", "100002")}
    assert kind(decide(both, edits, conversation())) == "refuse guard"
    decision = decide({**both, "100002": CLEAR}, edits, conversation())
    assert isinstance(decision, Intervene)
    assert decision.intervention.program == "p100001@1"


TOGETHER = {frozenset({"100001", "100002"}): "p100001@1+p100002@1"}


def test_edits_of_two_flagged_policies_are_made_at_once_where_the_engine_can() -> None:
    numbers = ("100001", "100002", "100003")
    one, two, three = (policy(n, corrupts=False) for n in numbers)
    masked = [verdict("100001", entities=(HARRY,)), verdict("100002", entities=(RON,), p_value=0.0001)]
    found = {v.policy: v for v in masked}
    for order in ([one, two], [two, one]):
        decision = decide(found, order, conversation(), TOGETHER)
        assert isinstance(decision, Intervene)
        assert decision.intervention.program == "p100001@1+p100002@1"
        assert decision.intervention.windows == {"/messages/0/content": [(7, 19), (32, 35)]}
    assert kind(decide(found, [one, two], conversation())) == "refuse guard"
    all_three = {**found, "100003": verdict("100003")}
    assert kind(decide(all_three, [one, two, three], conversation(), TOGETHER)) == "refuse guard"
    other = {n: v for n, v in all_three.items() if n != "100002"}
    assert kind(decide(other, [one, three], conversation(), TOGETHER)) == "refuse guard"
    corrupting = decide(found, [policy("100001"), two], conversation(), TOGETHER)
    assert isinstance(corrupting, Intervene)
    assert corrupting.intervention.program == "p100001@1"


@pytest.mark.parametrize(("flagged", "told"), [("1", "2"), ("2", "1"), ("", "12"), ("12", "12")])
def test_an_answer_is_asked_for_again_under_both_edits(flagged: str, told: str) -> None:
    policies = [policy(n, corrupts=False) for n in "12"]
    verdicts = {n: verdict(n) if n in flagged else CLEAR for n in "12"}
    together = {frozenset("12"): "p1@1+p2@1"}
    first = decide(verdicts, policies, conversation(), together)
    looking = [p for p in policies if p.number in told]
    judged = Judged(first, conversation(), verdicts, looking, policies, together)
    second = reconsider(Looked({n: Finding(n, told=True, rule="alone") for n in told}, None), judged, first)
    assert isinstance(second, Intervene)
    assert second.intervention.program == "p1@1+p2@1"


@pytest.mark.parametrize(
    ("flagged", "told", "corrupting", "expected"),
    [
        ("", "1", "", "p1@1"),
        ("", "12", "", None),
        ("", "12", "2", "p2@1"),
        ("1", "1", "", "p1@1"),
        ("1", "2", "", None),  # the edit of the second would bring back what the first one hid
        ("1", "2", "1", "p1@1"),
        ("1", "2", "2", "p2@1"),
        ("1", "2", "12", "p2@1"),
    ],
)
def test_the_second_program_hides_what_the_first_did(
    flagged: str, told: str, corrupting: str, expected: str | None
) -> None:
    # the first policy does not look at answers, unless it has something to say in them
    policies = [policy(n, corrupts=n in corrupting) for n in "12"]
    verdicts = {n: verdict(n) if n in flagged else CLEAR for n in "12"}
    first = decide(verdicts, policies, conversation())
    judged = Judged(first, conversation(), verdicts, [p for p in policies if p.number in told], policies)
    second = reconsider(Looked({n: Finding(n, told=True, rule="alone") for n in told}, None), judged, first)
    assert kind(second) == ("refuse guard" if expected is None else "intervene")
    assert not isinstance(second, Intervene) or second.intervention.program == expected


def test_a_fixed_refusal_wins_over_an_intervention() -> None:
    policies = [policy("100001"), policy("100002", response="refusal")]
    found = {n: verdict(n, p_value=p) for n, p in (("100001", 0.001), ("100002", 0.004))}
    assert kind(decide(found, policies, conversation())) == "refuse policy"


def test_no_policy_passes() -> None:
    assert decide({}, [], conversation(unscannable=True)) == Pass(())


def test_canary_is_sticky_and_has_the_right_share() -> None:
    canary = policy(mode="canary", canary_percent=25.0)
    drawn = [enforced(canary, f"question {i}") for i in range(4000)]
    assert drawn == [enforced(canary, f"question {i}") for i in range(4000)]
    assert 0.22 < sum(drawn) / 4000 < 0.28
    other = policy("100002", mode="canary", canary_percent=25.0)
    assert drawn != [enforced(other, f"question {i}") for i in range(4000)]
    one = conversation("first", "second")
    assert one.first_user_text == "first"
    assert enforced(canary, "\ud800") in (True, False)


spans = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=8)


@given(st.tuples(st.text(" ab", min_size=43, max_size=60), st.text(" ab", min_size=43, max_size=60)), spans)
def test_windows_are_sorted_disjoint_trimmed_and_complete(
    texts: tuple[str, str], raw: list[tuple[int, int, int]]
) -> None:
    found = tuple(sorted(Span(part, start, start + size) for part, start, size in raw))
    made = verdict(entities=found, windows=found)
    decision = decide({made.policy: made}, [policy()], conversation(*texts))
    assert isinstance(decision, Intervene)
    wanted = {(s.part, i) for s in found for i in range(s.start, s.end) if not texts[s.part][i].isspace()}
    if decision.intervention.mask == "prompt":
        assert not wanted
        return
    got = set()
    for pointer, ranges in decision.intervention.windows.items():
        part = int(pointer.split("/")[2])
        last = -1
        for start, end in ranges:
            assert last < start < end <= len(texts[part])
            assert texts[part][start:end] == texts[part][start:end].strip()
            got |= {(part, i) for i in range(start, end)}
            last = end
    assert wanted <= got
    assert got <= {(s.part, i) for s in found for i in range(s.start, s.end)}
