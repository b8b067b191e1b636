"""The page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from compare.test_two_dumps import AFTER, BEFORE, kinds_of
from picture.page_parts import blocks_of, parse
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.simulate import Machine, parse_spec

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TWO_NODES = """
[kernel]
release = "6.1.0"
[[memory]]
node = 0
start = 0
size = "1G"
[[memory]]
node = 1
start = "4G"
size = "1G"
[pages]
cache = 2000
anonymous = 3000
slab = 300
huge = 512
hwpoison = 2
[dump]
headers_from = "crash"
"""
DUMPS = ("hash-64k-6.1", "radix-4k-6.12", "two-nodes")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is absent: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed", exc_type=ImportError
    )
    with driver.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def dump_of(corpus_dump, once) -> Any:
    def give(name: str) -> Path:
        made: Path = (
            once("two-nodes", lambda path: Machine(parse_spec(TWO_NODES)).boot().crash(path))
            if name == "two-nodes"
            else corpus_dump(name)
        )
        return made

    return give


class Opened:
    """A page that is open, with all that the browser complained of and asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False
        )
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")
        self.uri = path.as_uri()

    def facts(self) -> dict[str, str]:
        """What the map says is at the cursor."""
        found: dict[str, str] = self.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#map-facts dd')]"
            ".map((each) => [each.dataset.fact, each.textContent]))"
        )
        return found

    def hover_at_mark(self) -> None:
        """Move the mouse away from the outlined block, and back onto it."""
        canvas = self.page.locator("#map-canvas")
        canvas.scroll_into_view_if_needed()
        x, y, wide, high = map(int, (canvas.get_attribute("data-mark") or "").split())
        box = canvas.bounding_box()
        for off in (200 if x < 400 else -200, wide / 2):
            self.page.mouse.move(box["x"] + x + off, box["y"] + y + high / 2)

    def go(self, where: str) -> None:
        self.page.fill("#map-where", where)
        self.page.press("#map-where", "Enter")


@pytest.fixture(params=DUMPS)
def drawn(request, dump_of, tmp_path) -> tuple[Path, Path]:
    dump = dump_of(request.param)
    with vmemmap.open(dump) as core:
        core.report(tmp_path / "page.html")
    return dump, tmp_path / "page.html"


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser, drawn) -> None:
    for width in (1280, 400):
        for scheme in ("light", "dark"):
            opened = Opened(browser, drawn[1], width, scheme)
            assert (opened.said, opened.asked) == ([], [opened.uri])
            assert opened.page.evaluate("document.documentElement.scrollWidth") == width


def test_axe_finds_nothing(browser, drawn) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", exc_type=ImportError)
    for width, scheme in ((1280, "light"), (1280, "dark"), (400, "light")):
        opened = Opened(browser, drawn[1], width, scheme)
        opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        # axe puts its script into the page, which the page's policy does not concern.
        found = axe.Axe().run(opened.page)["violations"]
        told = [(rule["id"], [n["html"][:200] for n in rule["nodes"]][:3]) for rule in found]
        assert told == []


def _expected(core: Any, pfn: int) -> dict[str, str]:
    """Give what `vmemmap page` says, in the words of the map."""
    page = core.pages[pfn]
    said = {
        "pfn": f"{pfn:#x} ({pfn})",
        "physical": f"{page.phys:#x}",
        "kind": TITLES[page.kind],
        "struct page": f"{page.virt:#x}",
    }
    if page.node is not None:
        said["zone"] = f"node {page.node}, zone {page.zone_name or page.zone}"
    if page.entry is not None:
        said["list entry"] = f"{page.entry}, physical {page.struct_phys:#x}"
    said["in the dump"] = "yes" if core.why_absent(page.phys) is None else "no"
    return said


