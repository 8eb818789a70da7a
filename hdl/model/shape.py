"""The numbers of a network of any family, each checked."""

from dataclasses import dataclass, fields

from ..errors import InputError, shown
from .bounds import check_whole

__all__ = ["Shape"]

MAX_EPS = 1.0
"""A norm makes variances about 1: an epsilon that is larger is a mistake in the file."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The numbers of a network.

    ``layers`` layers on tokens of ``hidden`` features. ``heads`` heads of queries share ``kv_heads`` heads of keys and
    values, all of ``head_size`` features. The feed-forward part has ``intermediate`` features and the function
    ``activation``. Token ids are below ``vocabulary``; a text has at most ``max_positions`` tokens, of
    ``token_types`` kinds (0: the network knows no kinds). ``image``: channels, height and width, and height and width
    of a patch, where the inputs are images and not texts; there is no vocabulary then. ``norm_eps``: the epsilon of the
    norms. ``tied``: the matrix of the head is that of the embedding.

    Raises:
        InputError: for a number that no network has, with its name.
    """

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    max_positions: int
    vocabulary: int
    token_types: int
    norm_eps: float
    activation: str
    tied: bool
    image: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", tuple(self.image))  # a list, where it comes from a file
        none = {"token_types", "vocabulary"} if self.image else {"token_types"}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and not (field.name in none and type(value) is int and value == 0):
                check_whole(self.name, field.name, value)
            if field.type is bool and type(value) is not bool:
                raise InputError(f"{field.name} of model {self.name!r} must be true or false, not {shown(value)}")
        if self.image:
            self._check_image()
        if self.heads % self.kv_heads:
            raise InputError(
                f"kv_heads of model {self.name!r} must be a divisor of its {self.heads} heads, not {self.kv_heads}"
            )
        if not isinstance(self.norm_eps, float) or not 0 <= self.norm_eps <= MAX_EPS:
            raise InputError(
                f"norm_eps of model {self.name!r} must be a number from 0 to {MAX_EPS}, not {shown(self.norm_eps)}"
            )

    def _check_image(self) -> None:
        for name, value in zip(("channels", "image_size", "patch_size"), self.image, strict=True):
            check_whole(self.name, name, value)
        _, size, patch = self.image
        if size % patch:
            raise InputError(f"patch_size of model {self.name!r} must be a divisor of {size}, not {patch}")
