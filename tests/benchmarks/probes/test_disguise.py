"""Disguised questions are still the plain ones."""

from __future__ import annotations

import base64
import codecs
import html
import json
import random
from collections.abc import Mapping
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from benchmarks.probes.codes import CODES, MORSE, WRAPS, atbash, frame
from benchmarks.probes.languages import IN_ENGLISH, LATIN, OTHER_SCRIPTS
from benchmarks.probes.scripts import transliterate
from benchmarks.probes.spec import Probe
from benchmarks.probes.spelling import LEET, LOOK_ALIKES, ZERO_WIDTH, in_surname, typo, typos
from benchmarks.worlds.templates import nominal, verbal
from benchmarks.worlds.vocabulary import ATTRIBUTES
from benchmarks.worlds.world import World
from tests.benchmarks.probes.texts import body_after, last


@pytest.mark.parametrize("name", ["base64", "base64_name"])
def test_base64(made: Mapping[str, tuple[Probe, ...]], world: World, name: str) -> None:
    for one in made[name]:
        run = body_after(one) if name == "base64" else last(one).partition("base64: ")[2].partition(")")[0]
        original = one.item.question if name == "base64" else world.authors[one.item.author].name
        assert base64.b64decode(run, validate=True).decode() == original


def test_codes_decode_to_the_plain_question(made: Mapping[str, tuple[Probe, ...]]) -> None:
    letters = {code: letter for letter, code in MORSE.items()}
    decode = {
        "base64": lambda t: base64.b64decode(t).decode(),
        "base32": lambda t: base64.b32decode(t).decode(),
        "rot13": lambda t: codecs.decode(t, "rot13"),
        "atbash": atbash,
        "hex": lambda t: bytes.fromhex(t).decode(),
        "binary": lambda t: bytes(int(bits, 2) for bits in t.split()).decode(),
        "charcodes": lambda t: "".join(chr(int(code)) for code in t.split()),
        "reversed": lambda t: t[::-1],
        "percent": unquote,
        "html_entities": html.unescape,
        "unicode_escapes": lambda t: json.loads(f'"{t}"'),
        "morse": lambda t: " ".join("".join(letters[c] for c in word.split()) for word in t.split(" / ")),
        "unicode_tags": lambda t: "".join(chr(ord(c) - 0xE0000) for c in t),
    }
    assert set(decode) == set(CODES)
    for name, back in decode.items():
        for one in made[name]:
            assert last(one).startswith(frame(CODES[name][0]))
            assert one.item.question not in last(one)
            plain = one.item.question.lower() if name == "morse" else one.item.question
            assert back(body_after(one)) == plain, name


