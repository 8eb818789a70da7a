"""The parts of a kernel besides its pipeline against the limits of timing. ``python -m bench.cardtiming``; it prints
what exceeds a limit."""

import sys

from hdl.card.answers import AnswerWriter
from hdl.card.axi import MasterSpec
from hdl.card.control import RunControl
from hdl.card.guard import ImageGuard
from hdl.card.masters import ReadMaster, WriteMaster
from hdl.card.report import ReportWriter
from hdl.card.session import Session
from hdl.kernels.tokensampler import TokenSampler
from hdl.top.emitter import Emitter
from hdl.top.kernel.generation import Generation
from hdl.top.kernel.kernel_spec import KernelSpec
from hdl.top.kernel.texts import TextReader, TextWriter
from sim.mapping import map_modules
from sim.timing import analyse
from sim.timing_gate import failures
from tests.top.decoder import designs as decoders
from tests.top.designs import SMALL


def main() -> int:
    """Prints the failures; returns 1 if there are any."""
    encoder, decoder = KernelSpec(SMALL), KernelSpec(decoders.SMALL)
    parts = {
        "guard": ImageGuard(),
        "reader": ReadMaster(MasterSpec()),
        "writer": WriteMaster(MasterSpec()),
        "control": RunControl(decoder.registers),
        "report": ReportWriter(decoder.registers),
        "session": Session(8),
        "answers": AnswerWriter(),
        "sampler": TokenSampler(decoder.sampler),
        "generation": Generation(decoder),
        "text_reader": TextReader(encoder),
        "text_writer": TextWriter(encoder),
    }
    emitter = Emitter()
    emitter.emit_all(parts)
    nets = map_modules(emitter.modules)
    found = [failure for name in parts for failure in failures(analyse(nets, name))]
    for failure in found:
        print(failure)
    print(f"{len(parts)} parts, {len(found)} failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
