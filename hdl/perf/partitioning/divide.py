"""All ways to divide a network over devices: which there are, with balanced stages, and which of them fit."""

from math import ceil

from ...errors import InputError
from ...model.network import Network
from ..device import Device, Link
from ..estimate import Estimate
from ..workload import Workload
from .device_split import DeviceSplit
from .share import DeviceStage, Place, fitted, links, tensors

__all__ = ["Splits"]


class Splits:
    """All splits of ``network`` on devices that ``link`` joins, for ``work``; each share is estimated once."""

    def __init__(self, network: Network, device: Device, link: Link, work: Workload):
        self.network, self.device, self.link, self.work = network, device, link, work
        self._estimates: dict[tuple[Place, int], Estimate | InputError] = {}
        self._splits: dict[tuple[int, int], DeviceSplit | InputError] = {}

    def least(self, devices: int) -> DeviceSplit:
        """The fastest split on the fewest devices that the network fits, at most so many.

        Raises:
            InputError: where it does not fit.
        """
        for count in range(1, devices + 1):
            if options := self.options(count):
                return min(options, key=lambda split: split.seconds)
        raise InputError(f"{self.refusal(devices)}; more devices may hold it")

    def refusal(self, devices: int) -> str:
        """Why the smallest share does not fit."""
        reasons = [one for one in self._splits.values() if isinstance(one, InputError)]
        shares = "" if devices == 1 else f", for the smallest share on {devices} devices"
        return f"{reasons[-1]}{shares}"

    def options(self, devices: int, tensor: int | None = None) -> list[DeviceSplit]:
        """The splits over at most so many devices that fit; ``tensor``: only with so many in each stage."""
        layers, found = self.network.layers, []
        for count in (n for n in tensors(self.network) if n <= devices and n in (tensor or n,)):
            most = min(devices // count, layers)
            # Of pipelines whose longest stages are equal, the shortest; and the one with the most devices.
            lengths = {ceil(layers / ceil(layers / length)) for length in range(1, most + 1)} | {most}
            found += [self.split(count, length) for length in sorted(lengths)]
        return [split for split in found if isinstance(split, DeviceSplit)]

    def split(self, tensor: int, pipeline: int) -> DeviceSplit | InputError:
        """The split with its stages balanced, or why it does not fit."""
        if (tensor, pipeline) not in self._splits:
            self._splits[tensor, pipeline] = self._balanced(tensor, pipeline)
        return self._splits[tensor, pipeline]

    def _balanced(self, tensor: int, pipeline: int) -> DeviceSplit | InputError:
        """The last stage has the head, so layers are taken from it while that makes the slowest stage faster."""
        layers, best, refusal = self.network.layers, None, None
        for last in range(layers // pipeline, 0, -1):
            if pipeline == 1:
                counts = [layers]
            else:
                even, over = divmod(layers - last, pipeline - 1)
                counts = [even + 1] * over + [even] * (pipeline - 1 - over) + [last]
            try:
                split = self._with_layers(tensor, counts)
            except InputError as error:
                refusal = refusal or error
                continue
            if best is not None and _pace(split) >= _pace(best):
                break
            best = split
            if pipeline == 1:
                break
        return best or refusal or InputError(f"model {self.network.name!r} has too few layers for {pipeline} stages")

    def _with_layers(self, tensor: int, counts: list[int]) -> DeviceSplit:
        group = ceil(self.work.sequences / len(counts))
        stages = []
        for index, layers in enumerate(counts):
            place = Place(layers, tensor, first=index == 0, last=index == len(counts) - 1)
            # What fits the first stage, which has the embeddings, fits those behind it.
            found = self._estimate(place if place.last else place._replace(first=True), group)
            prompt, token = (
                links(self.network, self.link, place, tokens, ends)
                for tokens, ends in ((self.work.prompt, 1), (group, group))
            )
            stages.append(
                DeviceStage(layers=layers, tensor=tensor, estimate=found, prompt_links=prompt, token_links=token)
            )
        return DeviceSplit(tensor, tuple(stages), self.work.sequences, group)

    def _estimate(self, place: Place, group: int) -> Estimate:
        key = place, group
        if key not in self._estimates:
            try:
                self._estimates[key] = fitted(self.network, self.device, self.work, place, group)
            except InputError as error:
                self._estimates[key] = error
        found = self._estimates[key]
        if isinstance(found, InputError):
            raise found
        return found


def _pace(split: DeviceSplit) -> float:
    """Seconds of the slowest stage, in all of the work."""
    return max(
        sum(run.times * run.turns * run.stage_seconds[index] for run in split.runs)
        for index in range(len(split.stages))
    )
