"""An encoder's kernel under the driver: the emitted Verilog through its AXI ports alone."""

from collections.abc import Iterator

import numpy as np
import pytest
from spatial_llm.accelerator import EncoderAccelerator
from spatial_llm.kernel import RunError

from hdl.card.session import Code
from hdl.model import reference
from hdl.perf.schedule.encoder_schedule import counted_cycles
from sim.xrt import SimulatedXrt

from ..top.designs import SMALL, random_model, texts
from .kernels import driven

MODEL = random_model(SMALL, SMALL.max_layers)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatedXrt, EncoderAccelerator]]:
    with driven(SMALL, MODEL, tmp_path_factory.mktemp("kernel")) as (xrt, accelerator):
        assert isinstance(accelerator, EncoderAccelerator)
        yield xrt, accelerator


def embedded(lengths: list[int], seed: int) -> list[np.ndarray]:
    return [MODEL.embed(text) for text in texts(SMALL, lengths, seed)]


def test_a_batch_of_texts(kernel: tuple[SimulatedXrt, EncoderAccelerator]) -> None:
    _, accelerator = kernel
    given = embedded([5, SMALL.max_length, 1], 5)
    for found, text in zip(accelerator.run(given), given, strict=True):
        np.testing.assert_array_equal(found, reference.run(MODEL, text)[-1])
    # The next run does not sum the image, and takes no longer than the texts one by one.
    accelerator.run(given)
    assert accelerator.counters()["cycles"] < 1.03 * sum(counted_cycles(SMALL, len(text), 2) for text in given)
    assert accelerator.counters()["answers"] == 3 + 4 + 1
    assert accelerator.counters()["beats_parameters"] > 0


def test_all_layers_of_a_text(kernel: tuple[SimulatedXrt, EncoderAccelerator]) -> None:
    (text,) = embedded([7], 6)
    np.testing.assert_array_equal(kernel[1].layers(text), np.stack(reference.run(MODEL, text)))


@pytest.mark.parametrize(
    ("change", "code"),
    [(8, Code.FOREIGN_IMAGE), (16, Code.FOREIGN_IMAGE), (20, Code.FOREIGN_IMAGE), (24, Code.DAMAGED_IMAGE),
     (4096 + 999, Code.DAMAGED_IMAGE)],
)  # fmt: skip
def test_an_image_that_is_not_its_own_is_refused(
    kernel: tuple[SimulatedXrt, EncoderAccelerator], change: int, code: Code
) -> None:
    """A byte of the hash, the channel, the beats, the checksum or the contents of one channel is another."""
    xrt, accelerator = kernel
    name = "weights_ffn1_0"
    bank, place = xrt.banks[name], accelerator.kernel.buffers[name].address() % (1 << 28) + change
    given = embedded([3], 7)
    bank[place] ^= 1
    accelerator.kernel.recheck()
    with pytest.raises(RunError) as refused:
        accelerator.run(given)
    assert refused.value.code is code
    assert str(refused.value) == f"run of spatial_encoder ended with {code.name}, channel {name}"
    bank[place] ^= 1
    np.testing.assert_array_equal(accelerator.run(given)[0], reference.run(MODEL, given[0])[-1])


def test_texts_that_do_not_fit(kernel: tuple[SimulatedXrt, EncoderAccelerator]) -> None:
    _, accelerator = kernel
    right = embedded([5], 8)
    for count, code in ((0, Code.NO_TOKENS), (SMALL.max_length + 1, Code.FULL)):
        with pytest.raises(RunError) as refused:
            accelerator.run([*right, np.zeros((count, SMALL.hidden), np.int16)])
        assert refused.value.code is code
    np.testing.assert_array_equal(accelerator.run(right)[0], reference.run(MODEL, right[0])[-1])