def test_keyboard_and_mouse_tell_what_page_tells(browser, drawn) -> None:
    opened = Opened(browser, drawn[1])
    chosen = random.Random(7)
    with vmemmap.open(drawn[0]) as core:
        runs = [(run.first_pfn, run.end_pfn) for run in core.page_model.sections]
        for turn in range(20):
            first, end = chosen.choice(runs)
            pfn = chosen.randrange(first, end - 1)
            opened.go(str(pfn) if turn % 2 else hex(core.pages[pfn].virt))
            if turn % 4 < 2:  # the next page by the keyboard
                opened.page.press("#map-board", "ArrowRight")
                pfn += 1
            elif turn % 4 == 2:  # the mouse rests on it
                opened.hover_at_mark()
            facts, wanted = opened.facts(), _expected(core, pfn)
            facts["in the dump"] = facts["in the dump"].split(":")[0]
            assert {name: facts[name] for name in wanted} == wanted


def test_zoom_to_a_single_page_and_back(browser, drawn) -> None:
    opened = Opened(browser, drawn[1])
    before = opened.page.inner_text("#map-scale")
    board = "#map-board"
    for _ in range(8):
        opened.page.press(board, "Enter")
    assert opened.page.get_attribute("#map-facts", "data-single") == "true"
    assert "one cell is 1 page," in opened.page.inner_text("#map-scale")
    assert opened.page.is_disabled("#map-in")
    opened.page.press(board, "-")
    assert opened.page.is_enabled("#map-in")
    opened.page.press(board, "Escape")
    assert opened.page.inner_text("#map-scale") == before
    opened.page.check("#map-hilbert")
    opened.page.press(board, "ArrowRight")
    assert opened.facts()["pfn"]
    assert opened.said == []


