"""Every fee model by its name.

A word of the vocabulary `fee_model` without a row here is refused by name wherever a schedule is checked or priced. A plug-in adds its
model with `add_fee_model`, in every process, before the first record that names it is written or read.
"""

from typing import Final

from crossbook.domain.errors import FeeError
from crossbook.domain.fee_models.free import Free
from crossbook.domain.fee_models.kalshi_quadratic import KalshiQuadratic
from crossbook.domain.fee_models.polymarket_curve import PolymarketCurve
from crossbook.domain.fee_models.port import FeeRules
from schemas.records import FeeModel
from schemas.vocabulary import extend

FEE_MODELS: Final[dict[FeeModel, FeeRules]] = {
    "kalshi_quadratic": KalshiQuadratic(),
    "polymarket_curve": PolymarketCurve(),
    "free": Free(),
}


def rules_of(model: FeeModel) -> FeeRules:
    """The rules of a model. Raises FeeError: nobody knows it."""
    rules = FEE_MODELS.get(model)
    if rules is None:
        raise FeeError(f"fee model was {model!r}; known are {', '.join(FEE_MODELS)}")
    return rules


def add_fee_model(model: FeeModel, rules: FeeRules) -> None:
    """Add a model and its word.

    Raises:
        ValueError: the name is taken, because schedules on the log mean what it charged so far; or it is no lower-case identifier.
    """
    if model in FEE_MODELS:
        raise ValueError(f"fee model {model!r} is there already; a changed formula is another model")
    extend("fee_model", model)
    FEE_MODELS[model] = rules
