"""Boot the machines of the lab, crash them, and compare what they left with vmemmap.

    python -m lab [CHOICE] [--jobs N] [--again] [--update] [--no-debuginfo] [--may-skip]

CHOICE is a set of lab/matrix.toml (few, ci, all) or names of machines with commas between them.
A machine that ran before, and would run the same again, is not booted again; the comparisons are
always made.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lab import host, story
from lab.matrix import MatrixError, Spec, machines
from lab.packages import Packages, PackagesMissing
from lab.qemu import MachineFailed

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "lab"
JOBS = os.cpu_count() or 1
MACHINE_SECONDS = 1500


class Lab:
    """One run of the lab.

    Attributes:
        failures: What went wrong, a text for each machine.
        skipped: Why machines were not booted, a text for each.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.failures: list[str] = []
        self.skipped: list[str] = []
        self._options = options
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the time."""
        print(f"[{time.monotonic() - self._start:5.0f} s] {text}", flush=True)

    def run(self, specs: list[Spec]) -> None:
        """Run the machines that have to be run."""
        try:
            host.prepare(self._options.folder, len(specs), self.say)
            packages = Packages(self.say, update=self._options.update)
            tools = packages.tools()
        except (PackagesMissing, host.HostUnfit) as error:
            self.skipped.append(str(error))
            return
        casts = []
        for spec in specs:
            try:
                kernel = packages.kernel(spec.kernel, debug=self._options.debuginfo)
            except PackagesMissing as error:
                self.skipped.append(f"{spec.name}: {error}")
            else:
                casts.append(story.Cast(spec, kernel, tools))
        asyncio.run(self._play_all(casts))

    async def _play_all(self, casts: list[story.Cast]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        free = asyncio.Semaphore(self._options.jobs)
        async with asyncio.TaskGroup() as group:
            for cast in casts:
                group.create_task(self._play(cast, free))

    async def _play(self, cast: story.Cast, free: asyncio.Semaphore) -> None:
        name, target = cast.spec.name, self._options.folder / cast.spec.name
        if not self._options.again and story.kept(cast, target):
            self.say(f"{name}: kept from an earlier run")
            return
        async with free:
            failure = await self._attempt(cast, target)
            if failure:
                self.say(f"{failure}\n{name}: once more, as an emulator on a busy host can be slow")
                failure = await self._attempt(cast, target)
        if failure:
            self.say(failure)
            self.failures.append(failure.partition("\n")[0])

    async def _attempt(self, cast: story.Cast, target: Path) -> str | None:
        """Run a machine; give what went wrong, if anything."""
        name = cast.spec.name
        self.say(f"{name}: booting {cast.kernel.release} ({cast.spec.title})")
        try:
            async with asyncio.timeout(MACHINE_SECONDS):
                result = await story.play(cast, target, lambda text: self.say(f"{name}: {text}"))
        except MachineFailed as error:
            return str(error)
        except TimeoutError:
            return f"{name}: not done after {MACHINE_SECONDS} s"
        self.say(f"{name}: done in {result.seconds:.0f} s, {len(result.dumps)} dumps")
        return None


def boot(choice: str, folder: Path) -> int:
    """Run machines and no comparisons; give the exit code, 0 if all ran or had run."""
    lab = Lab(
        argparse.Namespace(folder=folder, jobs=JOBS, again=False, update=False, debuginfo=True)
    )
    lab.run(machines(choice))
    for text in (*lab.skipped, *lab.failures):
        print(f"lab: {text}", file=sys.stderr)
    return 1 if lab.skipped or lab.failures else 0


def main() -> int:
    """Run the lab; give the exit code: that of the checks, or 1 if a machine failed."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("choice", nargs="?", default="few", help="few, ci, all, or names")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N")
    parser.add_argument("--again", action="store_true", help="boot again what ran before")
    parser.add_argument("--update", action="store_true", help="look for newer packages")
    parser.add_argument(
        "--no-debuginfo",
        dest="debuginfo",
        action="store_false",
        help="do without crash, which needs 1 GB more for each kernel",
    )
    parser.add_argument(
        "--may-skip",
        action="store_true",
        help="where QEMU or packages cannot be had, say so and end well all the same",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR")
    options = parser.parse_args()
    lab = Lab(options)
    try:
        specs = machines(options.choice)
        lab.run(specs)
    except MatrixError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("lab: stopped; what is complete is kept", file=sys.stderr)
        return 130
    for text in lab.skipped:
        print(f"lab: SKIPPED, no machine is booted: {text}", file=sys.stderr)
    os.environ["VMEMMAP_LAB_SKIPPED"] = "; ".join(lab.skipped)
    os.environ["VMEMMAP_LAB"] = str(options.folder)
    os.environ["VMEMMAP_LAB_MACHINES"] = ",".join(spec.name for spec in specs)
    code = pytest.main([str(ROOT / "lab" / "checks"), "-q", "-p", "no:cacheprovider"])
    for text in lab.failures:
        print(f"lab: {text}", file=sys.stderr)
    if lab.skipped and not options.may_skip:
        return int(code) or 2
    return int(code) or (1 if lab.failures else 0)


if __name__ == "__main__":
    sys.exit(main())
