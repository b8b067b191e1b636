"use strict";

const byId = (id) => document.getElementById(id);
const told = (id) => JSON.parse(byId(id).textContent);

async function showMap() {
  const board = byId("map-board");
  if (!board) return null;
  const memory = await Memory.load(told("map-data")), looks = told("map-looks");
  const facts = byId("map-facts");
  const parts = {
    board, canvas: byId("map-canvas"), more: byId("map-more"), scale: byId("map-scale"),
    in: byId("map-in"), out: byId("map-out"), all: byId("map-all"),
    tell: ({ one, first, rows }) => {
      facts.replaceChildren(...rows.flatMap(([name, words]) => {
        const term = document.createElement("dt"), said = document.createElement("dd");
        term.textContent = name;
        said.textContent = words;
        said.dataset.fact = name;
        return [term, said];
      }));
      facts.dataset.pfn = first;
      facts.dataset.single = one;
    },
  };
  const map = new MemoryMap(memory, parts, looks);
  parts.in.addEventListener("click", () => map.zoom(1));
  parts.out.addEventListener("click", () => map.zoom(-1));
  parts.all.addEventListener("click", () => map.whole());
  byId("map-hilbert").addEventListener("change", (event) => {
    map.hilbert = event.target.checked;
    map.draw();
  });
  for (const choice of document.querySelectorAll("input[name=map-mode]")) {
    if (choice.checked) map.mode = choice.value;
    choice.addEventListener("change", () => {
      map.mode = choice.value;
      map.draw();
    });
  }
  for (const button of document.querySelectorAll("button[data-kind]")) {
    button.disabled = false;
    button.addEventListener("click", () => {
      const kind = Number(button.dataset.kind), on = !map.only.has(kind);
      if (on) map.only.add(kind);
      else map.only.delete(kind);
      button.setAttribute("aria-pressed", on);
      map.draw();
    });
  }
  byId("map-go").addEventListener("submit", (event) => {
    event.preventDefault();
    const pfn = memory.pfnOf(byId("map-where").value);
    const found = pfn !== null && map.goTo(pfn);
    byId("map-said").textContent = found ? "" : pfn === null
      ? "Expected a pfn (decimal, or pfn:0x5c00) or an address with 0x." : "There is no memory at that place.";
    if (found) board.focus({ preventScroll: true });
  });
  byId("map-live").hidden = false;
  map.resized();
  new ResizeObserver(() => {
    if (board.clientWidth !== map.room) map.resized();
  }).observe(board);
  await memory.loadEntries();
  map.draw();
  return map;
}

function showLog() {
  const search = byId("log-search");
  if (!search) return;
  const lines = [...document.querySelectorAll("#log-lines > li")];
  const words = lines.map((line) => line.textContent.toLowerCase());
  const filter = () => {
    const wanted = search.value.toLowerCase();
    let found = 0;
    lines.forEach((line, at) => {
      line.hidden = !words[at].includes(wanted);
      found += !line.hidden;
    });
    byId("log-found").textContent = wanted ? `${count(found, "line")} of ${lines.length}` : "";
  };
  search.addEventListener("input", filter);
  byId("log-tools").hidden = false;
  const jump = document.querySelector("a[href='#panic']");
  if (jump) jump.addEventListener("click", () => {
    search.value = "";
    filter();
  });
}

function changeGround(map) {
  const button = byId("ground"), root = document.documentElement;
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.ground ? root.dataset.ground === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.ground = dark ? "light" : "dark";
    if (map) map.draw();
  });
  if (!map) return;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.draw());
  const printing = (on) => {
    map.printing = on;
    map.resized();
  };
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
}

(async () => {
  showLog();
  let map = null;
  try {
    map = await showMap();
  } catch (error) {
    byId("map-said").textContent = `The map cannot be drawn in this browser: ${error.message}`;
  }
  changeGround(map);
  document.documentElement.dataset.ready = "yes";
})();
