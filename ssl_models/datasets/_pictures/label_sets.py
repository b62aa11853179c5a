"""Labels of pictures that lie in large files: sets that go together, and pictures in the order of the files again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ssl_models.datasets._pictures.arrangement import Listing
from ssl_models.datasets._pictures.found import Found, Picture


def complete(pictures: Sequence[Picture]) -> tuple[list[Picture], tuple[str, ...]]:
    """The pictures with the set that most of them have, first, and those that none lacks which has that one.

    Of equally many the first counts; a set of one class is none. Returns a note for each other set too.
    """
    number = Counter(name for picture in pictures for name in picture.labels)
    for name in list(number):
        if len({picture.labels.get(name) for picture in pictures} - {None}) < 2:
            del number[name]
    if not number:
        return [replace(picture, labels={}) for picture in pictures], ()
    main = max(number, key=lambda name: number[name])
    together = Counter(name for picture in pictures if main in picture.labels for name in picture.labels)
    kept = [main, *(name for name in number if name != main and together[name] == number[main])]
    notes = tuple(
        f"the labels '{name}' passed over: {number[main] - together[name]:,} pictures with '{main}' have none"
        for name in number
        if name not in kept
    )
    known: dict[tuple[str | None, ...], dict[str, str]] = {}
    found = []
    for picture in pictures:
        classes = tuple(picture.labels.get(name) for name in kept)
        if classes not in known:
            known[classes] = {name: value for name, value in zip(kept, classes, strict=True) if value is not None}
        found.append(replace(picture, labels=known[classes]))
    return found, notes


def in_source_order(listing: Listing, found: Found) -> Listing:
    """The listing with the pictures of each split in the source's order: class by class, files would be read anew."""
    place = {picture.name: number for number, picture in enumerate(found.pictures)}
    train, test = (sorted(split, key=lambda entry: place[entry.name]) for split in (listing.train, listing.test))
    return replace(listing, train=train, test=test)
