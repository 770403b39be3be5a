"""`python -m tests.equality`: dump what the stages write over fixed input, and compare two dumps of different commits.

dump FOLDER [--seeds 20] [--only NAME]    make the input and decide on it
dump FOLDER --market BEFORE               decide on the input of an earlier dump, mapped forward
compare BEFORE AFTER                      exit code 1 on any difference
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.equality.compare import Comparison
from tests.equality.decided import decide_all
from tests.equality.files import read_manifest, read_market, write_manifest, write_source
from tests.equality.mapping import table
from tests.equality.sources import MATCHES, RECORDINGS, match_names, records_of, world_name


def main(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.equality")
    commands = parser.add_subparsers(dest="command", required=True)
    dump = commands.add_parser("dump")
    dump.add_argument("folder", type=Path)
    dump.add_argument("--seeds", type=int, default=20)
    dump.add_argument("--only", action="append", default=[])
    dump.add_argument("--market", type=Path)
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "compare":
        return _compare(options.before, options.after)
    return _dump(options)


def _dump(options: argparse.Namespace) -> int:
    if options.market is not None:
        names = list(read_manifest(options.market))
    else:
        names = [world_name(seed) for seed in range(1, options.seeds + 1)] + match_names()
        if len(match_names()) < len(MATCHES):
            print(
                f"the recorded matches are left out: {RECORDINGS.parent.name}/{RECORDINGS.name} is not beside the checkout"
            )
    sources = {}
    counts: Counter[str] = Counter()
    for name in names:
        if options.only and name not in options.only:
            continue
        started = time.monotonic()
        market = records_of(name) if options.market is None else read_market(options.market, name)
        sources[name] = write_source(options.folder, name, decide_all(name, market))
        found = sources[name]["counts"]
        counts.update(found)
        trades = {
            key.removeprefix("journal "): n for key, n in found.items() if key in {"journal TradePlan", "fills Fill"}
        }
        print(f"{name:28} {sum(found.values()):>8,} records  {trades}  {time.monotonic() - started:.1f} s", flush=True)
    print(*(f"  {key:34} {count:>9,}" for key, count in sorted(counts.items())), sep="\n")
    print(f"{sum(counts.values()):,} records; manifest sha256 {write_manifest(options.folder, sources)}")
    return 0


def _compare(before: Path, after: Path) -> int:
    found = Comparison()
    found.dumps(before, after)
    print(*table(), *found.lines(), sep="\n")
    return 1 if found.different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
