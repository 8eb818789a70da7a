"""The demonstration: real text through the emitted Verilog, every value that leaves checked against the integer
reference."""

import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hdl.bounds import THREADS
from hdl.errors import InputError
from hdl.model.floating import check_tokens
from hdl.model.load import load_model
from hdl.model.network import Network
from hdl.model.origin import Origin
from hdl.model.prepare import prepare
from hdl.model.sample import Sampler, Sampling
from hdl.model.tokens import load_tokens
from hdl.model.weightbits import WeightBits
from hdl.output import output_file, starts_with
from hdl.perf.choice.built import plan
from hdl.perf.device import devices, load_device
from hdl.perf.geometry.decoder_spec import DecoderSpec
from hdl.perf.memory_timing import MemoryTiming
from hdl.top.console import show
from hdl.top.decoder.decoder_pipeline import DecoderPipeline
from hdl.top.describe import planned_share
from hdl.top.emitter import Emitter
from hdl.top.encoder_pipeline import Pipeline
from hdl.top.image import build_image
from hdl.top.planned import check_built
from sim import encode, generate
from sim.accelerator import Accelerator
from sim.compiler import check_compiler
from sim.decoder import DecoderSimulation

__all__ = ["demonstrate"]

BUILDING = "building the simulation (once; a full-size one takes minutes)"

OPTIMISE = "-O1"
"""The effort of the C++ compiler. For a decoder with arrays of 36 columns, -O2 takes 49 instead of 11 CPU seconds to
compile, and simulates no faster; at full size the two were not compared."""

INTERPRETED_WEIGHTS = 200_000
"""Weights a layer of the largest model that Amaranth's own simulator runs a few tokens of in minutes."""


@dataclass(frozen=True, kw_only=True)
class DemonstrationOptions:
    """What the command line says of the model, the design and the simulation."""

    model: Network
    simulator: str
    origin: Origin
    static: bool
    weight_bits: WeightBits
    device: str
    tile: int | None
    max_length: int | None
    share: float
    waves: Path | None
    force: bool
    threads: int


def demonstrate(
    given: Set[str],
    *,
    model: str,
    texts: Sequence[str],
    prompt: str | None,
    tokens: int,
    top_k: int,
    temperature: float,
    seed: int,
    checkpoint: Path | None,
    random_weights: bool,
    **others: Any,
) -> int:
    """Runs texts through an encoder, or writes on from a prompt with a decoder; the exit code: 0 bit-exact, 1 a
    mismatch. ``given``: the options that are on the command line.

    Raises:
        InputError: for what does not suit the model, or would fail after a long build.
    """
    network = load_model(model)
    check_inputs(network, given)
    check_built(network)
    origin = Origin.of(model, checkpoint=checkpoint, random_weights=random_weights)
    options = DemonstrationOptions(model=network, origin=origin, **others)
    check_options(options)
    if network.causal:
        assert prompt is not None
        return write(network, options, prompt, tokens, Sampling(temperature=temperature, top_k=top_k, seed=seed))
    return read(network, options, texts)


def check_inputs(network: Network, given: Set[str]) -> None:
    """Refuses what is for other models, and what is missing."""
    if network.causal:
        wanted, foreign = "prompt", {"texts"}
    else:
        wanted, foreign = "texts", {"prompt", "tokens", "top_k", "temperature", "seed", "weight_bits", "int8"}
    names = {"texts": "--text", "top_k": "--top-k", "weight_bits": "--weight-bits"}
    for name in sorted(given & foreign):
        option = names.get(name, f"--{name}")
        raise InputError(f"{option} must be left out for model {network.name!r}, of the family {network.family}")
    if wanted not in given:
        raise InputError(f"{names.get(wanted, f'--{wanted}')} must be given for model {network.name!r}")


def check_options(options: DemonstrationOptions) -> None:
    """Refuses what would fail, or never end, after a long build."""
    network, waves = options.model, options.waves
    THREADS.check(options.threads)
    if options.simulator == "amaranth" and network.layer_weights > INTERPRETED_WEIGHTS:
        raise InputError(
            f"Amaranth's simulator is for models of up to {INTERPRETED_WEIGHTS:,} weights per layer, such as tiny-bert "
            f"and tiny-gpt2; {network.name!r} has {network.layer_weights:,}: use --simulator verilator"
        )
    if options.simulator == "verilator":
        check_compiler()
    if waves is not None:
        if waves.is_dir():
            raise InputError(f"waves file {waves} must be a file to write, and is a folder; name a file in it")
        output_file(waves, "sim", is_waves, force=options.force, reads=options.origin.files(), option="--waves")
        try:
            # The file itself must not appear before there is something in it.
            with NamedTemporaryFile(dir=waves.parent):
                pass
        except OSError as error:
            raise InputError(
                f"waves file {waves} cannot be written: {error.strerror}; choose another --waves"
            ) from error


