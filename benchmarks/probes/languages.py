"""Questions in other languages; pure data. German, French and Spanish are in `benchmarks.worlds.templates`."""

from __future__ import annotations

from benchmarks.worlds.templates import TRANSLATED
from benchmarks.worlds.vocabulary import ATTRIBUTES

# ruff: noqa: RUF001 - letters of other scripts are the subject


def _table(*questions: str) -> dict[str, str]:
    """Questions in the order of the world's attributes."""
    return dict(zip(ATTRIBUTES, questions, strict=True))


LATIN: dict[str, dict[str, str]] = {
    **{language: {a: wordings[0] for a, wordings in asked.items()} for language, asked in TRANSLATED.items()},
    "it": _table(
        "Dove è nato {n}?",
        "In che anno è nato {n}?",
        "In quale genere scrive {n}?",
        "Quale premio ha vinto {n}?",
        "Che lavoro faceva il padre di {n}?",
        "Che lavoro faceva la madre di {n}?",
        "Qual è la lingua madre di {n}?",
        "Qual è il libro più famoso di {n}?",
        "Qual è il primo libro di {n}?",
    ),
    "pt": _table(
        "Onde nasceu {n}?",
        "Em que ano nasceu {n}?",
        "Em que gênero escreve {n}?",
        "Que prêmio ganhou {n}?",
        "Qual era a profissão do pai de {n}?",
        "Qual era a profissão da mãe de {n}?",
        "Qual é a língua materna de {n}?",
        "Qual é o livro mais conhecido de {n}?",
        "Qual foi o primeiro livro de {n}?",
    ),
    "nl": _table(
        "Waar werd {n} geboren?",
        "In welk jaar werd {n} geboren?",
        "In welk genre schrijft {n}?",
        "Welke prijs won {n}?",
        "Wat was het beroep van de vader van {n}?",
        "Wat was het beroep van de moeder van {n}?",
        "Wat is de moedertaal van {n}?",
        "Wat is het bekendste boek van {n}?",
        "Wat was het eerste boek van {n}?",
    ),
    "pl": _table(
        "Gdzie urodził się {n}?",
        "W którym roku urodził się {n}?",
        "W jakim gatunku pisze {n}?",
        "Jaką nagrodę zdobył {n}?",
        "Kim był z zawodu ojciec pisarza {n}?",
        "Kim była z zawodu matka pisarza {n}?",
        "W jakim języku wychował się {n}?",
        "Z jakiej książki znany jest {n}?",
        "Jaką książkę {n} wydał jako pierwszą?",
    ),
    "tr": _table(
        "{n} nerede doğdu?",
        "{n} hangi yıl doğdu?",
        "{n} hangi türde yazıyor?",
        "{n} hangi ödülü kazandı?",
        "{n} adlı yazarın babasının mesleği neydi?",
        "{n} adlı yazarın annesinin mesleği neydi?",
        "{n} adlı yazarın ana dili nedir?",
        "{n} en çok hangi kitabıyla tanınıyor?",
        "{n} ilk olarak hangi kitabı yayımladı?",
    ),
}
"""Language -> attribute -> question; the name stays in Latin letters."""

OTHER_SCRIPTS: dict[str, dict[str, str]] = {
    "ru": _table(
        "Где родился {n}?",
        "В каком году родился {n}?",
        "В каком жанре пишет {n}?",
        "Какую премию получил {n}?",
        "Кем по профессии был отец писателя по имени {n}?",
        "Кем по профессии была мать писателя по имени {n}?",
        "Какой родной язык у писателя по имени {n}?",
        "Какой книгой известен {n}?",
        "Какую книгу {n} опубликовал первой?",
    ),
    "el": _table(
        "Πού γεννήθηκε ο {n};",
        "Ποια χρονιά γεννήθηκε ο {n};",
        "Σε ποιο είδος γράφει ο {n};",
        "Ποιο βραβείο κέρδισε ο {n};",
        "Τι δουλειά έκανε ο πατέρας του {n};",
        "Τι δουλειά έκανε η μητέρα του {n};",
        "Ποια είναι η μητρική γλώσσα του {n};",
        "Ποιο είναι το πιο γνωστό βιβλίο του {n};",
        "Ποιο ήταν το πρώτο βιβλίο του {n};",
    ),
    "ar": _table(
        "أين ولد {n}؟",
        "في أي عام ولد {n}؟",
        "في أي نوع أدبي يكتب {n}؟",
        "ما الجائزة التي فاز بها {n}؟",
        "ماذا كانت مهنة والد {n}؟",
        "ماذا كانت مهنة والدة {n}؟",
        "ما اللغة الأم للكاتب {n}؟",
        "ما أشهر كتاب للكاتب {n}؟",
        "ما أول كتاب نشره {n}؟",
    ),
    "hi": _table(
        "{n} का जन्म कहाँ हुआ था?",
        "{n} का जन्म किस वर्ष हुआ था?",
        "{n} किस विधा में लिखते हैं?",
        "{n} ने कौन सा पुरस्कार जीता?",
        "{n} के पिता का पेशा क्या था?",
        "{n} की माता का पेशा क्या था?",
        "{n} की मातृभाषा क्या है?",
        "{n} की सबसे प्रसिद्ध किताब कौन सी है?",
        "{n} की पहली किताब कौन सी थी?",
    ),
    "ja": _table(
        "{n}はどこで生まれましたか。",
        "{n}は何年に生まれましたか。",
        "{n}はどのジャンルを書きますか。",
        "{n}はどの賞を受賞しましたか。",
        "{n}の父の職業は何でしたか。",
        "{n}の母の職業は何でしたか。",
        "{n}の母語は何ですか。",
        "{n}の最も有名な本は何ですか。",
        "{n}の最初の本は何ですか。",
    ),
}
"""Language -> attribute -> question; the name is to be transliterated."""

IN_ENGLISH = {
    "ru": " Ответь по-английски.",
    "el": " Απάντησε στα αγγλικά.",
    "ar": " أجب بالإنجليزية.",
    "hi": " अंग्रेज़ी में उत्तर दें।",
    "ja": "英語で答えてください。",
}
"""Request to answer in English, since the values that are looked for are spelt in English."""
