"""A store that speaks S3, moto's server, on this machine: objects, credentials, split dumps.

What is in it was put there by boto3.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vmemmap
from builders.kdump import build_kdump
from builders.machine import build_machine
from vmemmap.source.stores import list_prefix

pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")

ODD = "crashes/2026-11-26 10:15/vm core+#1?.flat"
MACHINE = build_machine()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a store with the bucket ``dumps``."""
    # Each worker collects this file, and one runs it: what takes so long to import is for that one.
    moto = pytest.importorskip(
        "moto.server", reason="moto is absent: pip install -r requirements/test.txt"
    )
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="name",
        aws_secret_access_key="hush",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="dumps")
    pages, end = MACHINE.kdump_pages(), max(MACHINE.pages) + 1
    parts = [(0, 40), (40, end)]
    client.put_object(Bucket="dumps", Key="vmcore", Body=MACHINE.kdump())
    client.put_object(Bucket="dumps", Key=ODD, Body=MACHINE.elf())
    for number, part in enumerate(parts):
        member = build_kdump(
            pages,
            block_size=MACHINE.page_size,
            split=part,
            notes=MACHINE.notes(),
            utsname=MACHINE.utsname,
        )
        client.put_object(Bucket="dumps", Key=f"member-{number}", Body=member)
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials where they belong."""
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("keys", [["vmcore"], [ODD], ["member-1", "member-0"]], ids=str)
def test_what_is_in_a_bucket_opens(keys: list[str], environment: None, run_vmemmap) -> None:
    ran = run_vmemmap("list", *(f"s3://dumps/{key}" for key in keys), "-f", "json", "--stats")
    assert ran.code == 0, ran.err
    assert [int(row["node"], 16) for row in ran.json["entries"]] == [
        entry.node for entry in MACHINE.entries
    ]
    assert " requests, " in ran.err


def test_options_go_before_the_environment(environment: None) -> None:
    with pytest.raises(vmemmap.UnreadableFile, match="there is no such object"):
        vmemmap.open("s3://dumps/nothing")
    with pytest.raises(vmemmap.UnreadableFile, match="nothing answers"):
        vmemmap.open("s3://dumps/vmcore", storage={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(vmemmap.UnreadableFile, match="access is forbidden"):
        vmemmap.open("s3://dumps/vmcore", storage={"skip_signature": "true"})


@pytest.mark.parametrize(
    ("key", "more", "words"),
    [
        ("a//b", {}, "its key has an empty part, a part . or .., or a control character"),
        ("a/../b\n", {}, "copy it to another key, or download it"),
        ("crashes/", {}, "there is no such object .it ends in /: survey takes"),
        ("vmcore", {"endpoint": "no address:hush"}, "its endpoint is no address, as https://HOST"),
        ("vmcore", {"endpoint": ""}, "its endpoint is no address"),
        ("vmcore", {"region": "no\nregion"}, "obstore fails: is the region right, or another"),
    ],
)
def test_what_obstore_cannot_do_is_said(
    key: str, more: dict[str, str], words: str, environment: None
) -> None:
    """Its faults, too, which are no exceptions that one usually catches."""
    with pytest.raises(vmemmap.UnreadableFile, match=words) as error:
        vmemmap.open(f"s3://dumps/{key}", storage=more)
    assert "hush" not in str(error.value)


def test_a_prefix_with_a_key_that_obstore_does_not_take(store: str, environment: None) -> None:
    import boto3

    options = {"aws_access_key_id": "name", "aws_secret_access_key": "hush"}
    client = boto3.client("s3", endpoint_url=store, region_name="us-east-1", **options)
    client.put_object(Bucket="dumps", Key="odd/a//b", Body=b"x")
    with pytest.raises(vmemmap.UnreadableFile, match="a key in it has an empty part"):
        list(list_prefix("s3://dumps/odd/"))
    with pytest.raises(vmemmap.UnreadableFile, match="obstore fails"):
        list(list_prefix("s3://dumps/odd/", {"region": "no\nregion"}))


def test_credentials_as_options(store: str) -> None:
    options = {
        "endpoint": store,
        "access_key_id": "name",
        "secret_access_key": "hush",
        "region": "us-east-1",
    }
    with vmemmap.open("s3://dumps/vmcore", storage=options) as core:
        assert len(core.backing) == len(MACHINE.entries)
