"""The numbers of a network of any family, each checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, create_model

from ..errors import InputError, shown

__all__ = ["Shape", "checked"]

Whole = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The numbers of a network. With larger ones than the bounds, commands would not end: these are above all published
    models, as their descriptions say.

    ``layers`` layers on tokens of ``hidden`` features. ``heads`` heads of queries share ``kv_heads`` heads of keys and
    values, all of ``head_size`` features. The feed-forward part has ``intermediate`` features and the function
    ``activation``. ``norm_eps``: the epsilon of the norms. ``tied``: the matrix of the head is that of the embedding.
    ``attention_bias`` and ``ffn_bias``: whether all products of these parts have biases, where the family leaves that
    open. ``rotary_base``, ``rotary_factor``, ``rotary_low``, ``rotary_high`` and ``rotary_positions``: see `Angles`,
    for networks with rotary positions.

    A text has at most ``max_positions`` tokens, whose ids are below ``vocabulary``, of ``token_types`` kinds (0: the
    network knows no kinds). Where the inputs are images there is no vocabulary: they have ``channels``, are
    ``image_size`` pixels high and wide, and are cut into patches of ``patch_size``.

    Raises:
        InputError: for a number that no network has, with its name.
    """

    name: str
    family: str
    layers: Annotated[Whole, Field(le=256, description="the deepest published models have about 130")]
    hidden: Annotated[Whole, Field(le=1 << 16, description="the largest published models have about 20,000")]
    heads: Annotated[Whole, Field(le=1 << 10, description="the largest published models have about 130")]
    kv_heads: Annotated[Whole, Field(le=1 << 10, description="the largest published models have about 130")]
    head_size: Annotated[Whole, Field(le=1 << 12, description="published models have 32 to 512")]
    intermediate: Annotated[Whole, Field(le=1 << 18, description="the largest published models have about 80,000")]
    norm_eps: Annotated[float, Field(ge=0, le=1)]
    activation: str
    tied: bool = True
    attention_bias: bool = False
    ffn_bias: bool = False
    rotary_base: Annotated[float, Field(ge=1, le=1e12)] = 0.0
    rotary_factor: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    rotary_low: Annotated[float, Field(ge=1e-3, le=1e6)] = 0.0
    rotary_high: Annotated[float, Field(ge=1e-3, le=1e6)] = 0.0
    rotary_positions: Annotated[Whole, Field(le=1 << 24, description="published models have 8,192")] = 0
    max_positions: Annotated[Whole, Field(le=1 << 24, description="the longest published texts have 10,000,000 tokens")]
    vocabulary: Annotated[Whole, Field(le=1 << 20, description="the largest published have about 900,000 words")] = 0
    token_types: Annotated[Whole, Field(le=1 << 10, description="published models have at most 2")] = 0
    channels: Annotated[Whole, Field(le=1 << 10, description="images have 1 to 4, satellites' some hundred")] = 0
    image_size: Annotated[Whole, Field(le=1 << 14, description="published models have 224 to 1,024 pixels")] = 0
    patch_size: Annotated[Whole, Field(le=1 << 14, description="published models have 8 to 32 pixels")] = 0

    def __post_init__(self) -> None:
        none = {name for name in OPTIONAL if type(value := getattr(self, name)) in (int, float) and value == 0}
        checked(self.name, {name: value for name, value in vars(self).items() if name not in none})
        for field, whole in (("kv_heads", "heads"), ("patch_size", "image_size")):
            value, size = getattr(self, field), getattr(self, whole)
            if value and size % value:
                raise InputError(
                    f"{field} of model {self.name!r} must be a divisor of its {whole} ({size}), not {value}"
                )


HINTS: dict[str, Any] = {name: (hint, None) for name, hint in get_type_hints(Shape, include_extras=True).items()}
FIELDS = create_model("Fields", __config__=ConfigDict(strict=True, extra="forbid"), **HINTS)
"""The fields of a shape, any of which may be left out."""

OPTIONAL = (
    "vocabulary", "token_types", "channels", "image_size", "patch_size", "rotary_base", "rotary_low", "rotary_high",
    "rotary_positions",
)  # fmt: skip
"""Numbers that are 0 where a network has no such thing."""

WHAT: dict[Any, str] = {
    int: "a whole number of at least 1",
    float: "a number",
    bool: "true or false",
    str: "a name",
}
"""What a field of a type must be."""


def checked(model: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Some fields of a ``model``, each of its type and within its bounds.

    Raises:
        InputError: with the first field that is not, and what it must be.
    """
    try:
        found: dict[str, Any] = FIELDS.model_validate(values).model_dump(exclude_unset=True)
        return found
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    field = str(fault["loc"][0])
    about = FIELDS.model_fields[field]
    requirement, reason = WHAT[about.annotation], ""
    if about.annotation is float:
        least, most = (getattr(bound, end) for bound, end in zip(about.metadata, ("ge", "le"), strict=True))
        requirement = f"a number from {least:,g} to {most:,g}"
    if about.annotation is int and fault["type"] == "less_than_equal":
        requirement, reason = f"at most {fault['ctx']['le']:,}", f": {about.description}"
    raise InputError(f"{field} of model {model!r} must be {requirement}, not {shown(fault['input'])}{reason}")
