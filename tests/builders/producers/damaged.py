"""Frames with one damaged value."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

BAD_VALUES = st.sampled_from(
    [
        None,
        "",
        "0",
        "-1",
        "1e400",
        "NaN",
        "0.505",
        "0.4567",
        "1",
        "x",
        0,
        -1,
        1e3,
        True,
        [],
        {},
        "9" * 30,
        "0.0000001",
        10**18,
    ]
)


@st.composite
def mutated(draw: st.DrawFn, frames: list[Any]) -> list[Any]:
    """The stream with some frames altered, dropped, doubled or swapped."""
    frames = copy.deepcopy(frames)
    for _ in range(draw(st.integers(1, 3))):
        if not frames:
            break
        index = draw(st.integers(0, len(frames) - 1))
        kind = draw(st.sampled_from(["alter", "alter", "remove_field", "drop", "double", "swap", "cut"]))
        if kind == "drop":
            del frames[index]
        elif kind == "double":
            frames.insert(index, copy.deepcopy(frames[index]))
        elif kind == "swap":
            other = draw(st.integers(0, len(frames) - 1))
            frames[index], frames[other] = frames[other], frames[index]
        elif kind == "cut" and not isinstance(frames[index], bytes):
            raw = json.dumps(frames[index]).encode()
            frames[index] = raw[: draw(st.integers(0, len(raw) - 1))]
        elif not isinstance(frames[index], bytes):
            _alter(draw, frames[index], remove=kind == "remove_field")
    return frames


def _alter(draw: st.DrawFn, node: Any, *, remove: bool) -> None:
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
            node = node[key]
            continue
        if remove:
            del node[key]
        else:
            node[key] = draw(BAD_VALUES)
        return
