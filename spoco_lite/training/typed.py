"""Values of the types that annotations name. Numbers may be NumPy's, tuples lists, as they come from files."""

import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real

import numpy as np

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "names with their values",
    type(None): "None",
}


def typed(value, kind):
    """The value in plain Python, if it is of the kind; else a TypeError.

    >>> typed(np.float32(0.5), float), typed([1, 2], int | tuple[int, ...]), typed(None, int | None)
    (0.5, (1, 2), None)
    >>> typed(1.5, int)
    Traceback (most recent call last):
        ...
    TypeError: found 1.5; give a whole number
    """
    if isinstance(kind, types.UnionType):
        for one in typing.get_args(kind):
            with suppress(TypeError):
                return typed(value, one)
    elif typing.get_origin(kind) is tuple:
        first, *rest = typing.get_args(kind)
        several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
        if several and (rest == [...] or len(value) == 1 + len(rest)):
            with suppress(TypeError):
                return tuple(typed(one, first) for one in value)
    elif kind is bool and isinstance(value, bool | np.bool_):
        return bool(value)
    elif kind in (int, float) and not isinstance(value, bool):
        if isinstance(value, Integral if kind is int else Real):
            return value.item() if isinstance(value, np.generic) else value
    elif kind is dict and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    elif kind in (str, type(None)) and isinstance(value, kind):
        return value
    raise TypeError(f"found {value!r}; give {words(kind)}")


def words(kind) -> str:
    """What a kind is, for a message.

    >>> words(int | tuple[int, ...]), words(tuple[float, float] | None)
    ('a whole number, or a list of whole numbers', 'a list of 2 numbers, or None')
    """
    if isinstance(kind, types.UnionType):
        return ", or ".join(map(words, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        first, *rest = typing.get_args(kind)
        count = "" if rest == [...] else f"{1 + len(rest)} "
        return f"a list of {count}{WORDS[first].removeprefix('a ')}s"
    return WORDS[kind]
