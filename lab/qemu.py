"""A machine under QEMU: its process, its QMP connection, and scripts that its guest runs.

The guest and the host share one folder (9p). The host puts a script there, the guest's first
process (``guest/init``) runs it and leaves its output and its status. Whatever happens, the process
ends with the ``async with``; if the lab itself is killed, the kernel of the host ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from lab.matrix import Spec

PROGRAM = "qemu-system-ppc64"
GUEST_SCRIPTS = Path(__file__).with_name("guest")
POLL_SECONDS = 0.2
SOCKET = "qmp"
CONSOLE_LINES = 12
_QMP_ERRORS = (QMPError, OSError, EOFError, TimeoutError)


class MachineFailed(Exception):
    """The machine did not do what the story asked; the message has the end of its console."""


class Qemu:
    """A running machine; made by `started`.

    Attributes:
        share: The folder that host and guest share.
    """

    def __init__(
        self, spec: Spec, share: Path, console: Path, process: asyncio.subprocess.Process
    ) -> None:
        self.share = share
        self._spec = spec
        self._console = console
        self._process = process
        self._qmp = QMPClient(spec.name)

    async def connect(self, socket: Path, limit: float = 60) -> None:
        """Connect to QMP as soon as the process listens."""
        await self._until(socket.exists, "QEMU to listen", limit)
        try:
            await asyncio.wait_for(self._qmp.connect(str(socket)), limit)
        except _QMP_ERRORS as error:
            raise self._failed(f"QMP: {error!r}") from error

    async def disconnect(self) -> None:
        """Close the QMP connection, whatever its state."""
        with contextlib.suppress(*_QMP_ERRORS):
            await asyncio.wait_for(self._qmp.disconnect(), 5)

    async def command(
        self, name: str, arguments: Mapping[str, object] | None = None, limit: float = 60
    ) -> None:
        """Execute a QMP command.

        Raises:
            MachineFailed: QEMU refused it, or did not answer in *limit* seconds.
        """
        try:
            await asyncio.wait_for(self._qmp.execute(name, arguments), limit)
        except ExecuteError as error:
            raise self._failed(f"{name}: {error}") from error
        except _QMP_ERRORS as error:
            raise self._failed(f"{name}: no answer ({error!r})") from error

    async def add_memory(self, name: str, mib: int, node: int, address: int | None) -> None:
        """Plug a piece of memory in."""
        backend = {"qom-type": "memory-backend-ram", "id": f"m{name}", "size": mib << 20}
        await self.command("object-add", backend)
        device: dict[str, object] = {"driver": "pc-dimm", "id": name, "memdev": f"m{name}"}
        if len(self._spec.nodes) > 1:
            device["node"] = node
        if address is not None:
            device["addr"] = address
        await self.command("device_add", device)

    async def remove_memory(self, name: str, limit: float = 120) -> None:
        """Pull a piece of memory out, and wait until the guest has let it go."""
        refusals = ("MEM_UNPLUG_ERROR", "DEVICE_UNPLUG_GUEST_ERROR")
        listener = EventListener(("DEVICE_DELETED", *refusals))
        with self._qmp.listen(listener):
            await self.command("device_del", {"id": name})
            try:
                event = await asyncio.wait_for(_event_of(listener, name), limit)
            except TimeoutError:
                raise self._failed(f"the guest did not let {name} go in {limit:.0f} s") from None
        if event in refusals:
            raise self._failed(f"the guest would not let {name} go ({event})")
        await self.command("object-del", {"id": f"m{name}"})

    async def run(self, side: str, script: str, limit: float, **variables: str) -> str:
        """Let the guest run one of the scripts in ``guest/``; give its output.

        Args:
            side: ``guest`` or ``capture``, the kernel that is to run it.
            script: The script's name without ``.sh``.
            limit: Seconds it may take.
            variables: Set before it.

        Raises:
            MachineFailed: It ended with another status than 0, or not in time.
        """
        status, output = self.share / f"{side}.status", self.share / f"{side}.out"
        status.unlink(missing_ok=True)
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
        text = "".join(lines) + (GUEST_SCRIPTS / f"{script}.sh").read_text()
        fresh = self.share / f"{side}.sh.new"
        fresh.write_text(text)
        fresh.rename(self.share / f"{side}.sh")
        await self._until(status.exists, f"{script} in the {side}", limit)
        said = output.read_text(errors="replace")
        if status.read_text().strip() != "0":
            raise self._failed(f"{script} failed in the {side}: {said.strip()[-400:]}")
        return said

    async def dump(self, path: Path, form: str, limit: float) -> None:
        """Let QEMU dump the memory into a file, in one of its formats."""
        arguments = {"paging": False, "protocol": f"file:{path}", "format": form}
        await self.command("dump-guest-memory", arguments, limit)

    async def crash(self, limit: float) -> None:
        """Crash the guest and wait for its capture kernel."""
        fresh = self.share / "guest.sh.new"
        fresh.write_text((GUEST_SCRIPTS / "crash.sh").read_text())
        fresh.rename(self.share / "guest.sh")
        await self._until((self.share / "capture.up").exists, "the capture kernel", limit)

    async def up(self, limit: float) -> None:
        """Wait until the guest runs scripts."""
        await self._until((self.share / "guest.up").exists, "the guest to boot", limit)

    async def _until(self, reached: Callable[[], bool], what: str, limit: float) -> None:
        end = time.monotonic() + limit
        while not reached():
            if self._process.returncode is not None:
                raise self._failed(f"QEMU ended ({self._process.returncode}) before {what}")
            if time.monotonic() > end:
                raise self._failed(f"waited {limit:.0f} s for {what}")
            await asyncio.sleep(POLL_SECONDS)

    def _failed(self, message: str) -> MachineFailed:
        lines = (
            self._console.read_text(errors="replace").splitlines() if self._console.exists() else []
        )
        tail = "\n".join(f"    {line}" for line in lines[-CONSOLE_LINES:])
        return MachineFailed(f"{self._spec.name}: {message}; its console ends with\n{tail}")


async def _event_of(listener: EventListener, name: str) -> str:
    async for event in listener:
        data = event["data"]
        assert isinstance(data, dict)
        if data.get("device") == name:
            return str(event["event"])
    raise AssertionError("the listener ended")


def command_line(spec: Spec, folder: Path) -> list[str]:
    """Give QEMU's command line for a machine in *folder*, as `started` describes it."""
    # resize-hpt=disabled: without it the capture kernel of a hash guest whose memory has grown
    # hangs in purgatory, because its hash page table cannot be resized back.
    machine = ["pseries", "cap-htm=off", "resize-hpt=disabled"]
    share = folder / "share"
    nodes: list[str] = []
    if len(spec.nodes) > 1:
        for i, mib in enumerate(spec.nodes):
            cpu = f",cpus=0-{spec.cpus - 1}" if i == 0 else ""
            if not mib:  # it may get memory later
                nodes += ["-numa", f"node,nodeid={i}{cpu}"]
                continue
            nodes += ["-object", f"memory-backend-ram,id=n{i},size={mib}M"]
            nodes += ["-numa", f"node,nodeid={i},memdev=n{i}{cpu}"]
    return [
        PROGRAM,
        *("-M", ",".join([*machine, spec.machine] if spec.machine else machine)),
        *("-cpu", spec.cpu, "-smp", str(spec.cpus)),
        *("-m", f"{sum(spec.nodes)}M,slots=16,maxmem={spec.max_gib}G"),
        *nodes,
        *("-kernel", str(share / "vmlinux"), "-initrd", str(share / "initrd.img")),
        *("-append", f"console=hvc0 crashkernel=384M no_hash_pointers {spec.append}".strip()),
        *("-nographic", "-nodefaults", "-no-reboot", "-monitor", "none"),
        *("-serial", f"file:{_escaped(folder / 'console.txt')}"),
        *("-fsdev", f"local,id=share,path={_escaped(share)},security_model=none"),
        *("-device", "virtio-9p-pci,fsdev=share,mount_tag=lab"),
        *("-qmp", f"unix:{SOCKET},server=on,wait=off"),
    ]


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


@contextlib.asynccontextmanager
async def started(spec: Spec, folder: Path) -> AsyncIterator[Qemu]:
    """Start a machine and give it as soon as it answers; stop it at the end.

    Args:
        spec: The machine.
        folder: Takes its console. In the folder ``share`` in it are ``vmlinux`` and ``initrd.img``.

    Raises:
        MachineFailed: QEMU does not start.
    """
    command = command_line(spec, folder)
    (folder / "command.txt").write_text(shlex.join(command) + "\n")
    if shutil.which("setpriv"):  # so that no machine outlives a lab that was killed
        command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
    # The name of a socket may have 107 characters only, so both sides use one that is short.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with (folder / "qemu.txt").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt from the terminal is for the lab to answer
            )
        machine = Qemu(spec, folder / "share", folder / "console.txt", process)
        try:
            await machine.connect(Path(f"/proc/self/fd/{descriptor}/{SOCKET}"))
            yield machine
        finally:
            await machine.disconnect()
            if process.returncode is None:
                process.kill()
            await process.wait()
    except OSError as error:
        raise MachineFailed(f"{spec.name}: {error}") from error
    finally:
        os.close(descriptor)
        (folder / SOCKET).unlink(missing_ok=True)
