"""Explorations: the same front wherever and however often interrupted they run, and what stops them."""

import errno
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.bounds import JOBS
from hdl.errors import InputError
from hdl.model.load import load_network
from hdl.perf import Workload, estimate_design, load_device
from hdl.perf import explore as explored
from hdl.perf.designs.constraints import binding
from hdl.perf.designs.spatial_design import prompt_cycles
from hdl.perf.exploration.evaluate import costs
from hdl.perf.exploration.pareto import STEP, nondominated, pareto_front
from hdl.perf.exploration.point import DesignPoint
from hdl.perf.exploration.points import FIGURES
from hdl.perf.geometry.pipeline_spec import PipelineSpec

# The package exports the function by the name of its module.
module = __import__("hdl.perf.exploration.explore", fromlist=["explore"])

POINTS, SEED, PROMPT = 1500, 3, 24


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 256)
    monkeypatch.setattr("hdl.perf.exploration.schedule.CONNECT_SECONDS", 3)


def tiny(**options: Any) -> Any:
    """An exploration of a decoder, with both kinds of design."""
    arguments = {"points": POINTS, "seed": SEED, "prompt": PROMPT, "output": 8} | options
    return explored("tiny-gpt2", "u280", **arguments)


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "BATCH", 256)
    found = tiny()
    patch.undo()
    assert found.total.feasible + sum(found.total.refused.values()) == found.total.points == POINTS
    assert {name: one.points for name, one in found.counts.items()} == {"spatial": 750, "streamed": 750}
    assert found.evaluated == POINTS
    assert found.rate > 5000
    assert {one.point.kind for one in found.front} == {"spatial", "streamed"}
    return front(found)


def front(found: Any) -> list[dict[str, Any]]:
    assert len(found.front) >= 10
    return [one.as_dict() for one in found.front]


def test_other_seeds_give_other_fronts(expected: list[dict[str, Any]]) -> None:
    assert front(tiny(seed=4)) != expected


def test_the_front_is_one_and_its_figures_are_those_of_its_designs(expected: list[dict[str, Any]]) -> None:
    figures = np.array([[one["figures"][name] for name in FIGURES] for one in expected])
    everything = costs(figures)
    for place, cost in enumerate(everything):
        others = np.delete(everything, place, axis=0)
        assert not ((others <= cost * (1 - STEP)).all(axis=1)).any()
    device = load_device("u280")
    for one in expected[::5]:
        point = DesignPoint.from_dict(one, "x")
        full = estimate_design(point.design, device, Workload(prompt=PROMPT, output=8, clock_mhz=point.clock_mhz))
        assert binding(full.constraints) is None
        assert one["figures"]["prefill_cycles"] == full.prefill.cycles
        assert one["figures"]["first_token_s"] == full.first_token.seconds
        assert full.token is not None
        assert one["figures"]["token_s"] == full.token.seconds
        assert one["figures"]["dsp"] == point.design.resources.dsp == point.copies * point.spec.resources.dsp


def test_an_encoder_s_figures_are_those_of_its_run() -> None:
    network = load_network("tiny-bert")
    found = explored(network, "u280", points=300, prompt=PROMPT)
    assert set(found.counts) == {"spatial"}
    for one in found.front[:5]:
        assert isinstance(one.point.spec, PipelineSpec)
        run = prompt_cycles(one.point.spec, PROMPT, network.layers)
        assert one.figures["prefill_cycles"] == run
        assert one.figures["first_token_s"] == pytest.approx(run / one.point.clock_mhz / 1e6)


def test_all_cores_give_the_same(expected: list[dict[str, Any]]) -> None:
    assert front(tiny(jobs=2)) == expected


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as found:
        yield found


def test_a_cluster_gives_the_same_though_a_worker_is_killed(expected: list[dict[str, Any]], cluster: Any) -> None:
    killed = []

    def kill(doing: str, finished: int, of: int) -> None:
        if doing == "evaluating" and not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    assert front(tiny(scheduler=cluster.scheduler_address, progress=kill)) == expected
    assert killed


