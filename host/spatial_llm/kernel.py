"""A kernel on a card: its buffers, its runs, and the report of each run."""

from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

import numpy as np

from hdl.card.image import HEADER_BEATS
from hdl.card.session import Code, Flags, RunStatus
from hdl.channel import BEAT_BYTES

from .image import Image

__all__ = ["CardKernel", "Code", "RunError"]

PAGE = HEADER_BEATS * BEAT_BYTES
POLL_MS = 1


class RunError(RuntimeError):
    """A run that did not end well; ``code`` says why (None: it did not end at all), ``report`` has the registers of the
    run."""

    def __init__(self, code: Code | None, report: Mapping[str, int], text: str):
        super().__init__(text)
        self.code, self.report = code, report


class CardKernel:
    """A kernel with an image in its memory.

    Args:
        xrt: the module ``pyxrt``, or one with the same calls.
        xclbin: the file of the card's configuration.
        image: the memory image.
        index: the number of the card.
        patience: seconds after which a run is given up.
    """

    def __init__(self, xrt: Any, xclbin: str, image: Image, index: int = 0, patience: float = 60.0):
        self.image, self.patience, self._xrt = image, patience, xrt
        about = image.kernel
        self.device = xrt.device(index)
        uuid = self.device.load_xclbin(xrt.xclbin(xclbin))
        self._kernel = xrt.kernel(self.device, uuid, about["name"], xrt.kernel.cu_access_mode.exclusive)
        self._arguments = {argument["name"]: place for place, argument in enumerate(about["arguments"])}
        self._numbers = [argument["name"] for argument in about["arguments"] if argument["bus"] is None]
        self.buffers: dict[str, Any] = {}
        self._checked = False
        self.report: dict[str, int] = {}
        for name in about["image"]:
            self._load(name)
        for name, beats in about["cache"].items():
            self.buffers[name] = self._buffer(name, beats * BEAT_BYTES)
        self._run = xrt.run(self._kernel)

    def _buffer(self, name: str, size: int) -> Any:
        """A buffer in the memory of an argument, of whole pages."""
        group = self._kernel.group_id(self._arguments[name])
        return self._xrt.bo(self.device, -(-size // PAGE) * PAGE, self._xrt.bo.normal, group)

    def _load(self, name: str) -> None:
        """Brings a channel of the image into the card's memory, piece by piece."""
        for place, piece in self.image.channel(name):
            if name not in self.buffers:
                beats = HEADER_BEATS + self.image.kernel["image"][name]
                self.buffers[name] = self._buffer(name, beats * BEAT_BYTES)
            self.buffers[name].write(np.ascontiguousarray(piece), place)
        self.buffers[name].sync(self._xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE)

    def request(self, contents: np.ndarray, answer_bytes: int) -> None:
        """Brings a request, uint8 [n], into the card's memory, and clears the answer's buffer."""
        size = {"request": len(contents), "answer": self.image.kernel["answers"] + answer_bytes}
        for name, least in size.items():
            if name not in self.buffers or self.buffers[name].size() < least:
                self.buffers[name] = self._buffer(name, least)
        for name, given in (("request", contents), ("answer", np.zeros(size["answer"], np.uint8))):
            self.buffers[name].write(given, 0)
            self.buffers[name].sync(
                self._xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, -(-size[name] // BEAT_BYTES) * BEAT_BYTES, 0
            )

    def answer(self, place: int, size: int) -> np.ndarray:
        """Bytes of the answer as they are now, uint8 [size]; ``place`` counts from the first answer on."""
        return self._read(self.image.kernel["answers"] + place, size)

    def _read(self, place: int, size: int) -> np.ndarray:
        buffer = self.buffers["answer"]
        buffer.sync(self._xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE, size, place)
        return np.asarray(buffer.read(size, place)).view(np.uint8)

    def start(self, numbers: Mapping[str, int], *, flags: int = 0) -> None:
        """Starts a run; the first one sums the whole image."""
        given = dict(numbers) | {"flags": flags | int(not self._checked) << Flags.CHECK}
        for name, buffer in self.buffers.items():
            self._run.set_arg(self._arguments[name], buffer)
        for name in self._numbers:
            self._run.set_arg(self._arguments[name], _signed(given[name]))
        self._run.start()

    def running(self) -> Iterator[None]:
        """Yields now and then while the run goes on; at its end reads the report.

        Raises:
            RunError: for a run that did not end with `Code.DONE`, or stopped for another reason.
        """
        states, begin = self._xrt.ert_cmd_state, monotonic()
        while True:
            state = self._run.wait(POLL_MS)
            if state == states.ERT_CMD_STATE_COMPLETED:
                break
            if state in (states.ERT_CMD_STATE_ERROR, states.ERT_CMD_STATE_ABORT, states.ERT_CMD_STATE_NORESPONSE):
                raise RunError(None, {}, f"run of {self.image.kernel['name']} was stopped by XRT: {state}")
            if monotonic() - begin > self.patience:
                raise RunError(
                    None,
                    {},
                    f"run of {self.image.kernel['name']} must end within {self.patience:g} s, but goes on; "
                    "reset the card with: xbutil reset",
                )
            yield
        self._end()

    def recheck(self) -> None:
        """The next run sums the whole image again."""
        self._checked = False

    def wait(self) -> None:
        """Waits for the end of the run."""
        for _ in self.running():
            pass

    def _end(self) -> None:
        """Reads the report and judges it."""
        places = self.image.kernel["report"]
        raw = self._read(0, max(place + size for place, size in places.values()))
        self.report = {
            name: int.from_bytes(raw[place : place + size].tobytes(), "little")
            for name, (place, size) in places.items()
        }
        if self.report["version"] == 0:
            raise RunError(Code.MISALIGNED, self.report, "run must write a report; the pointers are not the kernel's")
        if f"{self.report['design_hash']:016x}" != self.image.kernel["hash"]:
            raise RunError(
                Code.FOREIGN_IMAGE, self.report,
                f"image {self.image.path} must be for the kernel with the hash {self.report['design_hash']:016x}, not "
                f"{self.image.kernel['hash']}; make it with the options of emit",
            )  # fmt: skip
        status = RunStatus.from_bits(self.report["status"])
        code = Code(status.code)
        self._checked = code not in (Code.UNCHECKED_IMAGE, Code.FOREIGN_IMAGE, Code.DAMAGED_IMAGE, Code.MEMORY_ERROR)
        if code is not Code.DONE:
            channel = list(self.image.kernel["image"])[status.channel]
            where = f", channel {channel}" if code in (Code.FOREIGN_IMAGE, Code.DAMAGED_IMAGE) else ""
            raise RunError(code, self.report, f"run of {self.image.kernel['name']} ended with {code.name}{where}")


def _signed(number: int) -> int:
    """The 32-bit number as pyxrt takes it."""
    return number - (1 << 32) if number >= 1 << 31 else number
