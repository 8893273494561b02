"""What does somebody find who steals a bundle? With its key, everything; without, nothing.

    python -m benchmarks.bundle_attack BUNDLE --names FILE [--key-env NAME] --json FILE

`--names` is the policy file, or a text file with one sensitive string a line. Attacks, on every file and on whatever it
unpacks to (compression, archives, safetensors, JSON strings, base64, hexadecimal):

- `grep`: sensitive strings in UTF-8 and UTF-16, in contents and file names.
- `dictionary`: digests of more than 10,000 words and names, the right ones among them, plain, salted with what the
  manifest says, and keyed with whatever looks like a key; searched at every offset, truncated ones too.
- `inversion`: every vector as a sparse sum of word vectors (orthogonal matching pursuit). What is no vector is read as
  one, so that ciphertext is attacked as well.
- `top_words`: words that a vector, taken for the weights of a linear model, scores highest.

The last two look among the encoder's vocabulary and the right words, and chance finds some of these too: they succeed
where a test says that there are more. Every attack is also run on a planted leak, which all of them must find, and on
the decrypted bundle, where the first must: otherwise the result proves nothing. Words that stand in the project's own
source are public and not counted. Exit 1: something was found without the key; 2: no proof.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import hmac
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from safetensors.numpy import save
from scipy.stats import binom, gamma
from sklearn.linear_model import orthogonal_mp

from benchmarks.blobs import Blob, tensors_of, unpacked
from benchmarks.where import where
from gateway.commands.compile import example_rows
from gateway.policy import load_policy
from guards.benign import benign
from guards.encoder import Floats, WordLlamaEncoder
from guards.normalize import Ints, Normalizer
from steering.bundle import Bundle, parse_key, read_bundle, read_manifest

SHORTEST = 5
"""Bytes of the shortest string that is searched: shorter ones occur in noise by chance."""
COMMON = 0.01
"""Share of harmless texts from which on a word of an example tells nothing."""
SPARSE, TOP, VECTORS, DRAWS = 12, 300, 48, 1000
"""Words of a sparse sum; highest words that are looked at; most vectors of one place; random directions."""
SURE = 0.001
"""p-value, corrected for all vectors of an attack, from which on sensitive words are more than chance."""
ROOT = Path(__file__).parents[1]
PUBLIC = (
    "gateway/card.py",
    "guards/fit.py",
    "guards/part.py",
    "steering/bundle.py",
    "steering/spec.py",
    "steering/program.py",
)
HASHES: tuple[Callable[..., Any], ...] = (
    *(hashlib.md5, hashlib.sha1, hashlib.sha224, hashlib.sha256, hashlib.sha384, hashlib.sha512, hashlib.sha3_256),
    *(partial(hashlib.blake2b, digest_size=size) for size in (16, 32, 64)),
    hashlib.blake2s,
)
FRAMES = (b"", b"head\0", b"spelling\0")
"""What the project's own keyed digests put before a name."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be found: strings as written, and words of which tokens are searched."""

    strings: tuple[str, ...]
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """Result of one attack: sensitive strings, or vectors that spell some, of how many tried, and where."""

    found: int
    tried: int
    success: bool
    places: tuple[str, ...]
    p_value: float | None = None
    shown: tuple[str, ...] = ()


def read_secrets(file: Path, normalizer: Normalizer) -> Secrets:
    """Sensitive strings of a policy file or of a list; words of the project's own public sources are left out."""
    if file.suffix in (".yaml", ".yml"):
        policy = load_policy(file)
        guard, rows = policy.guard, example_rows(policy, file.parent)
        listed = [name for e in guard.entities for name in (e.name, *e.aliases, *e.titles, *e.related)]
        listed += [*guard.values, policy.id, policy.reason, policy.owner, guard.topic, *guard.passages]
        listed += [str(row[part]) for row in rows for part in ("question", "answer", "value") if row.get(part)]
    else:
        listed = file.read_text(encoding="utf-8").splitlines()
    strings = sorted({text.strip() for text in listed if len(text.strip().encode()) >= SHORTEST})
    held: dict[str, int] = {}
    texts = [item.text for item in benign("calibration") if not item.named]
    for text in texts:
        for word in set(normalizer.words(text)):
            held[word] = held.get(word, 0) + 1
    words = {word for text in strings for word in normalizer.words(text)}
    rare = {w for w in words if len(w.encode()) >= SHORTEST and held.get(w, 0) < COMMON * len(texts)}
    spelled = {
        word for text in strings for word in re.findall(r"\w+", text) if rare.intersection(normalizer.words(word))
    }
    known = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in PUBLIC).lower()
    kept = (
        text for text in {*strings, *(w for w in spelled if len(w.encode()) >= SHORTEST)} if text.lower() not in known
    )
    return Secrets(tuple(sorted(kept)), frozenset(w for w in rare if w not in known))