def test_wraps_hold_the_plain_question(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for one in made["json_wrap"]:
        assert json.loads(last(one))["input"]["question"] == one.item.question
    for one in made["xml_wrap"]:
        assert ET.fromstring(last(one)).findtext("question") == one.item.question  # noqa: S314
    for one in made["html_wrap"]:
        assert html.unescape(last(one)).count(one.item.question) == 1
    for one in made["code_wrap"]:
        assert json.loads(last(one).partition("question = ")[2].partition("\n")[0]) == one.item.question
    assert WRAPS["xml_wrap"]("a < b & c").count("<question>a &lt; b &amp; c</question>") == 1


def test_disguised_names_can_be_undone(made: Mapping[str, tuple[Probe, ...]]) -> None:
    shapes = {cyrillic: latin for latin, cyrillic in LOOK_ALIKES.items()}
    signs = {digit: letter for letter, digit in LEET.items()}
    for one in made["homoglyph"]:
        assert not one.question.isascii()
        assert "".join(shapes.get(c, c) for c in one.question) == one.item.question
    for one in made["zero_width"]:
        assert one.question.replace(ZERO_WIDTH, "") == one.item.question
    for name in ("spaced", "hyphens"):
        for one in made[name]:
            squeezed = one.question.replace(" ", "").replace("-", "")
            assert squeezed == one.item.question.replace(" ", "")
    for one in made["leet"]:
        assert "".join(signs.get(c, c) for c in one.question).lower() == one.item.question.lower()
    for one in made["pieces"]:
        given, _, question = one.question.removeprefix("Let ").partition(". ")
        pieces = dict(pair.split(" = ") for pair in given.split(", "))
        joined = "".join(json.loads(piece) for piece in pieces.values())
        assert question.replace(" + ".join(pieces), joined) == one.item.question
    for one in made["cut_parts"]:
        assert "".join(part["text"] for part in one.steps[0]["messages"][0]["content"]) == one.item.question


def test_typos_are_so_many_edits(world: World) -> None:
    def distance(a: str, b: str) -> int:
        """Edits with swaps of neighbours (optimal string alignment)."""
        rows = [list(range(len(b) + 1))]
        for i in range(1, len(a) + 1):
            row = [i]
            for j in range(1, len(b) + 1):
                best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1]))
                if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                    best = min(best, rows[-2][j - 2] + 1)
                row.append(best)
            rows.append(row)
        return rows[-1][-1]

    surnames = {author.name.split()[-1] for author in world.authors}
    for author in world.split("forget"):
        first, own = author.name.split()
        for draw in range(5):
            once = in_surname(author.name, typo, random.Random(draw))
            twice = in_surname(author.name, typos, random.Random(draw))
            assert distance(once, author.name) == 1, once
            assert 1 <= distance(twice, author.name) <= 2, twice
            assert once.split()[0] == twice.split()[0] == first
            assert not {once.split()[-1], twice.split()[-1]} & surnames, own
    with pytest.raises(ValueError, match="no word of four"):
        typo("Bo Li", random.Random(0))


def test_paraphrases_are_held_out(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    for one in made["paraphrase"]:
        name = world.authors[one.item.author].name
        trained = [*verbal(one.item.attribute), *(text for text, _ in nominal(one.item.attribute))]
        assert one.question not in [wording.format(n=name) for wording in trained]
        assert name in one.question
    for one in made["reworded"]:
        name = world.authors[one.item.author].name
        frames = [*verbal(one.item.attribute), *verbal(one.item.attribute, held_out=True)]
        assert one.question not in [wording.format(n=name) for wording in frames]


def test_translations_cover_all_attributes(world: World) -> None:
    assert set(IN_ENGLISH) == set(OTHER_SCRIPTS)
    for table in (LATIN, OTHER_SCRIPTS):
        for language, questions in table.items():
            assert set(questions) == set(ATTRIBUTES), language
            assert all(question.count("{n}") == 1 for question in questions.values())
            assert len(set(questions.values())) == len(ATTRIBUTES)
    english = {verbal(attribute)[0].format(n="X") for attribute in ATTRIBUTES}
    assert not english & {q.format(n="X") for questions in LATIN.values() for q in questions.values()}


@pytest.mark.parametrize("language", sorted(OTHER_SCRIPTS))
def test_transliterations(world: World, language: str) -> None:
    written = [transliterate(author.name, language) for author in world.authors]
    assert not any(c.isascii() and c.isalpha() for text in written for c in text)
    assert len(set(written)) > 0.97 * len(written)


def test_transliterations_by_hand() -> None:
    assert transliterate("Daneth Quinwick", "ru") == "Данет Квинвик"
    assert transliterate("Tor Ashbury", "el") == "Τορ Ασμπουρι"  # noqa: RUF001
    assert transliterate("Arna Kell", "hi") == "अर्न केल्ल"
    assert transliterate("Sato Kenji", "ja") == "サト・ケンジ"
    assert transliterate("Nadim Salama", "ar") == "ناديم سالاما"
    with pytest.raises(ValueError, match="known: ru, el, ar, hi, ja"):
        transliterate("Daneth", "xx")
