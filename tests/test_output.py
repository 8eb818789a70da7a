"""Outputs: what may be replaced, and that nothing is half written."""

import os
from pathlib import Path

import pytest

from hdl.errors import InputError
from hdl.output import output_file, starts_with, temporary_folder, written


def is_own(path: Path) -> bool:
    return starts_with(path, b"written by make")


def refused(path: Path, **options: object) -> str:
    """What is said of a path that must not be written."""
    with pytest.raises(InputError) as error:
        output_file(path, "make", is_own, **options)  # type: ignore[arg-type]
    return str(error.value)


def test_new_files_and_earlier_outputs_may_be_written(tmp_path: Path) -> None:
    for name in ("new", "some/where/new"):
        assert output_file(tmp_path / name, "make", is_own) == tmp_path / name
    (tmp_path / "old").write_text("# written by make\n")
    assert output_file(tmp_path / "old", "make", is_own) == tmp_path / "old"
    (tmp_path / "link").symlink_to("old")
    assert output_file(tmp_path / "link", "make", is_own) == tmp_path / "old"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["link", "old"]


def test_files_of_others_are_replaced_by_force_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("all of it")
    (tmp_path / "link").symlink_to("thesis")
    for name in ("thesis", "link"):
        assert refused(tmp_path / name) == (
            f"output file {tmp_path / name} must be new or an earlier output of make; choose another --out, or replace "
            "the file with --force"
        )
        assert output_file(tmp_path / name, "make", is_own, force=True) == tmp_path / "thesis"


def test_what_is_read_is_never_replaced(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_text("written by make")
    os.link(weights, tmp_path / "same")
    for name in ("weights", "same"):
        assert refused(tmp_path / name, force=True, reads=[weights, tmp_path / "gone"]) == (
            f"output file {tmp_path / name} must not be one that make reads; choose another --out"
        )


@pytest.mark.parametrize("force", [False, True])
def test_folders_and_devices_are_never_replaced(tmp_path: Path, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path(), Path("/"), tmp_path):
        assert refused(path, force=force) == f"output {path} must be a file, not a folder; choose another --out"
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        assert (
            refused(path, force=force) == f"output {path} must be a file, not a device or a pipe; choose another --out"
        )


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    below, long, loop = tmp_path / "file/below", tmp_path / ("x" * 300), tmp_path / "loop"
    loop.symlink_to("loop")
    said = f"output file {below} cannot be written: "
    assert refused(below) in (said + f"{tmp_path / 'file'} is not a folder", said + "Not a directory")
    assert refused(long) == f"output file {long} cannot be written: File name too long"
    assert refused(loop).startswith(f"output file {loop} cannot be written: ")


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "some/where/file"
    with written(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_where_writing_fails_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written(tmp_path / "some/where/file"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("the earlier one")
    with pytest.raises(KeyboardInterrupt), written(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "the earlier one"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_temporary_folder_is_gone_after_the_block(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder(tmp_path, ".making-") as folder:
        (folder / "file").write_text("")
        assert folder.parent == tmp_path
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_a_temporary_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def interrupted(path: Path) -> None:
        make(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, ".making-"):
        pass
    assert not list(tmp_path.iterdir())