def test_light_dark_and_print(browser, drawn, tmp_path) -> None:
    opened = Opened(browser, drawn[1], scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = opened.page.evaluate(ground)
    opened.page.click("#ground")
    assert opened.page.evaluate(ground) != dark
    folded = "document.querySelectorAll('.finding details:not([open])').length"
    before = opened.page.evaluate(folded)
    for event, expected in (("beforeprint", 0), ("afterprint", before)):
        opened.page.evaluate(f"dispatchEvent(new Event('{event}'))")
        assert opened.page.evaluate(folded) == expected
    pdf = opened.page.pdf(path=tmp_path / "page.pdf")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    assert opened.said == []


def test_the_log_is_searched(browser, dump_of, tmp_path) -> None:
    with vmemmap.open(dump_of("two-nodes")) as core:
        core.report(tmp_path / "page.html")
    opened = Opened(browser, tmp_path / "page.html")
    opened.page.fill("#log-search", "PANIC")
    shown = opened.page.locator("#log-lines > li:visible")
    assert [text.lower().count("panic") for text in shown.all_inner_texts()] == [1]
    opened.page.fill("#log-search", "no such words")
    assert shown.count() == 0
    opened.page.click("a[href='#panic']")
    assert opened.page.locator("#panic").is_visible()


def test_scripts_in_the_dump_do_not_run(browser, tmp_path) -> None:
    spec = '[[memory]]\nstart = 0\nsize = "128M"\n'
    Machine(parse_spec(spec)).boot().crash(tmp_path / "plain")
    data = (tmp_path / "plain").read_bytes()
    bad = b"<script>z=1</script>!"
    dump = tmp_path / "<img src=x onerror=z=1>"
    dump.write_bytes(data.replace(b"sysrq triggered crash", bad))
    with vmemmap.open(dump) as core:
        core.report(tmp_path / "page.html")
    opened = Opened(browser, tmp_path / "page.html")
    assert bad.decode() in opened.page.inner_text("#panic")
    assert opened.page.evaluate("typeof z") == "undefined"
    assert (opened.said, opened.asked) == ([], [opened.uri])


def test_the_largest_machine(browser, tmp_path) -> None:
    """Memory up to 64 TiB, with holes: what is drawn is found again where it is."""
    spec = TWO_NODES.replace('start = "4G"', 'start = "63T"')
    Machine(parse_spec(spec)).boot().crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        core.report(tmp_path / "page.html")
        opened = Opened(browser, tmp_path / "page.html")
        pfn = (63 << 40) // core.pages.page_size + 1000
        opened.go(str(pfn))
        facts, wanted = opened.facts(), _expected(core, pfn)
        assert {name: facts[name] for name in wanted if name != "in the dump"} == {
            name: words for name, words in wanted.items() if name != "in the dump"
        }


def test_a_mixed_block_tells_of_its_pages_together(browser, dump_of, tmp_path, monkeypatch) -> None:
    """Where there is no room for every page: exact sums, and of which pages they are."""
    from vmemmap.picture import report

    monkeypatch.setattr(report, "_MAP_BYTES", 600)
    with vmemmap.open(dump_of("two-nodes")) as core:
        core.report(tmp_path / "page.html")
        kinds = kinds_of(core)
    runs = parse((tmp_path / "page.html").read_text()).map["runs"]
    mixed = [block for block in blocks_of(runs) if block.mixed]
    assert mixed
    opened = Opened(browser, tmp_path / "page.html")
    for block in mixed[:: max(len(mixed) // 5, 1)]:
        opened.go(str(block.first_pfn + 3))
        pages = range(block.first_pfn, block.first_pfn + (1 << runs["shift"]))
        counts = Counter(TITLES[Kind(kinds[pfn])] for pfn in pages)
        said = opened.facts()["kinds"]
        assert said.startswith(f"of {len(pages)} pages, pfn {pages[0]:#x} to {pages[-1]:#x}: ")
        assert sorted(said.split(": ")[1].split(", ")) == sorted(
            f"{title} {count}" for title, count in counts.items()
        )
    assert opened.said == []


def test_two_dumps_compared(browser, once, tmp_path) -> None:
    made = [
        once(name, lambda out, spec=spec: Machine(parse_spec(spec)).run_events().crash(out))
        for name, spec in (("before.vmcore", BEFORE), ("after.vmcore", AFTER))
    ]
    with vmemmap.open(made[0]) as before, vmemmap.open(made[1]) as after:
        before.report(tmp_path / "page.html", beside=after)
        kinds = [kinds_of(core) for core in (before, after)]
        entries = [{p: e.pfn_start for p, e in enumerate(core.backing)} for core in (before, after)]
    axe = pytest.importorskip("axe_core_python.sync_playwright", exc_type=ImportError)
    for width, scheme in ((1280, "light"), (1280, "dark"), (400, "light")):
        opened = Opened(browser, tmp_path / "page.html", width, scheme)
        assert (opened.said, opened.asked) == ([], [opened.uri])
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width
        opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        found = axe.Axe().run(opened.page)["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    opened = Opened(browser, tmp_path / "page.html")
    chosen = random.Random(11)
    every = sorted(kinds[0].keys() | kinds[1].keys())
    turned = [pfn for pfn in every if kinds[0].get(pfn) != kinds[1].get(pfn)]
    words = [{pfn: TITLES[Kind(kind)] for pfn, kind in each.items()} for each in kinds]
    for pfn in chosen.sample(turned, 12) + chosen.sample(every, 8):
        opened.go(str(pfn))
        facts = opened.facts()
        was, now = (each.get(pfn, "no struct page") for each in words)
        assert (facts["before"], facts["now"]) == (was, now)
        assert facts["changed"] == ("no" if was == now else f"{was} to {now} 1")
        for name, known in zip(("list entry before", "list entry now"), entries, strict=True):
            place = next((p for p, first in known.items() if first == pfn // 1024 * 1024), None)
            assert facts[name].split(",")[0] == ("none" if place is None else str(place))
    for mode in ("before", "kind", "changed"):
        opened.page.check(f"input[name=map-mode][value={mode}]")
    opened.page.press("#map-board", "Escape")
    opened.page.check("#map-hilbert")
    assert opened.said == []
