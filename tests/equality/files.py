"""A dump on disk: one gzipped file of JSON lines a source and topic, and a manifest with counts and digests.

The digests are of the text, so that they are equal wherever the text is, whatever packs it.
"""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.records import RECORDS, Record
from tests.equality.mapping import forward_all

TOPICS = ("market", "signals", "intents", "journal", "fills")
MANIFEST = "manifest.json"


def write_source(folder: Path, name: str, found: Mapping[str, Iterable[Record]]) -> dict[str, Any]:
    """Write a source; return its counts by record name and its digests by topic."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    digests: dict[str, str] = {}
    for topic in TOPICS:
        lines = []
        for record in found[topic]:
            counts[f"{topic} {type(record).__name__}"] += 1
            lines.append(msgspec.json.encode({"record": type(record).__name__, "fields": msgspec.to_builtins(record)}))
        text = b"".join(line + b"\n" for line in lines)
        digests[topic] = hashlib.sha256(text).hexdigest()
        _file(folder, name, topic).write_bytes(gzip.compress(text, 3, mtime=0))
    return {"counts": dict(sorted(counts.items())), "sha256": digests}


def write_manifest(folder: Path, sources: Mapping[str, Any]) -> str:
    """Write the manifest; return the digest over all of it."""
    text = json.dumps(dict(sources), indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text, "utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Sources of a dump with counts and digests."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    return found


def read_topic(folder: Path, name: str, topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Record names and fields, in order."""
    for line in gzip.decompress(_file(folder, name, topic).read_bytes()).splitlines():
        row = msgspec.json.decode(line)
        yield row["record"], row["fields"]


def read_market(folder: Path, name: str) -> Sequence[Record]:
    """Records of `market` of an earlier dump, mapped forward and made of today's classes."""
    found = []
    for now, mapped in forward_all(read_topic(folder, name, "market")):
        found.append(msgspec.convert(mapped, RECORDS[now]))
    return found


def _file(folder: Path, name: str, topic: str) -> Path:
    return folder / name / f"{topic}.jsonl.gz"
