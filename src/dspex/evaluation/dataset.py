"""Examples as an immutable sequence: read from files or iterables, identified by content, split without leaks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast, overload

from dspex.errors import DataError, UnknownNameError
from dspex.evaluation.files import Row, read_rows
from dspex.evaluation.shaping import Shaping
from dspex.kernel.canonical import canonical, digest
from dspex.kernel.signature import Example


class Dataset(Sequence[Example]):
    """Rows in their order. Immutable; slices, samples and splits are datasets again and keep the ids of their rows.

    A row's id is the hash of its content. Rows equal to an earlier one are kept, under ids ending in `-2`, `-3`, and
    `notes` says so.
    """

    def __init__(self, examples: Iterable[Example], *, name: str = "data", notes: tuple[str, ...] = ()) -> None:
        self.examples = tuple(examples)
        self.name = name
        self.notes = notes

    @classmethod
    def load(
        cls, path: str | Path, *, rename: Mapping[str, str] | None = None, types: Mapping[str, type] | None = None
    ) -> Self:
        """The rows of a `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet` file.

        `rename` maps names in the file to names of fields; `types` converts the texts of a field (by its new name) to
        int, float, bool, str, list or dict. Raises DataError naming the file, the line and what is wrong with it.
        """
        source = Path(path)
        return cls._built(read_rows(source), source.name, str(source), rename, types)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any] | Example],
        *,
        rename: Mapping[str, str] | None = None,
        types: Mapping[str, type] | None = None,
        name: str = "data",
    ) -> Self:
        """Rows from any iterable of mappings: a list, a generator, a Hugging Face dataset. Values become JSON.

        Raises DataError for a row that is not a mapping or holds what JSON cannot say.
        """
        if isinstance(rows, cls) and not rename and not types:
            return rows
        numbered = ((f"{name}, row {number}", row) for number, row in enumerate(_iterated(rows), start=1))
        return cls._built(numbered, name, name, rename, types)

    @classmethod
    def _built(
        cls,
        rows: Iterable[tuple[str, Row]],
        name: str,
        where: str,
        rename: Mapping[str, str] | None,
        types: Mapping[str, type] | None,
    ) -> Self:
        shape = Shaping(rename or {}, types or {}, where)
        notes: list[str] = []
        found = tuple(distinct((shape.example(place, row) for place, row in rows), notes))
        if not found:
            raise DataError(f"{where}: there are no rows in it")
        shape.finish(found[0])
        return cls(found, name=name, notes=tuple(notes))

    def split(self, *shares: float, seed: int = 0, by: str | Sequence[str] = ()) -> tuple[Dataset, ...]:
        """Disjoint parts that together hold every row, in seeded random order.

        `shares` add up to 1. `by` names fields whose values each part gets in equal proportion. Equal rows stay on
        one side. Raises DataError where a part would be empty, UnknownNameError for a field that is not there.
        """
        fields = (by,) if isinstance(by, str) else tuple(by)
        for field in fields:
            if field not in self.fields:
                raise UnknownNameError("field", field, self.fields, f"{self.name}, split(by=...)")
        targets = _sizes(shares, len(self))
        rng = random.Random(f"split:{seed}")
        parts = _dealt(self._strata(fields, rng), shares, targets)
        for part, share in zip(parts, shares, strict=True):
            if not part:
                raise DataError(f"{self.name}: a split of {share} of {len(self)} rows is empty; bring more rows")
            rng.shuffle(part)
        return tuple(self._picked(part, f"{self.name}[{n}]") for n, part in enumerate(parts, start=1))

    def find(self, id: str) -> Example:
        """The example of that id. Raises UnknownNameError."""
        index = self._by_id.get(id)
        if index is None:
            raise UnknownNameError("example", id, (item.id for item in self.examples), self.name)
        return self.examples[index]

    def sample(self, n: int, seed: int = 0) -> Dataset:
        """`n` different rows at random. Raises DataError where there are fewer."""
        if not 0 < n <= len(self):
            raise DataError(f"{self.name}: cannot draw {n} of {len(self)} rows")
        return self._picked(random.Random(f"sample:{seed}").sample(range(len(self)), n), self.name)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Every field that some row has, in order of appearance."""
        return tuple(dict.fromkeys(name for example in self.examples for name in example.values))

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {example.id: index for index, example in enumerate(self.examples)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the rows in their order."""
        return digest([[example.id, example.values] for example in self.examples])

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> Example | Dataset:
        if isinstance(index, slice):
            return Dataset(self.examples[index], name=self.name)
        return self.examples[index]

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.examples == other.examples

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        notes = f"; {'; '.join(self.notes)}" if self.notes else ""
        return f"<Dataset {self.name}: {len(self)} rows of {', '.join(self.fields)}{notes}>"

    def _picked(self, indexes: Iterable[int], name: str) -> Dataset:
        return Dataset((self.examples[index] for index in indexes), name=name)

    def _strata(self, fields: tuple[str, ...], rng: random.Random) -> list[list[list[int]]]:
        """Groups of equal rows (by index), shuffled, in strata of equal values of `fields`."""
        groups: dict[str, list[int]] = {}
        for index, example in enumerate(self.examples):
            groups.setdefault(digest(example.values, 32), []).append(index)
        strata: dict[str, list[list[int]]] = {}
        for group in groups.values():
            example = self.examples[group[0]]
            strata.setdefault(canonical([example.get(field) for field in fields]), []).append(group)
        ordered = [strata[key] for key in sorted(strata)]
        for stratum in ordered:
            rng.shuffle(stratum)
        return ordered


def examples_of(rows: Iterable[Mapping[str, Any] | Example], notes: list[str] | None = None) -> Iterator[Example]:
    """Examples with distinct ids from any iterable of rows, lazily. Raises DataError for what is not a row."""
    if isinstance(rows, Dataset):
        return iter(rows)
    shape = Shaping({}, {}, "data")
    found = (shape.example(f"data, row {number}", row) for number, row in enumerate(_iterated(rows), start=1))
    return distinct(found, notes)


def distinct(examples: Iterable[Example], notes: list[str] | None = None) -> Iterator[Example]:
    """The same examples, lazily; those with the id of an earlier one get `-2`, `-3` ... appended, and a note says so.

    Keeps some 70 bytes an example.
    """
    seen: set[int] = set()
    repeats: dict[str, int] = {}
    for example in examples:
        if hash(example.id) in seen:
            number = repeats.get(example.id, 1) + 1
            while hash(f"{example.id}-{number}") in seen:
                number += 1
            repeats[example.id] = number
            example = Example(f"{example.id}-{number}", example.values)
        seen.add(hash(example.id))
        yield example
    if repeats and notes is not None:
        again = sum(repeats.values()) - len(repeats)
        notes.append(f"{again} rows repeat an earlier one (the first is {next(iter(repeats))}); each counts as a row")


def _iterated(rows: object) -> Iterator[Row]:
    if isinstance(rows, Mapping):
        keys = list(cast("Mapping[object, object]", rows))
        raise DataError(
            f"this is one mapping with the keys {', '.join(map(repr, keys[:5]))}, not rows; "
            "choose one of its splits, or put it in a list if it is a row"
        )
    if not isinstance(rows, Iterable):
        raise DataError(f"data is an iterable of mappings, not {type(rows).__name__}")
    for number, row in enumerate(cast("Iterable[object]", rows), start=1):
        if not isinstance(row, Mapping | Example):
            raise DataError(
                f"row {number} is {row!r:.80} ({type(row).__name__}), not a mapping of field to value; "
                "of a data frame pass frame.to_dict('records')"
            )
        yield row if isinstance(row, Example) else cast("Mapping[object, object]", row)


def _sizes(shares: Sequence[float], total: int) -> list[int]:
    """How many of `total` rows each share gets: largest remainders first."""
    if len(shares) < 2 or not all(0 < share < 1 for share in shares):
        raise DataError(f"split{shares}: give two or more shares between 0 and 1, as in split(0.4, 0.3, 0.3)")
    if abs(math.fsum(shares) - 1) > 1e-9:
        raise DataError(
            f"split{shares}: the shares add up to {math.fsum(shares):g}; they must make 1, "
            "so that no row is dropped unseen. Give the rest a part of its own"
        )
    exact = [share * total for share in shares]
    sizes = [math.floor(item + 1e-9) for item in exact]
    order = sorted(range(len(shares)), key=lambda n: sizes[n] - exact[n])
    for n in order[: total - sum(sizes)]:
        sizes[n] += 1
    return sizes


def _dealt(strata: list[list[list[int]]], shares: Sequence[float], targets: list[int]) -> list[list[int]]:
    """Each group to the part that is furthest behind its share, while that part has room."""
    parts: list[list[int]] = [[] for _ in shares]
    dealt = 0
    for group in (group for stratum in strata for group in stratum):
        dealt += len(group)
        behind = [share * dealt - len(part) for share, part in zip(shares, parts, strict=True)]
        room = [n for n, part in enumerate(parts) if len(part) + len(group) <= targets[n]]
        parts[max(room or range(len(parts)), key=behind.__getitem__)].extend(group)
    return parts