def grep(blobs: Sequence[Blob], secrets: Secrets) -> Found:
    """Sensitive strings in any encoding, whatever the case."""
    small = [(blob.place, blob.data.lower()) for blob in blobs]
    hits: dict[str, list[str]] = {}
    for text in secrets.strings:
        cased = (text, text.lower(), text.upper())
        wanted = {s.encode(code).lower() for s in cased for code in ("utf-8", "utf-16-le", "utf-16-be")}
        places = [place for place, data in small if any(spelling in data for spelling in wanted)]
        if places:
            hits[text] = places
    return Found(len(hits), len(secrets.strings), bool(hits), _places(hits.values()), shown=tuple(hits))


def dictionary(blobs: Sequence[Blob], secrets: Secrets, names: Sequence[str], salts: Sequence[bytes]) -> Found:
    """Digests of names; the first eight bytes of a digest, at any offset of any blob, give it away."""
    windows = np.unique(np.concatenate([_windows(blob.data) for blob in blobs]))
    keys = [*salts, *dict.fromkeys(chain.from_iterable(map(_keys, blobs)))]
    seen: set[int] = set()
    hits, wanted, normalizer = [], {text.lower() for text in secrets.strings}, Normalizer()
    for name in names:
        spellings = {name.encode(), " ".join(normalizer.words(name)).encode(), name.encode("utf-16-le")}
        framed = [frame + s for s in spellings for frame in FRAMES]
        digests = [digest(salt + s).digest() for s in spellings for salt in (b"", *salts) for digest in HASHES]
        digests += [hmac.digest(key, s, "sha256") for s in framed for key in keys]
        digests += [hashlib.blake2b(s, key=key[:64]).digest() for s in framed for key in keys]
        heads = np.frombuffer(b"".join(digest[:8] for digest in digests), np.uint64)
        at = np.minimum(np.searchsorted(windows, heads), len(windows) - 1)
        same = windows[at] == heads
        if same.any():
            hits.append(name)
            seen.update(heads[same].tolist())
    right = [name for name in hits if name.lower() in wanted]
    places = [
        blob.place for blob in blobs if right and np.isin(_windows(blob.data), np.array(list(seen), np.uint64)).any()
    ]
    return Found(len(right), len(names), bool(right), _places([places]), shown=tuple(right))