def is_waves(path: Path) -> bool:
    """Whether a file is a VCD file, whose first words say what it is of."""
    return starts_with(path, b"$timescale", b"$end")


def read(network: Network, options: DemonstrationOptions, texts: Sequence[str]) -> int:
    """Runs texts through an encoder; the exit code."""
    device = load_device(options.device)
    spec = plan(network, device, tile=options.tile, max_length=options.max_length, share=options.share)
    with shown_steps() as steps:
        with step(steps, "loading and quantising", told=False):
            # Texts first: to quantise takes longer.
            tokens = load_tokens(network, options.origin)
            ids = [tokens.of(text, spec.max_length) for text in texts]
            for own in ids:
                check_tokens(own, network)
            prepared = prepare(network, options.origin, tokens=tokens, static=options.static)
            image = build_image(prepared.quantised, spec)
        if options.simulator == "amaranth":
            accelerator = Accelerator.interpreted(spec, image)
        else:
            with step(steps, "emitting Verilog"):
                sources = Emitter().emit(Pipeline(spec), "pipeline")
            with step(steps, BUILDING):
                accelerator = Accelerator.verilated(
                    spec, sources, image, threads=options.threads, trace=options.waves is not None, optimise=OPTIMISE
                )
        with accelerator:
            results = [
                encode.checked(prepared, accelerator, text, own, None if index else options.waves, steps)
                for index, (text, own) in enumerate(zip(texts, ids, strict=True))
            ]
    encode.report(results, prepared, spec, device, options.simulator)
    show(*planned_share(spec, device, options.share))
    return 1 if any(result.mismatch for result in results) else 0


def write(network: Network, options: DemonstrationOptions, prompt: str, tokens: int, sampling: Sampling) -> int:
    """Writes on from a prompt with a decoder, showing the text as it comes; the exit code."""
    device = load_device(options.device)
    if device.memory.timing is None:
        timed = ", ".join(name for name in devices() if load_device(name).memory.timing)
        raise InputError(
            f"device {options.device!r} must have a memory with timing to simulate a decoder, and its file has none; "
            f"devices with it: {timed}"
        )
    bits = options.weight_bits
    spec = plan(
        network, device, tile=options.tile, max_length=options.max_length, weight_bits=bits, share=options.share
    )
    assert isinstance(spec, DecoderSpec)
    console = Console(highlight=False, markup=False, emoji=False)
    with shown_steps() as steps:
        with step(steps, "loading and quantising", told=False):
            tokeniser = load_tokens(network, options.origin)
            ids = tokeniser.of(prompt, spec.positions)
            generate.check_text(ids, tokens, network, spec)
            prepared = prepare(network, options.origin, tokens=tokeniser, static=options.static, weight_bits=bits)
            image = build_image(prepared.quantised, spec)
        timing = MemoryTiming.of(device.memory, device.clock_mhz)
        if options.simulator == "amaranth":
            simulation = DecoderSimulation.interpreted(spec, image, timing=timing)
        else:
            with step(steps, "emitting Verilog"):
                sources = Emitter().emit(DecoderPipeline(spec), "decoder")
            with step(steps, BUILDING):
                simulation = DecoderSimulation.verilated(
                    spec,
                    sources,
                    image,
                    timing=timing,
                    threads=options.threads,
                    trace=options.waves is not None,
                    optimise=OPTIMISE,
                )
    writer = generate.Writer(prepared.quantised, simulation, Sampler(sampling, prepared.quantised.logit_scale))
    click.echo(prepared.told())
    with simulation:
        stream = prepared.tokens.stream()
        show_text(stream.push(ids))
        for found in writer.write(ids, tokens, waves=options.waves):
            show_text(stream.push(found.ids[-1:]))
        show_text(f"{stream.end()}\n")
    generate.report(found, network, spec, device, console)
    show(*planned_share(spec, device, options.share))
    return 1 if found.mismatch else 0


def show_text(text: str) -> None:
    """Text on stdout as it is: a console would take ``:smile:`` for an emoji, and drop characters of control."""
    sys.stdout.write(text)
    sys.stdout.flush()


def shown_steps() -> Progress:
    """Progress on stderr; on what is no terminal, nothing."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class step:
    """A step in the progress; where there is no terminal, with a line in a log if it is to be ``told``."""

    def __init__(self, steps: Progress, doing: str, *, told: bool = True):
        self.steps, self.doing, self.told = steps, doing, told

    def __enter__(self) -> None:
        self.task = self.steps.add_task(self.doing, total=None)
        if self.steps.disable and self.told:
            click.echo(f"{self.doing} ...", err=True)

    def __exit__(self, *error: object) -> None:
        self.steps.remove_task(self.task)
