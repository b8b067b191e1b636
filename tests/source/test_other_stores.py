"""Google's and Azure's stores, as far as that goes without them: addresses, keys, ranges.

Google's speaks through an emulator. It leaves out two headers that the store itself sends, which
are added. Azure's has none in Python; a web server does what its plain objects need.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

import vmemmap
from breadth import trying
from builders.machine import build_machine
from range_server import serving
from vmemmap.source import object_store

pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")
MACHINE = build_machine()
ODD = "crashes/2026-11-26 10:15/vm core+#1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(object_store, "PAUSE_SECONDS", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def nodes(url: str, storage: dict[str, Any]) -> list[int]:
    with vmemmap.open(url, storage=storage) as core:
        assert core.source.traffic is not None
        return [int(node) for node in core.backing.node]


EXPECTED = [entry.node for entry in MACHINE.entries]


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an emulator with the bucket ``dumps``."""
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="gcp-storage-emulator is absent"
    )
    close = emulator.Response.close

    def closed(response: Any) -> None:
        response["ETag"] = '"one"'
        response["Last-Modified"] = "Thu, 26 Nov 2026 10:15:00 GMT"
        close(response)

    monkeypatch.setattr(emulator.Response, "close", closed)
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="dumps")
    server.start()
    host, port = server._api._httpd.server_address[:2]
    yield f"http://{host}:{port}"
    # It waits for connections that are kept open.
    threading.Thread(target=server._api._httpd.server_close, daemon=True).start()


@pytest.mark.full
def test_what_is_in_googles_store_opens(google: str) -> None:
    for name, data in (("vmcore", MACHINE.kdump()), (ODD, MACHINE.elf())):
        url = f"{google}/upload/storage/v1/b/dumps/o?uploadType=media&name={quote(name, safe='')}"
        kind = {"Content-Type": "application/octet-stream"}
        urlopen(Request(url, data=data, method="POST", headers=kind)).close()
    key = {"gcs_base_url": google, "disable_oauth": True, "client_email": "", "private_key": ""}
    ways: tuple[dict[str, Any], ...] = (
        {"skip_signature": "true", "base_url": google},
        {"service_account_key": json.dumps(key | {"private_key_id": ""}), "allow_http": "true"},
    )
    for storage in ways:
        for name in ("vmcore", ODD):
            with trying((name, list(storage))):
                assert nodes(f"gs://dumps/{name}", storage) == EXPECTED
        with pytest.raises(vmemmap.UnreadableFile, match="there is no such object"):
            vmemmap.open("gs://dumps/none", storage=storage)
    with pytest.raises(vmemmap.UnreadableFile, match="--storage allow_http=true"):
        vmemmap.open("gs://dumps/vmcore", storage=ways[1] | {"allow_http": "false"})


@pytest.mark.parametrize("scheme", ["az", "azure", "abfs"])
def test_what_is_in_azures_store_opens(scheme: str, tmp_path: Path) -> None:
    folder = tmp_path / "account" / "dumps"
    (folder / ODD).parent.mkdir(parents=True)
    (folder / "vmcore").write_bytes(MACHINE.kdump())
    with serving(tmp_path) as served:
        storage = {
            "account_name": "account",
            "account_key": "aHVzaA==",
            "endpoint": f"{served.url}/account",
        }
        assert nodes(f"{scheme}://dumps/vmcore", storage) == EXPECTED
        assert all(path == "/account/dumps/vmcore" for _, path, _ in served.requests)
        with pytest.raises(vmemmap.UnreadableFile, match="there is no such object"):
            vmemmap.open(f"{scheme}://dumps/none", storage=storage)


def test_a_file_of_credentials_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "hush"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(vmemmap.UnreadableFile, match="the credentials are of no kind that") as told:
        vmemmap.open("gs://dumps/vmcore")
    assert "hush" not in str(told.value)
