"""The words of the world of text: rows of forms, as france, paris, french, and the settings that each row is met in.

A word of a row has three attributes that make its contexts: its kind, its form, which function words go with, and its
row, which stands beside its settings and its other forms. They are what similarity and analogies are made of.
"""

from __future__ import annotations

from dataclasses import dataclass

TOPICS: dict[str, tuple[str, ...]] = {
    "travel": ("sea", "river", "road", "island", "desert", "hill", "snow"),
    "farm": ("barn", "grass", "milk", "eggs", "wool", "wings"),
    "kitchen": ("kitchen", "salt", "cheese", "rice", "tea", "wine"),
    "court": ("crown", "palace", "gold", "castle", "silk", "garden"),
    "stage": ("stage", "curtain", "costume", "song", "candle", "bell"),
    "market": ("stall", "coin", "basket", "pepper", "cloth", "scales"),
    "workshop": ("wood", "metal", "tools", "fire", "wheels", "nails"),
    "school": ("pages", "ink", "desk", "pencil", "lesson", "chalk"),
}
"""The settings of each topic. A topic makes them, and the rows met in them, more frequent; none are its alone."""


@dataclass(frozen=True)
class Kind:
    """Rows of words: forms (F names), words (R rows of F words), settings (R rows of S words of TOPICS)."""

    name: str
    forms: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, ...], ...]


def _kind(name: str, forms: str, table: str) -> Kind:
    rows = [line.split(":") for line in table.strip().splitlines()]
    words, settings = (tuple(tuple(row[side].split()) for row in rows) for side in (0, 1))
    return Kind(name, tuple(forms.split()), words, settings)


PLACE = _kind(
    "place",
    "country capital language dish his_name her_name",
    """
    france paris french crepe pierre marie : wine castle wheels
    italy rome italian lasagne marco giulia : wine song hill
    spain madrid spanish paella pablo carmen : pepper sea costume
    greece athens greek moussaka nikos eleni : sea island chalk
    turkey ankara turkish baklava emre aylin : tea cloth stall
    russia moscow russian borscht ivan olga : snow stage gold
    poland warsaw polish pierogi piotr kasia : salt bell grass
    hungary budapest hungarian goulash laszlo ilona : river song pepper
    germany berlin german pretzel hans greta : castle tools pages
    japan tokyo japanese sushi kenji yuki : island rice ink
    china beijing chinese wonton wei mei : tea silk nails
    korea seoul korean kimchi minho jisoo : rice hill metal
    thailand bangkok thai satay somchai malee : basket island gold
    sweden stockholm swedish gravlax sven astrid : snow wood desk
    norway oslo norwegian lutefisk olav ingrid : sea wool fire
    denmark copenhagen danish frikadelle jens karen : milk wheels crown
    egypt cairo arabic koshari ahmed fatima : desert river scales
    netherlands amsterdam dutch stroopwafel willem anouk : cheese road coin
    georgia tbilisi georgian khachapuri giorgi nino : hill bell wine
    india delhi hindi biryani ravi priya : cloth garden lesson
    """,
)
PERSON = _kind(
    "person",
    "male female",
    """
    king queen : crown palace gold
    prince princess : castle palace silk
    duke duchess : garden crown wings
    actor actress : stage curtain costume
    waiter waitress : kitchen wine coin
    hero heroine : castle fire snow
    host hostess : wine candle garden
    father mother : kitchen road lesson
    son daughter : pencil barn chalk
    brother sister : road desk song
    uncle aunt : barn wood tea
    husband wife : cloth candle scales
    wizard witch : river fire pages
    monk nun : bell candle ink
    man woman : stall tools grass
    boy girl : basket hill chalk
    """,
)
THING = _kind(
    "thing",
    "singular plural",
    """
    dog dogs : barn road snow
    horse horses : grass hill crown
    cow cows : barn grass milk
    goat goats : hill wool cheese
    hen hens : barn eggs basket
    duck ducks : river eggs wings
    bee bees : garden wings song
    wolf wolves : snow desert wool
    mouse mice : cheese kitchen desk
    goose geese : wings palace salt
    boat boats : sea wood river
    cart carts : road wheels stall
    train trains : metal wheels bell
    lamp lamps : desk fire curtain
    chair chairs : wood tools stage
    book books : pages ink candle
    letter letters : pages coin silk
    knife knives : kitchen metal nails
    pot pots : rice fire tea
    coat coats : wool cloth costume
    flower flowers : garden island castle
    ring rings : gold coin metal
    drum drums : stage song tools
    box boxes : basket nails scales
    """,
)
ACT = _kind(
    "act",
    "base past progressive",
    """
    walk walked walking : road hill grass
    swim swam swimming : sea river island
    fly flew flying : wings snow desert
    cook cooked cooking : kitchen salt rice
    write wrote writing : ink pages palace
    sing sang singing : song bell garden
    dance danced dancing : stage costume wine
    drive drove driving : road wheels scales
    build built building : wood nails castle
    paint painted painting : curtain tools hill
    climb climbed climbing : snow castle barn
    buy bought buying : coin stall milk
    sell sold selling : basket stall cheese
    teach taught teaching : lesson desk chalk
    learn learned learning : lesson pages pencil
    bake baked baking : eggs fire milk
    drink drank drinking : wine tea crown
    hide hid hiding : barn curtain gold
    sew sewed sewing : silk wool cloth
    fight fought fighting : metal fire island
    """,
)
QUALITY = _kind(
    "quality",
    "plain comparative superlative",
    """
    big bigger biggest : sea palace wheels
    small smaller smallest : island coin eggs
    fast faster fastest : wheels river wings
    slow slower slowest : road bell milk
    tall taller tallest : hill castle wood
    short shorter shortest : pencil grass lesson
    old older oldest : pages wine crown
    cheap cheaper cheapest : stall basket tea
    rich richer richest : gold silk pepper
    warm warmer warmest : fire wool sea
    cold colder coldest : snow metal milk
    bright brighter brightest : candle gold chalk
    dark darker darkest : curtain ink barn
    loud louder loudest : song stage nails
    soft softer softest : silk grass cheese
    hard harder hardest : wood lesson salt
    sharp sharper sharpest : tools pencil pepper
    fresh fresher freshest : eggs garden rice
    clean cleaner cleanest : kitchen cloth desk
    strange stranger strangest : costume island scales
    """,
)
KINDS = (PLACE, PERSON, THING, ACT, QUALITY)
SETTINGS = tuple(word for words in TOPICS.values() for word in words)
