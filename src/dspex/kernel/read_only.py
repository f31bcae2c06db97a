"""JSON that cannot be changed: what programs hold, so that a content hash stays true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import AfterValidator

from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.ports import JSON


class ReadOnlyDict(dict[str, JSON]):
    """A dict, for everyone who reads it (`json.dumps` included), that refuses to change. `dict(it)` is a free copy."""

    __slots__ = ()
    if not TYPE_CHECKING:

        def _refuse(self, *_: Any, **__: Any) -> NoReturn:
            raise TypeError(_REFUSAL)

        __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

        def __copy__(self) -> ReadOnlyDict:
            return self

        def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnlyDict:
            return self


class ReadOnlyList(list[JSON]):
    """A list that refuses to change. `list(it)` is a free copy."""

    __slots__ = ()
    if not TYPE_CHECKING:

        def _refuse(self, *_: Any, **__: Any) -> NoReturn:
            raise TypeError(_REFUSAL)

        __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
        append = extend = insert = remove = pop = clear = sort = reverse = _refuse

        def __copy__(self) -> ReadOnlyList:
            return self

        def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnlyList:
            return self


_REFUSAL = "part of a program, which cannot be changed; copy it, or make another program with program.configured({...})"


def read_only(value: Any) -> Any:
    """`value` (JSON) with every dict and list in it made unchangeable."""
    if isinstance(value, ReadOnlyDict | ReadOnlyList):
        return value
    if is_mapping(value):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})
    if is_list(value):
        return ReadOnlyList(read_only(item) for item in value)
    return value


ReadOnlyJSON = Annotated[JSON, AfterValidator(read_only)]
ReadOnlyMapping = Annotated[dict[str, JSON], AfterValidator(read_only)]
