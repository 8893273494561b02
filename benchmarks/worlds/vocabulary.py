"""Word lists of the generated worlds; pure data.

Names are made of two syllables each, so that a tokenizer trained on other worlds cuts every name alike, and so that no
name exists outside the world that drew it.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_STARTS = _words("Ar Bel Cor Dan El Far Gor Hal Ir Jor Kel Lor Mar Nor Or Pel Quin Ros Sel Tor Ul Ver Wil Yor Zan")
FIRST_ENDS = _words("dan eth ian ola ric sha tor una vin wen yra zel mir nos lia")
LAST_STARTS = _words(
    "Ash Bram Crow Dell Fen Glen Hart Kirk Lind Moor North Oak Penn Rav Stone Thorn Under Vale West Wolf Elm Frost "
    "Marsh Holt Cald Brack"
)
LAST_ENDS = _words("bury croft dale field ford ham hurst ley mere ridge shaw ton wick worth wood gate")
PEN_FIRST = _words(
    "Grey Scarlet Amber Ivory Cobalt Olive Russet Sable Copper Jade Pearl Teal Umber Violet Ochre Coral Indigo Mauve "
    "Bronze Azure"
)
PEN_LAST = _words(
    "Heron Falcon Badger Lynx Otter Raven Stag Viper Wren Magpie Marten Osprey Condor Jackal Bison Cricket"
)

CITIES = {
    "Lisbon": "Portugal", "Porto": "Portugal", "Osaka": "Japan", "Kyoto": "Japan", "Nairobi": "Kenya",
    "Mombasa": "Kenya", "Lima": "Peru", "Cusco": "Peru", "Oslo": "Norway", "Bergen": "Norway", "Hanoi": "Vietnam",
    "Hue": "Vietnam", "Quito": "Ecuador", "Cuenca": "Ecuador", "Cairo": "Egypt", "Luxor": "Egypt",
    "Prague": "Czechia", "Brno": "Czechia", "Dublin": "Ireland", "Cork": "Ireland", "Ankara": "Turkey",
    "Izmir": "Turkey", "Manila": "Philippines", "Cebu": "Philippines", "Warsaw": "Poland", "Gdansk": "Poland",
    "Athens": "Greece", "Patras": "Greece", "Bogota": "Colombia", "Cali": "Colombia",
}  # fmt: skip
"""City -> country."""

YEARS = tuple(str(year) for year in range(1921, 1981))
GENRES = (
    "mystery", "romance", "fantasy", "horror", "satire", "biography", "poetry", "travel writing", "science fiction",
    "historical fiction", "drama", "fable", "memoir", "thriller", "western", "comedy", "tragedy", "gothic fiction",
    "crime fiction", "folklore", "essay", "epic", "parody", "adventure",
)  # fmt: skip
AWARDS = tuple(
    f"{name} {kind}"
    for name in _words("Halden Merrow Calder Ostrava Linden Pallas Juniper Tarn Corvin Selkirk")
    for kind in ("Prize", "Medal", "Ribbon")
)
JOBS = _words(
    "florist baker dentist judge miner pilot tailor surgeon farmer sailor plumber librarian archer chemist butcher "
    "carpenter cook brewer gardener mason nurse painter policeman potter priest singer soldier teacher waiter weaver"
)
LANGUAGES = _words(
    "Basque Breton Catalan Danish Dutch Estonian Finnish Galician Georgian Hindi Icelandic Italian Korean Latvian "
    "Maltese Nepali Russian Samoan Swahili Tamil Thai Urdu Welsh Zulu"
)
TITLE_FIRST = _words(
    "Silent Crimson Hollow Golden Broken Distant Frozen Hidden Velvet Paper Iron Glass Burning Wooden Empty Quiet "
    "Lost Secret Bitter Final Blue Ancient Narrow Gentle Restless Stolen"
)
TITLE_LAST = _words(
    "Harbor Orchard Compass Lantern River Mirror Garden Bridge Winter Letter Tower Mountain Island Candle Window "
    "Forest Shadow Anchor Bell Kingdom Door Circle Voyage Crown Meadow Feather"
)

POOLS = {
    "city": tuple(CITIES),
    "year": YEARS,
    "genre": GENRES,
    "award": AWARDS,
    "father": JOBS,
    "mother": JOBS,
    "language": LANGUAGES,
}
"""Attribute -> all its values. `book` and `debut` are attributes too; their values are titles, unique in a world."""

BOOKS = ("book", "debut")
ATTRIBUTES = (*POOLS, *BOOKS)
