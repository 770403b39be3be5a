"""The state of the cross-venue strategy as readable JSON, and back; memos are derived again."""

from typing import Final

import msgspec

from processors.strategies.cross_venue.state import CrossVenueState, PackageState, PairState, QuoteStatus
from processors.strategies.edges import Evaluation
from schemas.records import Package, PairListed


class PackageImage(msgspec.Struct, frozen=True):
    """A PackageState."""

    package: Package
    status: QuoteStatus
    quoted: tuple[int, ...]
    refusal: str
    evaluations: int
    gross_positive: int
    net_positive: int
    episodes: int
    at_threshold: int
    episodes_at_threshold: int
    in_episode: bool
    in_episode_at_threshold: bool
    net_best_micros: int | None


class PairImage(msgspec.Struct, frozen=True):
    """A PairState."""

    listing: PairListed
    last_intent_ns: int | None
    packages: tuple[PackageImage, ...]


class CrossVenueImage(msgspec.Struct, frozen=True):
    """A CrossVenueState."""

    pairs: tuple[PairImage, ...]
    statistics_unwritten: tuple[tuple[str, Package], ...]
    quotes: tuple[tuple[str, Package], ...]


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(CrossVenueImage)
_PACKAGE_PLAIN: Final = tuple(name for name in PackageImage.__struct_fields__ if name != "quoted")


def freeze(state: CrossVenueState) -> bytes:
    """The whole state but for its settings."""
    return _ENCODER.encode(
        CrossVenueImage(
            pairs=tuple(
                PairImage(
                    pair.listing, pair.last_intent_ns, tuple(_package_image(one) for one in pair.packages.values())
                )
                for pair in state.pairs.values()
            ),
            statistics_unwritten=tuple(state.statistics_unwritten),
            quotes=tuple(state.quotes),
        )
    )


def thaw(payload: bytes, state: CrossVenueState) -> None:
    """Bring a fresh state to where `freeze` was. Raises msgspec.DecodeError when the bytes are no image."""
    image = _DECODER.decode(payload)
    for pair in image.pairs:
        pair_state = PairState(pair.listing)
        pair_state.last_intent_ns = pair.last_intent_ns
        for one in pair.packages:
            pair_state.packages[one.package] = _package_state(pair.listing.pair_id, one)
        state.pairs[pair.listing.pair_id] = pair_state
    state.statistics_unwritten = dict.fromkeys(image.statistics_unwritten)
    state.quotes = dict.fromkeys(image.quotes)


def _package_image(state: PackageState) -> PackageImage:
    return PackageImage(quoted=tuple(state.quoted), **{name: getattr(state, name) for name in _PACKAGE_PLAIN})


def _package_state(pair_id: str, image: PackageImage) -> PackageState:
    state = PackageState(pair_id, image.package)
    for name in _PACKAGE_PLAIN:
        setattr(state, name, getattr(image, name))
    state.quoted = Evaluation(*image.quoted)
    return state
