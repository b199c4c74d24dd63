"""What flux-mini can draw: concepts, background colours, captions and the held-out combinations.

Pure data and standard library. The emoji behind a concept is found by its short code, which is
the concept's name with underscores (``red apple`` is ``:red_apple:``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = [
    "BACKGROUNDS",
    "CONCEPTS",
    "TEMPLATES",
    "Concept",
    "caption",
    "held_out",
    "training_caption",
    "vocabulary",
]


@dataclass(frozen=True)
class Concept:
    """One thing to draw: its name and other words people type for it."""

    name: str
    aliases: tuple[str, ...] = ()

    @property
    def short_code(self) -> str:
        """Name in the `emoji` package, without colons."""
        return self.name.replace(" ", "_")


CONCEPTS: tuple[Concept, ...] = (
    Concept("dog face", ("dog", "puppy")),
    Concept("cat face", ("cat", "kitten")),
    Concept("fox"),
    Concept("panda"),
    Concept("frog"),
    Concept("owl"),
    Concept("lion"),
    Concept("tiger face", ("tiger",)),
    Concept("koala"),
    Concept("monkey face", ("monkey",)),
    Concept("pig face", ("pig",)),
    Concept("cow face", ("cow",)),
    Concept("rabbit face", ("rabbit", "bunny")),
    Concept("penguin"),
    Concept("unicorn"),
    Concept("butterfly"),
    Concept("lady beetle", ("ladybug", "ladybird")),
    Concept("octopus"),
    Concept("crab"),
    Concept("tropical fish", ("fish",)),
    Concept("spouting whale", ("whale",)),
    Concept("turtle"),
    Concept("snail"),
    Concept("honeybee", ("bee",)),
    Concept("baby chick", ("chick",)),
    Concept("elephant"),
    Concept("red apple", ("apple",)),
    Concept("banana"),
    Concept("strawberry"),
    Concept("pizza", ("slice of pizza",)),
    Concept("birthday cake", ("cake",)),
    Concept("watermelon"),
    Concept("pineapple"),
    Concept("grapes"),
    Concept("lemon"),
    Concept("cherries"),
    Concept("carrot"),
    Concept("broccoli"),
    Concept("mushroom"),
    Concept("hamburger", ("burger",)),
    Concept("doughnut", ("donut",)),
    Concept("cupcake"),
    Concept("avocado"),
    Concept("ice cream"),
    Concept("evergreen tree", ("tree", "fir")),
    Concept("cactus"),
    Concept("sunflower"),
    Concept("rose"),
    Concept("maple leaf", ("leaf",)),
    Concept("four leaf clover", ("clover",)),
    Concept("cloud"),
    Concept("fire", ("flame",)),
    Concept("snowflake"),
    Concept("rainbow"),
    Concept("sun"),
    Concept("red heart", ("heart",)),
    Concept("star"),
    Concept("rocket"),
    Concept("robot"),
    Concept("castle"),
    Concept("house"),
    Concept("airplane", ("plane",)),
    Concept("automobile", ("car",)),
    Concept("sailboat", ("boat",)),
    Concept("key"),
    Concept("guitar"),
    Concept("soccer ball", ("football",)),
    Concept("basketball"),
    Concept("balloon"),
    Concept("wrapped gift", ("gift", "present")),
    Concept("crown"),
    Concept("light bulb", ("lamp",)),
)

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (246, 246, 243),
    "black": (24, 24, 28),
    "red": (212, 50, 50),
    "blue": (50, 102, 214),
    "green": (54, 158, 82),
    "yellow": (250, 206, 64),
    "purple": (134, 76, 190),
    "gray": (136, 138, 143),
}
"""Mean sRGB of each background, 0 to 255."""

_SPELLINGS = {"gray": ("gray", "grey")}

TEMPLATES: tuple[str, ...] = (
    "{article} {thing} on {colour_article} {colour} background",
    "{colour} background, {thing}",
    "{thing}, {colour}",
    "{thing} on {colour}",
    "a picture of {article} {thing} on {colour_article} {colour} background",
    "the {thing} in front of {colour_article} {colour} background",
)
"""Wordings; the first is the one that the evaluation and the examples use."""

# Several words stand for "unknown": in training one is put into some captions, so that a word
# that the model does not know disturbs the picture little.
_FILLER = ("zzz", "qqq", "xxx")


def _article(words: str) -> str:
    vowel = words[0] in "aeiou" and not words.startswith("uni")
    return "an" if vowel else "a"


def caption(thing: str, colour: str, template: str = TEMPLATES[0]) -> str:
    """Caption in one wording, for example ``a red apple on a blue background``."""
    return template.format(
        article=_article(thing), thing=thing, colour_article=_article(colour), colour=colour
    )


def training_caption(concept: Concept, colour: str, draw: random.Random) -> str:
    """One caption drawn at random: wording, alias, spelling, now and then an unknown word."""
    thing = concept.name
    if concept.aliases and draw.random() < 0.35:
        thing = draw.choice(concept.aliases)
    colour = draw.choice(_SPELLINGS.get(colour, (colour,)))
    if draw.random() < 0.04:
        return f"{_article(thing)} {thing}"
    text = caption(thing, colour, draw.choices(TEMPLATES, weights=(6, 2, 2, 2, 2, 2))[0])
    if draw.random() < 0.08:
        words = text.split(" ")
        words.insert(draw.randrange(len(words) + 1), draw.choice(_FILLER))
        text = " ".join(words)
    return text


def held_out(concept_index: int) -> tuple[str, ...]:
    """Colours that the flow never sees with this concept: one of the eight, spread evenly."""
    colours = tuple(BACKGROUNDS)
    return (colours[(concept_index * 3 + concept_index // 8) % len(colours)],)


def vocabulary() -> tuple[str, ...]:
    """Every word and punctuation mark of all captions, sorted; filler words are not in it."""
    words = {"a", "an", "the", ",", "."}
    for template in TEMPLATES:
        for piece in template.replace(",", " ").split():
            if not piece.startswith("{"):
                words.add(piece)
    for concept in CONCEPTS:
        for thing in (concept.name, *concept.aliases):
            words.update(thing.split())
    for colour in BACKGROUNDS:
        words.update(_SPELLINGS.get(colour, (colour,)))
    return tuple(sorted(words))
