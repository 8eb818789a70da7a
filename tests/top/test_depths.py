"""FIFOs that are too small: the pipeline waits for itself. `bench.depths` compares more depths."""

import pytest

from sim.streams import Deadlock

from .depths import ShallowAttention, ShallowLoopDecoder, decoder_cycles, encoder_cycles


def test_an_encoder_with_less_room_at_an_addition_deadlocks() -> None:
    with pytest.raises(Deadlock):
        encoder_cycles(ShallowAttention)


def test_a_decoder_with_less_room_in_its_loop_deadlocks() -> None:
    with pytest.raises(Deadlock):
        decoder_cycles(ShallowLoopDecoder)
