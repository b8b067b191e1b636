
"use strict";
const states = JSON.parse(document.getElementById("states").textContent);
const rows = Array.from(document.querySelectorAll("#steps tr"));
const shown = document.getElementById("state");
let here = 0;

function cell(row, text, isNew) {
  const made = row.insertCell();
  made.textContent = text;
  if (isNew) made.className = "new";
}

function wordsOf(state) {
  const words = [];
  const list = state.list, nodes = state.nodes, block = state.block;
  words.push(["vmemmap_list", list.head + " (" + list.entries + ")"]);
  for (let i = 0; i < 3; i++) {
    const entry = list.newest[i];
    words.push(["entry " + i, entry ? entry.virt_addr + " at " + entry.phys : "-"]);
  }
  words.push(["next", nodes.next], ["num_left", String(nodes.num_left)]);
  words.push(["num_freed", String(nodes.num_freed)]);
  const node = nodes.node;
  words.push(["node", node ? node.node + " (slot " + nodes.slot + ")" : "-"]);
  words.push(["  list", node ? nodes.list : "-"], ["  phys", node ? node.phys : "-"]);
  words.push(["  virt_addr", node ? node.virt_addr : "-"]);
  words.push(["block", block ? block.virt : "-"]);
  words.push(["  listed at", block && block.listed ? block.phys : "-"]);
  words.push(["  mapped to", block && block.mapped ? block.mapped : "-"]);
  return words;
}

function lastState(column, upTo) {
  for (let i = upTo; i >= 0; i--) {
    const both = states[i][column];
    if (both && both[1]) return i === upTo ? both : [both[1], both[1]];
  }
  return null;
}

function show() {
  rows.forEach((row, i) => row.classList.toggle("here", i === here));
  shown.replaceChildren();
  for (let column = 0; column < states[here].length; column++) {
    const box = document.createElement("div");
    const both = lastState(column, here);
    if (both) {
      const table = document.createElement("table");
      const before = wordsOf(both[0]), after = wordsOf(both[1]);
      before.forEach((word, i) => {
        const row = table.insertRow();
        cell(row, word[0], false);
        cell(row, word[1], false);
        const differs = word[1] !== after[i][1];
        cell(row, differs ? after[i][1] : "", differs);
      });
      box.append(table);
    } else {
      box.textContent = "nothing is stored yet";
    }
    shown.append(box);
  }
  rows[here].scrollIntoView({ block: "center" });
}

function go(to) {
  here = Math.max(0, Math.min(rows.length - 1, to));
  show();
}

function store(step) {
  for (let i = here + step; i >= 0 && i < rows.length; i += step) {
    if (states[i].some((both) => both && both[1])) return go(i);
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const moves = {
    ArrowRight: () => go(here + 1), ArrowDown: () => go(here + 1), j: () => go(here + 1),
    ArrowLeft: () => go(here - 1), ArrowUp: () => go(here - 1), k: () => go(here - 1),
    Home: () => go(0), End: () => go(rows.length - 1), s: () => store(1), S: () => store(-1),
  };
  if (Object.hasOwn(moves, event.key)) {
    event.preventDefault();
    moves[event.key]();
  }
});
rows.forEach((row, i) => row.addEventListener("click", () => go(i)));
if (rows.length) show();