def _windows(data: bytes) -> npt.NDArray[np.uint64]:
    """All runs of eight bytes."""
    padded = [data[at : at + (len(data) - at) // 8 * 8] for at in range(min(8, len(data)))]
    return np.concatenate([np.zeros(0, np.uint64), *(np.frombuffer(part, np.uint64) for part in padded)])


def _keys(blob: Blob) -> Iterator[bytes]:
    """What may be the key of a digest: short binary blobs, as tensors or decoded from text."""
    pieces = blob.data.split(b"\0") if blob.place.endswith((" hex", " base64")) else [blob.data]
    yield from (piece for piece in pieces if len(piece) in (16, 20, 24, 32, 48, 64))


class Vocabulary:
    """Unit vectors of the ordinary words that the encoder knows whole and of the sensitive ones in Latin letters.

    Attributes:
        words, unit: the words and their vectors, `[words, dim]`.
        secret: which of them are sensitive.
        usual, spread: mean and variance of the sensitive words among the TOP of a random direction. Words of one
            subject lie together, so that chance finds several or none: more than a binomial distribution allows.
    """

    def __init__(self, encoder: WordLlamaEncoder, secrets: Secrets) -> None:
        latin = {word for word in secrets.words if word.isascii() and word.isalpha()}
        self.words = sorted(latin | {word for word in encoder.vocabulary if len(word) >= SHORTEST - 1})
        places = np.arange(len(self.words))
        self.unit: Floats = encoder.read(self.words).vectors(places, places + 1)
        self.secret = np.array([word in latin for word in self.words])
        directions = np.random.default_rng(0).normal(size=(DRAWS, encoder.dim)).astype(np.float32)
        counts = [int(self.secret[self.top(direction)].sum()) for direction in directions]
        self.usual, self.spread = float(np.mean(counts)), float(np.var(counts))

    def top(self, direction: Floats) -> Ints:
        """Places of the TOP words that a linear model with these weights scores highest."""
        return np.argpartition(-(self.unit @ direction), TOP)[:TOP]


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector of the encoder's width; `real`: it was stored as one, and is not some other bytes read as numbers."""

    place: str
    values: Floats
    real: bool


def vectors(blobs: Sequence[Blob], dim: int) -> list[Vector]:
    """Those of tensors, and the bytes of all that is no tensor read as numbers, at most VECTORS of one place."""
    found = []
    for blob in blobs:
        tensors = tensors_of(blob.data)
        if tensors:
            shaped = [(f"{blob.place} > {name}", t) for name, t in tensors.items() if t.dtype.kind == "f"]
        else:
            shaped = [(f"{blob.place}, as numbers", np.frombuffer(blob.data[: len(blob.data) // 4 * 4], "<f4"))]
        for place, tensor in shaped:
            matrix = tensor.reshape(-1)[: tensor.size // dim * dim].reshape(-1, dim)
            with np.errstate(invalid="ignore"):  # any bytes may stand there
                chosen = matrix[np.linspace(0, len(matrix) - 1, min(len(matrix), VECTORS)).astype(int)].astype(float)
            chosen[~np.isfinite(chosen)] = 0.0
            scale = np.abs(chosen).max(axis=1, initial=0.0)
            kept = zip(chosen[scale > 0], scale[scale > 0], strict=True)
            found += [Vector(place, (row / top).astype(np.float32), bool(tensors)) for row, top in kept]
    return found


def inversion(rows: Sequence[Vector], vocabulary: Vocabulary) -> Found:
    """Words of the sparse sums that are nearest to the vectors. One-sided binomial tests."""
    chosen = []
    for row in rows:
        with warnings.catch_warnings():  # a vector that fewer words explain ends the search early
            warnings.simplefilter("ignore", RuntimeWarning)
            unit = row.values / np.linalg.norm(row.values)
            chosen.append(np.flatnonzero(orthogonal_mp(vocabulary.unit.T, unit, n_nonzero_coefs=SPARSE)))
    hits = [int(vocabulary.secret[words].sum()) for words in chosen]
    share = float(vocabulary.secret.mean())
    chance = [float(binom.sf(n - 1, len(words), share)) for n, words in zip(hits, chosen, strict=True)]
    return _judged(rows, chosen, chance, vocabulary)


def top_words(rows: Sequence[Vector], vocabulary: Vocabulary) -> Found:
    """Words with the highest scores under the vectors as linear models, against random directions.

    The number of sensitive ones among them is compared with a gamma distribution of the mean and variance of chance.
    """
    chosen = [vocabulary.top(row.values) for row in rows]
    hits = np.array([vocabulary.secret[words].sum() for words in chosen])
    shape, scale = vocabulary.usual**2 / vocabulary.spread, vocabulary.spread / vocabulary.usual
    return _judged(rows, chosen, gamma.sf(hits - 0.5, shape, scale=scale).tolist(), vocabulary)


def _judged(rows: Sequence[Vector], chosen: Sequence[Ints], chance: Sequence[float], vocabulary: Vocabulary) -> Found:
    """Vectors that spell sensitive words; Bonferroni's correction, for stored vectors and for other bytes apart."""
    counts = Counter(row.real for row in rows)
    p_values = [min(p * counts[row.real], 1.0) for row, p in zip(rows, chance, strict=True)]
    sure = [i for i, p in enumerate(p_values) if p < SURE]
    shown = dict.fromkeys(vocabulary.words[w] for i in sure for w in chosen[i] if vocabulary.secret[w])
    places = _places([[rows[i].place for i in sure]])
    return Found(len(sure), len(rows), bool(sure), places, min(p_values, default=1.0), tuple(shown))


def attack(
    blobs: Sequence[Blob], secrets: Secrets, vocabulary: Vocabulary, names: Sequence[str], salts: Sequence[bytes]
) -> dict[str, Found]:
    """All attacks on the same blobs."""
    rows = vectors(blobs, vocabulary.unit.shape[1])
    return {
        "grep": grep(blobs, secrets),
        "dictionary": dictionary(blobs, secrets, names, salts),
        "inversion": inversion(rows, vocabulary),
        "top_words": top_words(rows, vocabulary),
    }


def files(folder: Path) -> list[Blob]:
    """Every file of a bundle and what it unpacks to; their names are a blob of their own."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = Blob("file names", "\n".join(str(path.relative_to(folder)) for path in [folder, *paths][1:]).encode())
    return [named, *(blob for path in paths for blob in unpacked(str(path.relative_to(folder)), path.read_bytes()))]


def decrypted(bundle: Bundle) -> list[Blob]:
    """The sensitive part."""
    return [blob for name, data in bundle.sensitive.items() for blob in unpacked(f"sensitive/{name}", data)]


def planted(secrets: Secrets, vocabulary: Vocabulary, salts: Sequence[bytes]) -> list[Blob]:
    """A leak for every attack: compressed UTF-16, salted and cut digests, a mean vector, a linear model."""
    mean = vocabulary.unit[np.flatnonzero(vocabulary.secret)[:6]].mean(axis=0)
    model = vocabulary.unit[vocabulary.secret].mean(axis=0) - vocabulary.unit[~vocabulary.secret].mean(axis=0)
    digests = [hashlib.sha256(salts[0] + text.lower().encode()).hexdigest()[:24] for text in secrets.strings[:20]]
    leak = {
        "note.gz": gzip.compress("\n".join(secrets.strings).encode("utf-16-le")),
        "index.json": json.dumps({"index": digests}).encode(),
        "vectors": save({"mean": mean.astype(np.float32), "model": model.astype(np.float32)}),
    }
    return [blob for name, data in leak.items() for blob in unpacked(name, data)]


def report(folder: Path, names: Path, key: bytes, *, reveal: bool = False, most: int | None = None) -> dict[str, Any]:
    """Attack a bundle without its key, with it, and a planted leak; `most`: ordinary words of the dictionary.

    Raises `BundleError`, and `ValueError` for a list without strings.
    """
    secrets = read_secrets(names, Normalizer())
    if not secrets.strings:
        raise ValueError(f"{names} holds no string that could be searched; give the policy file or names line by line")
    encoder = WordLlamaEncoder()
    vocabulary = Vocabulary(encoder, secrets)
    manifest = read_manifest(folder)
    salts = [text.encode() for text in (manifest.number, manifest.program_id, str(manifest.version), manifest.created)]
    guesses = list(dict.fromkeys([*secrets.strings, *sorted(encoder.vocabulary)[:most]]))
    bundle = read_bundle(folder, key)
    arms: dict[str, list[Blob]] = {
        "without_key": files(folder),
        "with_key": decrypted(bundle),
        "planted": planted(secrets, vocabulary, salts),
    }
    results = {
        arm: attack(blobs, secrets, vocabulary, guesses, [*salts, key] if arm == "with_key" else salts)
        for arm, blobs in track(arms.items(), description="attacking")
    }
    leaks = [name for name, found in results["without_key"].items() if found.success]
    blind = [name for name, found in results["planted"].items() if not found.success]
    return {
        "what": "what is found in a bundle without and with its key",
        "where": where(),
        "strings": len(secrets.strings),
        "dictionary": len(guesses),
        "words": {"sensitive": int(vocabulary.secret.sum()), "all": len(vocabulary.words)},
        "sensitive_by_chance": {"mean": round(vocabulary.usual, 2), "deviation": round(vocabulary.spread**0.5, 2)},
        "bytes": {arm: sum(len(b.data) for b in blobs if " > " not in b.place) for arm, blobs in arms.items()},
        **{arm: {n: _row(f, reveal=reveal) for n, f in found.items()} for arm, found in results.items()},
        "leaks": leaks,
        "blind": [*blind, *([] if results["with_key"]["grep"].success else ["grep with the key"])],
    }


def _row(found: Found, *, reveal: bool) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if reveal or name != "shown"}


def _places(places: Any) -> tuple[str, ...]:
    return tuple(sorted({place for some in places for place in some}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--names", type=Path, required=True, help="the policy file, or one sensitive string a line")
    parser.add_argument("--key-env", default="LETHE_BUNDLE_KEY", help="variable that holds the key")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--reveal", action="store_true", help="write what was found, not only how much")
    options = parser.parse_args()
    result = report(
        options.bundle, options.names, parse_key(os.environ.get(options.key_env, "")), reveal=options.reveal
    )
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for arm in ("without_key", "with_key", "planted"):
        print(arm, {name: f"{row['found']} of {row['tried']}" for name, row in result[arm].items()})
    if result["leaks"]:
        print(f"found without the key: {', '.join(result['leaks'])}; see `places` in {options.json}", file=sys.stderr)
        raise SystemExit(1)
    if result["blind"]:
        print(f"no proof: {', '.join(result['blind'])} found nothing where there is something", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