@pytest.mark.parametrize("ends", [KeyboardInterrupt, "full"])
def test_a_run_that_was_ended_goes_on(
    expected: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: Any
) -> None:
    out = tmp_path / "out"

    def stop(doing: str, finished: int, of: int) -> None:
        if doing == "evaluating" and finished == 3:
            raise KeyboardInterrupt

    save, saved = np.savez, []

    def full(file: Any, **arrays: Any) -> None:
        if len(saved) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved.append(file.name)
        save(file, **arrays)

    if ends == "full":
        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", full)
            with pytest.raises(InputError) as caught:
                tiny(out=out)
        assert str(caught.value) == (
            f"output folder {out} cannot be written: No space left on device; finished batches are kept in {out}, run "
            "again to continue; make room or choose another --out"
        )
    else:
        with pytest.raises(KeyboardInterrupt):
            tiny(out=out, progress=stop)
    kept = sorted((out / "batches").iterdir())
    assert [path.name for path in kept] == ["000000.npz", "000001.npz", "000002.npz"]
    kept[1].write_bytes(kept[1].read_bytes()[:1000])  # as if the machine had gone down with the file in its cache
    found = tiny(out=out)
    assert found.evaluated == POINTS - 256 - 238  # the last batch of a kind is smaller
    assert front(found) == expected
    again = tiny(out=out)
    assert (again.evaluated, again.rate) == (0, 0.0)
    assert front(again) == expected


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    tiny(out=tmp_path / "out")
    header = json.loads((tmp_path / "out" / "exploration.json").read_text())
    for options, wrong in (
        ({"seed": 4}, f"seed {SEED} instead of 4"),
        ({"prompt": 25}, f"space {header['space']!r} instead of "),
    ):
        with pytest.raises(InputError) as caught:
            tiny(out=tmp_path / "out", **options)
        text = f"output folder {tmp_path}/out must be of the same exploration, not of {wrong}"
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith("; choose another --out, or start over with --force")
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="must be empty or an earlier exploration, not hold other files; choose"):
        tiny(out=tmp_path)
    with pytest.raises(InputError, match="must be a folder, not a file; choose another --out"):
        tiny(out=tmp_path / "mine")
    with pytest.raises(InputError, match="output folder /proc/nothing cannot be written: "):
        tiny(out=Path("/proc/nothing"))


def test_a_scheduler_that_cannot_be_reached() -> None:
    for address in ("tcp://127.0.0.1:1", "nonsense://here"):
        with pytest.raises(InputError) as caught:
            tiny(scheduler=address)
        assert str(caught.value) == (
            f"scheduler {address!r} must be a running Dask scheduler, but does not answer; start one with 'dask "
            "scheduler', or leave --scheduler out"
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 0}, "points must be 1 to 10,000,000 (all points are kept in memory), not 0"),
        ({"seed": -1}, "seed must be 0 to 4,294,967,295 (a seed has 32 bits), not -1"),
        ({"jobs": 0}, f"jobs must be 1 to {JOBS.most} ({JOBS.why}), not 0"),
        ({"prompt": 0}, "prompt must be at least 1 token, not 0"),
        ({"output": 3}, "output of model 'tiny-bert', an encoder, must be 0 tokens, not 3"),
    ],
)
def test_mistakes(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        explored("tiny-bert", "u280", **options)
    assert str(caught.value) == message


def test_a_decoder_whose_layer_is_too_large_for_the_chip_is_streamed() -> None:
    found = explored("llama-2-7b", "u280", points=600, prompt=20, output=4)
    assert set(found.counts) == {"streamed"}
    assert {one.point.kind for one in found.front} == {"streamed"}


def test_a_network_without_any_design() -> None:
    wide = replace(load_network("llama-2-7b"), name="wide", head_size=100)
    with pytest.raises(InputError) as caught:
        explored(wide, "u280", points=10)
    assert str(caught.value) == (
        "model 'wide' has no spatial design: heads must share the 4096 hidden features, not have 100 each; model "
        "'wide' has no streamed design: attention head size must be a multiple of 8, not 100"
    )


def test_a_device_on_which_nothing_fits() -> None:
    found = explored("bert-large", load_device("kv260"), points=300, prompt=64)
    assert (found.total.feasible, found.front) == (0, ())
    assert sum(found.total.refused.values()) == 300


def test_fronts() -> None:
    random = np.random.default_rng(0)
    points = np.exp(random.integers(0, 6, size=(400, 3)) * 0.05 + 1)
    ties = np.arange(400)[:, None]
    front_of = pareto_front(points, ties)
    steps = np.floor(np.log(points) / np.log1p(STEP))
    beaten = [((steps <= own).all(axis=1) & (steps < own).any(axis=1)).any() for own in steps]
    assert {tuple(row) for row in steps[front_of]} == {
        tuple(row) for row, lost in zip(steps, beaten, strict=True) if not lost
    }
    assert len(front_of) == len(np.unique(steps[front_of], axis=0))
    # The front of the parts' fronts, whatever the parts.
    halves = [part[pareto_front(points[part], ties[part])] for part in np.array_split(random.permutation(400), 7)]
    rest = np.concatenate(halves)
    assert sorted(rest[pareto_front(points[rest], ties[rest])]) == sorted(front_of)
    assert pareto_front(np.zeros((0, 3)), np.zeros((0, 1))).tolist() == []
    assert nondominated(np.array([[0, 5], [1, 1], [2, 0], [2, 2]])).tolist() == [0, 1, 2]
