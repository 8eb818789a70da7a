"""The tables of number formats in docs/formats.md have the bits of the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hdl.dsp import CASCADE_SUM_BITS
from hdl.kernels.activation import Activation, ActivationSpec, TableEntry
from hdl.kernels.arrayspec import ACTIVATION_BITS, MAX_TERMS, WIDEST_SUM_BITS, sum_bits
from hdl.kernels.embedding import Embedding, EmbeddingSpec
from hdl.kernels.layernorm import LayerNorm, LayerNormSpec
from hdl.kernels.normparameters import EpsilonWord
from hdl.kernels.packedweights import NIBBLE
from hdl.kernels.parameters import SCALED_BITS, ChannelWord, RowFactor
from hdl.kernels.requantise import REQUANTISE_FACTOR_BITS, Requantise, RequantiseSpec
from hdl.kernels.residual import SKIP_PLACES_BITS, TERM_SHAPE, ResidualAdd, ResidualSpec
from hdl.kernels.rowgather import VALUE
from hdl.kernels.rowquantise import RowQuantise, RowQuantiseSpec
from hdl.kernels.rowstatistics import NORMALISED_BITS, RADICAND_BITS, RowStatisticsSpec
from hdl.kernels.shared import GROUP_FACTOR_BITS
from hdl.kernels.softmax import SoftmaxSpec
from hdl.kernels.softmax_row import INDEX_BITS, NUMERATOR_BITS, SCORE_FACTOR_BITS
from hdl.kernels.topk import TopK, TopKSpec

TEXT = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()


def of(shape: Any, words: str = "") -> str:
    """How the tables write a shape."""
    shape = Shape.cast(shape)
    return f"{shape.width} {'signed' if shape.signed else 'unsigned'}{words}"


def row_shape(*, of_activations: bool) -> Shape:
    """A value of a quantised row."""
    spec = RowQuantiseSpec(rows=1, lanes=1, features=8, unsigned=of_activations)
    return RowQuantise(spec).quantised.payload[0][0].shape()


def result_shape(bits: int) -> Shape:
    """A requantiser's value."""
    sizes: dict[str, Any] = dict.fromkeys(("rows", "lanes", "channels", "group"), 1)
    spec = RequantiseSpec(**sizes, sum_bits=27, output_bits=bits, symmetric=False, zero_point=False)
    return Requantise(spec).values.payload[0][0].shape()


def field(layout: Any, name: str) -> str:
    """The bits of a word's field, as the tables write them."""
    place = layout[name]
    return f"[{place.offset + place.width - 1}:{place.offset}]"


