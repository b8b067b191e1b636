"""The record of a machine: complete or not there, and used again only for the same machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lab import host, matrix, results, story
from lab.packages import Kernel, Unpacked


@pytest.fixture
def cast(tmp_path) -> story.Cast:
    (spec,) = matrix.machines("bookworm-hash-64k")
    kernel = Kernel("6.1.0", tmp_path / "vmlinux", tmp_path, None, {"linux-image": "1"})
    return story.Cast(spec, kernel, Unpacked(tmp_path / "tools", {"crash": "9"}))


@pytest.fixture
def finished(cast, tmp_path) -> results.Result:
    folder = tmp_path / cast.spec.name
    (folder / "guest" / "live").mkdir(parents=True)
    (folder / "guest" / "live" / "zoneinfo").write_text("Node 0\n")
    (folder / "vmcore.elf").write_bytes(b"x")
    dumps = (results.Dump("vmcore.elf", "kernel", "crash"),)
    result = results.Result(
        name=cast.spec.name,
        digest=cast.digest,
        spec=cast.spec.table,
        release="6.1.0",
        versions={"crash": "9"},
        dumps=dumps,
        seconds=1.5,
        vmlinux="vmlinux",
        debug_vmlinux=None,
        tools="tools",
        folder=folder,
    )
    result.save()
    return result


def test_what_is_saved_is_loaded(finished) -> None:
    assert results.load(finished.folder) == finished
    assert results.load_all(finished.folder.parent) == [finished]
    assert finished.guest("live/zoneinfo") == "Node 0\n"
    assert finished.has_guest("live/zoneinfo")
    assert not finished.has_guest("crash/zoneinfo")
    assert "folder" not in json.loads((finished.folder / results.RECORD).read_text())


def test_a_folder_without_a_record_or_with_half_of_one_is_no_result(finished) -> None:
    record = finished.folder / results.RECORD
    record.write_text(record.read_text()[:40])
    assert results.load(finished.folder) is None
    record.unlink()
    assert results.load_all(finished.folder.parent) == []
    assert results.load_all(finished.folder / "nowhere") == []


def test_the_same_machine_is_kept_and_another_is_not(cast, finished) -> None:
    assert story.kept(cast, finished.folder) == finished
    newer = replace(cast, kernel=replace(cast.kernel, versions={"linux-image": "2"}))
    assert story.kept(newer, finished.folder) is None
    (finished.folder / "vmcore.elf").unlink()
    assert story.kept(cast, finished.folder) is None


def test_debugging_information_that_came_later_is_noted(cast, finished) -> None:
    debug = Path("/somewhere/vmlinux")
    later = replace(cast, kernel=replace(cast.kernel, debug=debug))
    kept = story.kept(later, finished.folder)
    assert kept is not None
    assert kept.debug_vmlinux == str(debug)
    assert results.load(finished.folder) == kept


def test_a_host_that_will_not_do_is_told(tmp_path, monkeypatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    said: list[str] = []
    with pytest.raises(host.HostUnfit, match="apt-get, apt-cache, dpkg-deb not found"):
        host.prepare(tmp_path / "lab", 1, said.append)
    for name in ("apt-get", "apt-cache", "dpkg-deb"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(host.HostUnfit, match=r"sudo apt-get .* qemu-system-ppc qemu-user-static"):
        host.prepare(tmp_path / "lab", 1, said.append)
    with pytest.raises(host.HostUnfit, match="MiB free; 100000000 machines need"):
        host.prepare(tmp_path / "lab", 100_000_000, said.append)
    assert said == []
