"""Sequences for the parts of the shell, run by cocotb on their Verilog against cocotbext-axi's models of AXI."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamRead, AxiRamWrite, AxiReadBus, AxiResp, AxiWriteBus

from tests.card.shell import REGISTERS

BEAT, SIZE = 64, 1 << 17
SEEDS = range(6)


def pauses(seed: int) -> Iterator[bool]:
    """Whether to pause, cycle after cycle; not at all for seed 0."""
    chance = random.Random(seed)
    while True:
        yield seed != 0 and chance.random() < 0.5


class Shell:
    """The design, its clock, and its reset."""

    def __init__(self, dut: Any):
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk, 4, unit="ns").start())

    def port(self, name: str) -> Any:
        """A port by its name."""
        return getattr(self.dut, name)

    async def reset(self) -> None:
        """Resets everything."""
        for name in ("reader__requests", "writer__writes", "writer__written"):
            self.port(f"{name}__valid").value = 0
        for name in ("reader__data", "writer__acknowledged"):
            self.port(f"{name}__ready").value = 0
        self.dut.control__end.value = 0
        self.dut.control__status.value = 0
        self.dut.control__counters__cycles.value = 0x1_0000_0002
        self.dut.control__counters__beats.value = 7
        self.dut.rst.value = 1
        for _ in range(5):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def give(self, name: str, values: list[int], seed: int) -> None:
        """Gives the values to a stream."""
        gaps = pauses(seed)
        for value in values:
            while next(gaps):
                await RisingEdge(self.dut.clk)
            self.port(f"{name}__payload").value = value
            self.port(f"{name}__valid").value = 1
            while True:
                await ReadOnly()
                taken = bool(self.port(f"{name}__ready").value)
                await RisingEdge(self.dut.clk)
                if taken:
                    break
            self.port(f"{name}__valid").value = 0

    async def take(self, name: str, count: int, seed: int) -> list[int]:
        """Takes values from a stream."""
        gaps, found = pauses(seed), []
        while len(found) < count:
            self.port(f"{name}__ready").value = not next(gaps)
            await ReadOnly()
            if self.port(f"{name}__valid").value and self.port(f"{name}__ready").value:
                found.append(int(self.port(f"{name}__payload").value))
            await RisingEdge(self.dut.clk)
        self.port(f"{name}__ready").value = 0
        return found


def requests(seed: int) -> list[tuple[int, int]]:
    """Requests of all lengths, at places of all kinds."""
    chance = random.Random(seed)
    lengths = [1, 256, 64, *(chance.randint(1, 256) for _ in range(5))]
    return [(chance.randrange(0, SIZE // BEAT - 256), length) for length in lengths]


def reading(shell: Shell, seed: int, content: bytes) -> AxiRamRead:
    """A memory for the reader."""
    ram = AxiRamRead(AxiReadBus.from_prefix(shell.dut, "reader__axi_"), shell.dut.clk, shell.dut.rst, size=SIZE)
    ram.write(0, content)
    for number, channel in enumerate((ram.ar_channel, ram.r_channel)):
        channel.set_pause_generator(pauses(seed and seed * 10 + number))
    return ram


async def read_all(shell: Shell, seed: int, base: int, content: bytes) -> None:
    """Reads what a seed asks for, and compares."""
    wanted = [
        content[(base + (first + i) * BEAT) % SIZE :][:BEAT] for first, count in requests(seed) for i in range(count)
    ]
    cocotb.start_soon(shell.give("reader__requests", [first | count << 32 for first, count in requests(seed)], seed))
    found = await with_timeout(shell.take("reader__data", len(wanted), seed and seed + 1), 400, "us")
    assert found == [int.from_bytes(beat, "little") for beat in wanted]


@cocotb.test()
@cocotb.parametrize(seed=SEEDS)
async def reads(dut: Any, seed: int) -> None:
    """Data arrives in order; no flag is set."""
    shell, content = Shell(dut), random.Random(seed).randbytes(SIZE)
    reading(shell, seed, content)
    base = 0 if seed == 0 else 0xFFFF_FFC0_0000_0000 | random.Random(seed).randrange(0, SIZE, BEAT)
    dut.reader__base.value = base
    await shell.reset()
    await read_all(shell, seed, base, content)
    assert int(dut.reader__status.value) == 0


@cocotb.test()
@cocotb.parametrize(seed=range(1, 4))
async def reads_after_a_reset(dut: Any, seed: int) -> None:
    """A reset in the middle of requests leaves nothing that disturbs the next ones."""
    shell, content = Shell(dut), random.Random(seed).randbytes(SIZE)
    reading(shell, seed, content)
    dut.reader__base.value = 0
    await shell.reset()
    given = cocotb.start_soon(shell.give("reader__requests", [5 | 200 << 32] * 4, 0))
    await shell.take("reader__data", 20 * seed, seed)
    given.cancel()
    await shell.reset()
    await read_all(shell, seed, 0, content)


@cocotb.test()
@cocotb.parametrize(low=(1, 32, 63))
async def an_unaligned_base_is_noted(dut: Any, low: int) -> None:
    """The flag misaligned is set with the first request; the run goes on."""
    shell, content = Shell(dut), random.Random(low).randbytes(SIZE)
    reading(shell, low, content)
    dut.reader__base.value = 4096 + low
    await shell.reset()
    assert int(dut.reader__status.value) == 0
    await read_all(shell, low, 4096, content)
    assert int(dut.reader__status.value) == 0b100


def spoil(channel: Any, number: int, field: str, response: AxiResp) -> None:
    """Puts a ``response`` into the ``field`` of answer ``number`` of a channel, counted from 1."""
    send, answers = channel.send, itertools.count(1)

    async def spoiled(transaction: Any) -> None:
        if next(answers) == number:
            setattr(transaction, field, response)
        await send(transaction)

    channel.send = spoiled


@cocotb.test()
@cocotb.parametrize(response=(AxiResp.SLVERR, AxiResp.DECERR))
async def an_error_of_a_read_stays(dut: Any, response: AxiResp) -> None:
    """A single wrong answer sets its flag, which stays until the reset; the run goes on."""
    shell, content = Shell(dut), random.Random(1).randbytes(SIZE)
    ram = reading(shell, 3, content)
    spoil(ram.r_channel, 100, "rresp", response)
    dut.reader__base.value = 0
    await shell.reset()
    await read_all(shell, 3, 0, content)
    assert int(dut.reader__status.value) == {AxiResp.SLVERR: 0b001, AxiResp.DECERR: 0b010}[response]
    await shell.reset()
    assert int(dut.reader__status.value) == 0


def writing(shell: Shell, seed: int) -> AxiRamWrite:
    """A memory for the writer."""
    ram = AxiRamWrite(AxiWriteBus.from_prefix(shell.dut, "writer__axi_"), shell.dut.clk, shell.dut.rst, size=SIZE)
    for number, channel in enumerate((ram.aw_channel, ram.w_channel, ram.b_channel)):
        channel.set_pause_generator(pauses(seed and seed * 10 + number))
    return ram


async def write_all(shell: Shell, seed: int, ram: AxiRamWrite) -> None:
    """Writes what a seed asks for, with random strobes, and compares what the memory has after the last answer."""
    chance, wanted, beats = random.Random(seed), bytearray(ram.read(0, SIZE)), []
    for first, count in requests(seed):
        for i in range(first, first + count):
            content, strobes = chance.randbytes(BEAT), chance.choice([chance.getrandbits(BEAT), (1 << BEAT) - 1])
            beats.append(int.from_bytes(content, "little") | strobes << 8 * BEAT)
            for byte in range(BEAT):
                if strobes >> byte & 1:
                    wanted[i * BEAT + byte] = content[byte]
    cocotb.start_soon(shell.give("writer__writes", [first | count << 32 for first, count in requests(seed)], seed))
    cocotb.start_soon(shell.give("writer__written", beats, seed and seed + 1))
    await with_timeout(shell.take("writer__acknowledged", len(requests(seed)), seed and seed + 2), 400, "us")
    assert ram.read(0, SIZE) == bytes(wanted)


@cocotb.test()
@cocotb.parametrize(seed=SEEDS)
async def writes(dut: Any, seed: int) -> None:
    """All data is in memory when the last request is acknowledged; bytes without a strobe are unchanged."""
    shell = Shell(dut)
    ram = writing(shell, seed)
    dut.writer__base.value = 0
    await shell.reset()
    await write_all(shell, seed, ram)
    assert int(dut.writer__status.value) == 0


@cocotb.test()
@cocotb.parametrize(seed=range(1, 4))
async def writes_after_a_reset(dut: Any, seed: int) -> None:
    """A reset in the middle of requests leaves nothing that disturbs the next ones."""
    shell = Shell(dut)
    ram = writing(shell, seed)
    dut.writer__base.value = 0
    await shell.reset()
    tasks = [cocotb.start_soon(shell.give("writer__writes", [5 | 200 << 32] * 4, 0))]
    tasks += [cocotb.start_soon(shell.give("writer__written", [1] * 800, seed))]
    for _ in range(100 * seed):
        await RisingEdge(dut.clk)
    for task in tasks:
        task.cancel()
    await shell.reset()
    await write_all(shell, seed, ram)


@cocotb.test()
@cocotb.parametrize(response=(AxiResp.SLVERR, AxiResp.DECERR))
async def an_error_of_a_write_stays(dut: Any, response: AxiResp) -> None:
    """A single wrong answer sets its flag; all requests are acknowledged."""
    shell = Shell(dut)
    ram = writing(shell, 2)
    spoil(ram.b_channel, 5, "bresp", response)
    dut.writer__base.value = 0
    await shell.reset()
    await write_all(shell, 2, ram)
    assert int(dut.writer__status.value) == {AxiResp.SLVERR: 0b001, AxiResp.DECERR: 0b010}[response]
    await shell.reset()
    assert int(dut.writer__status.value) == 0


class Host:
    """Accesses the control registers."""

    def __init__(self, shell: Shell, seed: int):
        bus = AxiLiteBus.from_prefix(shell.dut, "control__axi_")
        self.master = AxiLiteMaster(bus, shell.dut.clk, shell.dut.rst)
        write, read = self.master.write_if, self.master.read_if
        for number, channel in enumerate(
            (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        ):
            channel.set_pause_generator(pauses(seed and seed * 10 + number))

    async def write(self, address: int, value: int) -> AxiResp:
        """Writes a word."""
        return (await with_timeout(self.master.write(address, value.to_bytes(4, "little")), 2, "us")).resp

    async def read(self, address: int) -> tuple[int, AxiResp]:
        """Reads a word."""
        answer = await with_timeout(self.master.read(address, 4), 2, "us")
        return int.from_bytes(answer.data, "little"), answer.resp


@cocotb.test()
@cocotb.parametrize(seed=SEEDS)
async def registers(dut: Any, seed: int) -> None:
    """Each register has its value; an access that is not allowed is answered by SLVERR and changes nothing."""
    shell = Shell(dut)
    host, chance = Host(shell, seed), random.Random(seed)
    await shell.reset()
    mapped = {offset for register in REGISTERS.registers for offset, _ in register.words}
    arguments = {argument.name for argument in REGISTERS.arguments}
    for register in REGISTERS.registers:
        for offset, place in register.words:
            before, response = await host.read(offset)
            assert response == AxiResp.OKAY
            value = chance.getrandbits(32)
            if register.name in arguments:
                assert await host.write(offset, value) == AxiResp.OKAY
                assert await host.read(offset) == (value, AxiResp.OKAY)
                port = int(getattr(dut, f"control__arguments__{register.name}").value)
                assert port >> place & 0xFFFF_FFFF == value
            elif not register.writable:
                assert await host.write(offset, value) == AxiResp.SLVERR
                assert await host.read(offset) == (before, AxiResp.OKAY)
    for address in [*(chance.randrange(0, 1 << 12, 4) for _ in range(8)), 0xFFC]:
        if address not in mapped:
            assert await host.write(address, 1) == AxiResp.SLVERR
            assert (await host.read(address))[1] == AxiResp.SLVERR
    words = [(await host.read(offset))[0] for offset, _ in REGISTERS["design_hash"].words]
    assert words == [REGISTERS.design_hash & 0xFFFF_FFFF, REGISTERS.design_hash >> 32]


@cocotb.test()
@cocotb.parametrize(seed=SEEDS)
async def runs(dut: Any, seed: int) -> None:
    """Start, end, done, continue; the interrupt; arguments are closed during a run."""
    shell = Shell(dut)
    host = Host(shell, seed)
    await shell.reset()
    control, status = REGISTERS["control"].offset, REGISTERS["interrupt_status"].offset
    for register in ("interrupt_enable", "interrupt_sources"):
        assert await host.write(REGISTERS[register].offset, 1) == AxiResp.OKAY
    begins = [0]

    async def count() -> None:
        while True:
            await RisingEdge(dut.clk)
            begins[0] += int(dut.control__begin.value)

    cocotb.start_soon(count())
    for run in range(1, 4):
        assert await host.read(control) == (0b0100, AxiResp.OKAY)
        assert await host.write(control, 1) == AxiResp.OKAY
        assert await host.read(control) == (0b0001, AxiResp.OKAY)
        assert begins[0] == run
        argument = REGISTERS["tokens"].offset
        before = await host.read(argument)
        assert await host.write(argument, 99) == AxiResp.SLVERR
        assert await host.read(argument) == before
        assert not dut.control__interrupt.value
        dut.control__end.value = 1
        await RisingEdge(dut.clk)
        dut.control__end.value = 0
        assert await host.read(control) == (0b1110, AxiResp.OKAY)
        assert await host.read(control) == (0b0110, AxiResp.OKAY)  # the read has cleared ready
        assert dut.control__interrupt.value
        assert await host.read(status) == (1, AxiResp.OKAY)
        assert await host.write(status, 1) == AxiResp.OKAY
        for _ in range(2):  # registers between the status and the pin
            await RisingEdge(dut.clk)
        assert not dut.control__interrupt.value
        assert await host.write(control, 0x10) == AxiResp.OKAY


@cocotb.test()
async def a_run_waits_for_continue(dut: Any) -> None:
    """With auto_restart the next run begins when done has been taken."""
    shell = Shell(dut)
    host = Host(shell, 0)
    await shell.reset()
    assert await host.write(0, 0x81) == AxiResp.OKAY
    assert await host.read(0) == (0x81, AxiResp.OKAY)
    dut.control__end.value = 1
    await RisingEdge(dut.clk)
    dut.control__end.value = 0
    assert await host.read(0) == (0x8F, AxiResp.OKAY)
    assert await host.write(0, 0x90) == AxiResp.OKAY
    assert await host.read(0) == (0x81, AxiResp.OKAY)