def expected() -> dict[str, str]:
    """The bits of every line, from the code."""
    norm, topk = LayerNormSpec(rows=1, lanes=1, features=8), TopKSpec(rows=1, lanes=1, features=1000, largest=1)
    table = ActivationSpec(rows=1, lanes=1, features=1, max_tiles=1)
    tables = EmbeddingSpec(rows=1, lanes=1, hidden=8, vocabulary=1000, positions=8, latency_cycles=1)
    statistics = [RowStatisticsSpec(features=d, input_bits=bits) for d, bits in ((8, 8), (4096, 18))]
    scores: dict[str, Any] = dict.fromkeys(
        ("rows", "lanes", "heads", "max_length", "key_multiple", "value_multiple"), 1
    )
    assert LayerNorm(norm).normalised.payload[0][0].shape() == result_shape(16) == TERM_SHAPE
    assert sum_bits(MAX_TERMS) == WIDEST_SUM_BITS
    assert statistics[0].mean_bits == 8 + 4
    assert TopK(topk).results.payload.logit.shape() == result_shape(16)
    assert len(Embedding(tables).ids.payload) == topk.token_bits == 10  # ceil(log2 1,000)
    assert SoftmaxSpec(score_bits=26, **scores)
    with pytest.raises(ValueError, match="score_bits must be 2 to 26"):
        SoftmaxSpec(score_bits=27, **scores)
    word = {name: f"channel word {field(ChannelWord, name)}" for name, _ in ChannelWord}
    return {
        "features (layer input and output, results of requantiser, LayerNorm)": of(TERM_SHAPE),
        "residual sum of a post-norm layer": of(ResidualSpec(rows=1, lanes=1, features=1, depth=1).total_shape),
        "residual sum of a pre-norm layer": of(
            ResidualAdd(ResidualSpec(rows=1, lanes=1, features=1, depth=1, output_bits=16)).spec.total_shape
        ),
        "activation result": of(Activation(table).activated.payload[0][0].shape()),
        "quantised row": of(row_shape(of_activations=False)),
        "quantised row of activation results, less 128": of(row_shape(of_activations=True)),
        "queries, keys, values": of(signed(ACTIVATION_BITS)),
        "row factor: mantissa": of(RowFactor["mantissa"].shape),
        "row factor: exponent": of(RowFactor["exponent"].shape),
        "sum of a linear unit": of(signed(WIDEST_SUM_BITS), " at most"),
        "score": of(signed(26), " at most"),
        "softmax numerator": of(unsigned(NUMERATOR_BITS)),
        "weighted sum": of(signed(WIDEST_SUM_BITS), " at most"),
        "logit": of(result_shape(16)),
        "token id": "ceil(log2 of the vocabulary) unsigned",
        "weight of 8 bits, in memory and in a RAM": of(signed(ACTIVATION_BITS)),
        "weight of 4 bits, in memory: q": of(signed(NIBBLE)),
        "factor m of 64 weights of 4 bits": of(unsigned(GROUP_FACTOR_BITS)),
        f"{word['factor']}: factor of a requantiser": of(unsigned(REQUANTISE_FACTOR_BITS)),
        f"{word['factor']}: factor of a softmax head": of(unsigned(SCORE_FACTOR_BITS)),
        f"{word['factor']}: factor of LayerNorm (gamma)": of(ChannelWord["factor"].shape),
        f"{word['shift']}: shift": of(ChannelWord["shift"].shape),
        f"{word['shift']}: shift of the skip side of a residual addition": of(unsigned(SKIP_PLACES_BITS)),
        f"{word['bias']}: bias (beta)": of(ChannelWord["bias"].shape),
        f"{word['column_sum']}: column sum": of(ChannelWord["column_sum"].shape),
        "limit of a row quantiser [15:0]": of(
            RowQuantise(RowQuantiseSpec(rows=1, lanes=1, features=8, unsigned=False)).limit.payload.shape()
        ),
        f"epsilon {field(EpsilonWord, 'value')}": of(EpsilonWord["value"].shape),
        f"epsilon {field(EpsilonWord, 'places')}: places": of(EpsilonWord["places"].shape),
        f"activation table {field(TableEntry, 'base')}: base": of(TableEntry["base"].shape),
        f"activation table {field(TableEntry, 'delta')}: delta": of(TableEntry["delta"].shape),
        "embedding row": of(VALUE),
        "sum of a cascade": of(signed(CASCADE_SUM_BITS)),
        "scaled value, before the bias": of(signed(SCALED_BITS)),
        "index of a softmax numerator": of(unsigned(INDEX_BITS)),
        "mean of a row": "input + 4 signed",
        "V = d * squares - sum^2 + epsilon": f"{RADICAND_BITS} to {statistics[1].variance_bits} unsigned",
        "reciprocal of the deviation": of(norm.statistics.layout["reciprocal"].shape),
        "places": of(norm.statistics.layout["places"].shape),
        "normalised value": of(signed(NORMALISED_BITS)),
    }


def lines() -> list[list[str]]:
    """The cells of every line of the tables, without the headings."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:1] == "|"]
    return [cells for cells in found if cells[0] != "value" and cells[0] != "field" and set(cells[0]) != {"-"}]


def test_bits_are_those_of_the_code() -> None:
    assert {name: bits for name, bits, *_ in lines()} == expected()


def test_ranges_fit_the_bits() -> None:
    checked = 0
    for name, bits, _, range_, *_ in lines():
        ends = re.fullmatch(r"(-?[\d,]+)\.\.(-?[\d,]+)", range_)
        width = re.fullmatch(r"(\d+) (signed|unsigned)", bits)
        if ends and width:
            low, high = (int(end.replace(",", "")) for end in ends.groups())
            shape = Shape(int(width[1]), width[2] == "signed")
            least, most = (
                (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (0, (1 << shape.width) - 1)
            )
            assert least <= low < high <= most, name
            checked += 1
    assert checked > 20


def test_files_exist() -> None:
    kernels = Path(__file__).parent.parent / "hdl" / "kernels"
    for *_, files in lines():
        for file in re.findall(r"`(\w+\.py)`", files):
            assert (kernels / file).is_file() or (kernels.parent / file).is_file(), file
