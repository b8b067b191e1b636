"use strict";

const ABSENT = 0, FREE = 11, UNKNOWN = 13;
const ROWS_AT_MOST = 150;
const PANELS_AT_MOST = 60;

/* The kind that most pages are of; that there are none counts only where nothing else is. */
function most(kinds) {
  let found = ABSENT;
  for (let kind = 1; kind < 16; kind++) if (kinds[kind] > (found ? kinds[found] : 0)) found = kind;
  return found;
}

/*
 * The memory map: a raster of cells, each cell some pages in a row. At the top it shows all ranges;
 * each level below shows a part of one, in smaller cells, down to single pages.
 */
class MemoryMap {
  constructor(memory, parts, looks) {
    Object.assign(this, { memory, parts, looks });
    this.level = 0;
    this.cursor = memory.ranges.length ? memory.ranges[0].index : 0;
    this.mode = "kind";
    this.only = new Set();
    this.hilbert = false;
    this.printing = false;
    this.parts.board.addEventListener("keydown", (event) => this.onKey(event));
    this.parts.canvas.addEventListener("pointermove", (event) => this.onPoint(event));
    this.parts.canvas.addEventListener("click", (event) => this.onClick(event));
  }

  /* The levels of zoom, by the room that there is. */
  resized() {
    const room = this.parts.board.clientWidth;
    if (!room) return;
    this.room = room;
    const near = this.level && this.levels ? this.levels[this.level] : null;
    this.narrow = room < 640;
    this.gutter = this.narrow ? 84 : 138;
    const columns = this.narrow ? 64 : 256;
    const section = Math.max(this.memory.told.section_pages, 1);
    let per = Math.max(section / columns, 1);
    const rows = (each) => this.memory.ranges.reduce(
      (sum, range) => sum + Math.ceil(range.end / each) - Math.floor(range.first / each), 0);
    while (rows(per * columns) > Math.max(ROWS_AT_MOST, this.memory.ranges.length)) per *= 2;
    this.levels = [{ per, columns }];
    while (per > 1) {
      per = Math.max(per / 8, 1);
      this.levels.push({ per, columns, rows: 48 });
    }
    if (columns > 64) this.levels.push({ per: 1, columns: 64, rows: 24 });
    this.levels.push({ per: 1, columns: 16, rows: 12 });
    if (near) this.level = Math.min(this.level, this.levels.length - 1);
    this.draw();
  }

  /* The colours for the ground that the page has now. */
  lookNow() {
    const root = document.documentElement.dataset.ground;
    const dark = root ? root === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    return this.looks[dark && !this.printing ? "dark" : "light"];
  }

  /* The cell that an index lies in, cut to the range: the indices of its pages. */
  cellOf(index, per = this.levels[this.level].per) {
    const range = this.memory.rangeOfIndex(index);
    const start = Math.floor((range.first + index - range.index) / per) * per;
    const first = Math.max(start, range.first), end = Math.min(start + per, range.end);
    return { low: range.index + first - range.first, high: range.index + end - range.first };
  }

  /* What is shown: panels, each some rows of one range. */
  layOut() {
    const level = this.levels[this.level], span = level.per * level.columns;
    const panels = [];
    if (!this.level) {
      for (const range of this.memory.ranges.slice(0, PANELS_AT_MOST)) {
        const top = Math.floor(range.first / span);
        panels.push({ range, top, rows: Math.ceil(range.end / span) - top });
      }
    } else {
      const range = this.memory.rangeOfIndex(this.cursor);
      const row = Math.floor(this.memory.pfnAt(this.cursor) / span);
      const least = Math.floor(range.first / span), most = Math.ceil(range.end / span);
      let top = this.top;
      if (top === undefined || row < top || row >= top + level.rows) top = row - (level.rows >> 1);
      top = Math.max(Math.min(top, most - level.rows), least);
      this.top = top;
      panels.push({ range, top, rows: Math.min(level.rows, most - top) });
    }
    const rows = panels.reduce((sum, panel) => sum + panel.rows, 0);
    const limits = this.narrow ? [4, 24] : [4, 22];
    const high = Math.max(Math.min(Math.floor(520 / Math.max(rows, 1)), limits[1]), limits[0]);
    let y = 0;
    for (const panel of panels) {
      panel.hole = y;
      y += this.level ? 4 : 24;
      panel.y = y;
      y += panel.rows * high + 4;
    }
    return { panels, rowHeight: high, height: y, span, ...level };
  }

  draw() {
    if (!this.levels || !this.memory.pages) return;
    this.look = this.lookNow();
    const view = this.view();
    if (view !== this.drawn) {
      if (this.hilbert) this.drawHilbert();
      else this.drawRaster();
      this.drawn = view;
    }
    this.show();
    this.tell();
  }

  /* What the picture depends on: while it is the same only the outline moves. */
  view() {
    const { panels } = this.layOut(), { range, top } = panels[0];
    return [
      this.parts.board.clientWidth, window.devicePixelRatio, this.look === this.looks.dark, this.printing,
      this.level, range.first, top, this.mode, this.hilbert, ...this.only,
    ].join(" ");
  }

  show() {
    const { canvas } = this.parts, { sheet } = this, pen = canvas.getContext("2d");
    if (canvas.width !== sheet.width || canvas.height !== sheet.height) {
      [canvas.width, canvas.height] = [sheet.width, sheet.height];
      canvas.style.height = `${sheet.high}px`;
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(sheet, 0, 0);
    pen.setTransform(sheet.dots, 0, 0, sheet.dots, 0, 0);
    this.mark(pen);
  }

  start(width, height) {
    const dots = Math.min(window.devicePixelRatio || 1, 2), sheet = document.createElement("canvas");
    sheet.width = Math.round(width * dots);
    sheet.height = Math.round(height * dots);
    Object.assign(sheet, { dots, high: height });
    this.sheet = sheet;
    const pen = sheet.getContext("2d");
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    this.hatch = hatches(pen, this.look);
    return pen;
  }

  drawRaster() {
    const width = this.parts.board.clientWidth, shown = this.layOut();
    const pen = this.start(width, shown.height);
    this.shown = shown;
    shown.blockWidth = (width - this.gutter) / shown.columns;
    for (const panel of shown.panels) this.drawPanel(pen, panel, shown, width);
    const more = this.memory.ranges.length - PANELS_AT_MOST;
    this.parts.more.textContent = !this.level && more > 0
      ? `${count(more, "more range")} are not drawn here: go to an address to see them.` : "";
  }

  drawPanel(pen, panel, shown, width) {
    const { range, top, rows, y } = panel, { per, span, rowHeight: high, blockWidth: wide } = shown;
    const pageSize = this.memory.told.page_size;
    pen.font = `${this.narrow ? 10 : 12}px ui-monospace, monospace`;
    pen.textBaseline = "middle";
    if (!this.level) this.drawHeading(pen, panel, width);
    let labelled = -100;
    for (let row = 0; row < rows; row++) {
      const rowPfn = (top + row) * span, at = y + row * high;
      if (at - labelled >= 18) {
        pen.fillStyle = this.look.ink;
        pen.textAlign = "right";
        const address = BigInt(Math.max(rowPfn, range.first)) * BigInt(pageSize);
        pen.fillText(inHex(address), this.gutter - 8, at + high / 2);
        labelled = at;
      }
      for (let column = 0; column < shown.columns; column++) {
        const first = Math.max(rowPfn + column * per, range.first);
        const end = Math.min(rowPfn + (column + 1) * per, range.end);
        // On whole pixels: colours that let the ground through would add up where cells overlap.
        const x = Math.round(this.gutter + column * wide);
        const width = Math.round(this.gutter + (column + 1) * wide) - x;
        if (first >= end) {
          this.fill(pen, x, at, width, high, ABSENT, 1, "absent");
          continue;
        }
        const low = range.index + first - range.first;
        this.paint(pen, x, at, width, high, this.memory.sum(low, low + end - first));
      }
    }
  }

  drawHeading(pen, panel, width) {
    const { range } = panel, each = this.memory.told.page_size;
    const before = this.memory.ranges[this.memory.ranges.indexOf(range) - 1];
    const hole = (range.first - (before ? before.end : 0)) * each;
    pen.textAlign = "left";
    pen.fillStyle = this.look.ink;
    let x = this.gutter;
    if (hole) {
      const words = `hole of ${size(hole)}, then`, long = pen.measureText(words).width;
      this.fill(pen, x, panel.hole + 6, 30, 12, ABSENT, 1, "absent");
      pen.fillStyle = this.look.faint;
      pen.fillText(words, x + 36, panel.hole + 12);
      x += 50 + long;
    }
    pen.fillStyle = this.look.ink;
    pen.fillText(size((range.end - range.first) * each), x, panel.hole + 12);
  }

  /* One cell, by what the map shows. */
  paint(pen, x, y, wide, high, sum) {
    if (this.mode === "stored") {
      const share = sum.pages ? sum.stored / sum.pages : 0;
      pen.fillStyle = this.look.excluded;
      pen.fillRect(x, y, wide, high);
      pen.globalAlpha = share;
      pen.fillStyle = this.look.stored;
      pen.fillRect(x, y, wide, high);
      pen.globalAlpha = 1;
      if (!sum.covered) this.lay(pen, x, y, wide, high, sum.pages ? "uncovered" : "absent");
      return;
    }
    if (sum.untold) {
      this.lay(pen, x, y, wide, high, "stripes");
      return;
    }
    const total = sum.high - sum.low;
    if (this.mode === "changed") {
      const now = most(sum.kinds);
      this.fill(pen, x, y, wide, high, now, 0.14, now ? this.looks.words[now] : "absent");
      if (sum.moved) this.paintMost(pen, x, y, wide, high, sum.changed, total, true);
      return;
    }
    this.paintMost(pen, x, y, wide, high, this.mode === "before" ? sum.before : sum.kinds, total, false);
    if (sum.pages && !sum.covered && sum.kinds[UNKNOWN] < total) this.lay(pen, x, y, wide, high, "uncovered");
  }

  /* A cell in the colour of what most of its pages are, or of the chosen kind that most of them are. */
  paintMost(pen, x, y, wide, high, kinds, total, strong) {
    const chosen = [...this.only].filter((kind) => kinds[kind]);
    const dim = this.only.size && !chosen.length;
    const shown = chosen.length ? chosen.reduce((a, b) => (kinds[b] > kinds[a] ? b : a)) : most(kinds);
    const least = strong ? 0.55 : 0.35, strength = dim ? 0.08 : least + ((1 - least) * kinds[shown]) / total;
    const word = shown || strong ? this.looks.words[shown] : "absent";
    this.fill(pen, x, y, wide, high, shown, strength, shown === ABSENT && strong ? "gone" : word);
    if (strong && shown === FREE && !dim) this.lay(pen, x, y, wide, high, "dots");
  }

  fill(pen, x, y, wide, high, kind, strength, word) {
    pen.globalAlpha = strength;
    pen.fillStyle = this.look.colours[kind];
    pen.fillRect(x, y, wide + (wide < 8 ? 0 : -1), high + (high < 8 ? 0 : -1));
    pen.globalAlpha = 1;
    const pattern = this.looks.patterns[kind];
    if (pattern && (wide >= 5 || kind === ABSENT || kind === UNKNOWN || pattern === "cross")) {
      this.lay(pen, x, y, wide, high, word === "absent" ? "absent" : pattern);
    }
  }

  lay(pen, x, y, wide, high, name) {
    pen.fillStyle = this.hatch[name];
    pen.fillRect(x, y, wide + (wide < 8 ? 0 : -1), high + (high < 8 ? 0 : -1));
  }

  drawHilbert() {
    const level = this.levels[this.level], width = this.parts.board.clientWidth;
    let low = 0, high = this.memory.pages, per = level.per;
    if (this.level) {
      const shown = this.layOut(), [panel] = shown.panels, { range } = panel;
      const first = Math.max(panel.top * shown.span, range.first);
      const end = Math.min((panel.top + panel.rows) * shown.span, range.end);
      low = range.index + first - range.first;
      high = range.index + end - range.first;
    }
    const most = this.narrow ? 64 : 128;
    while ((high - low) / per > most * most) per *= 2;
    let order = 1;
    while (4 ** order < (high - low) / per) order++;
    const room = Math.min(width, 640), each = room / (1 << order);
    const pen = this.start(width, room);
    this.shown = { hilbert: true, low, high, per, order, each };
    for (let nth = 0; low + nth * per < high; nth++) {
      const [x, y] = hilbertPlace(order, nth);
      const at = low + nth * per;
      const left = Math.round(x * each), top = Math.round(y * each);
      const wide = Math.round((x + 1) * each) - left, tall = Math.round((y + 1) * each) - top;
      this.paint(pen, left, top, wide, tall, this.memory.sum(at, Math.min(at + per, high)));
    }
    this.parts.more.textContent = "Along the curve holes are left out; neighbours in memory stay neighbours.";
  }

  /* The outline of the cell that is told of. */
  mark(pen) {
    const place = this.placeOf(this.cursor);
    if (!place) return;
    const [x, y, wide, high] = place;
    this.parts.canvas.dataset.mark = place.map(Math.round).join(" ");
    for (const [colour, line, out] of [[this.look.ground, 4, 2], [this.look.mark, 2, 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(x - out, y - out, Math.max(wide, 3) + 2 * out - 1, Math.max(high, 3) + 2 * out - 1);
    }
  }

  placeOf(index) {
    const shown = this.shown;
    if (shown.hilbert) {
      const nth = Math.floor((index - shown.low) / shown.per);
      if (nth < 0 || index >= shown.high) return null;
      const [x, y] = hilbertPlace(shown.order, nth);
      return [x * shown.each, y * shown.each, shown.each, shown.each];
    }
    const pfn = this.memory.pfnAt(index), range = this.memory.rangeOfIndex(index);
    const panel = shown.panels.find((each) => each.range === range);
    const row = panel ? Math.floor(pfn / shown.span) - panel.top : -1;
    if (row < 0 || row >= panel.rows) return null;
    const column = Math.floor((pfn % shown.span) / shown.per);
    return [this.gutter + column * shown.blockWidth, panel.y + row * shown.rowHeight,
      shown.blockWidth, shown.rowHeight];
  }

  /* The index of the first page at a place of the canvas; -1 where there is none. */
  indexAt(x, y) {
    const shown = this.shown;
    if (!shown) return -1;
    if (shown.hilbert) {
      const column = Math.floor(x / shown.each), row = Math.floor(y / shown.each), side = 1 << shown.order;
      if (column < 0 || row < 0 || column >= side || row >= side) return -1;
      const index = shown.low + hilbertNth(shown.order, column, row) * shown.per;
      return index < shown.high ? index : -1;
    }
    const column = Math.floor((x - this.gutter) / shown.blockWidth);
    if (column < 0 || column >= shown.columns) return -1;
    for (const { range, top, rows, y: start } of shown.panels) {
      const row = Math.floor((y - start) / shown.rowHeight);
      if (row < 0 || row >= rows) continue;
      const pfn = (top + row) * shown.span + column * shown.per;
      const first = Math.max(pfn, range.first);
      return first < Math.min(pfn + shown.per, range.end) ? range.index + first - range.first : -1;
    }
    return -1;
  }

  pointed(event) {
    const box = this.parts.canvas.getBoundingClientRect();
    return this.indexAt(event.clientX - box.left, event.clientY - box.top);
  }

  onPoint(event) {
    const index = this.pointed(event);
    if (index < 0 || index === this.cursor) return;
    this.cursor = index;
    this.draw();
  }

  onClick(event) {
    const index = this.pointed(event);
    this.parts.board.focus({ preventScroll: true });
    if (index < 0) return;
    // A finger cannot hover: its first touch shows what is there, the next one on it zooms in.
    const seen = this.pressed === index;
    this.cursor = index;
    if (event.pointerType === "touch" && !seen) {
      this.pressed = index;
      this.draw();
    } else this.zoom(1);
  }

  zoom(by) {
    const level = Math.max(Math.min(this.level + by, this.levels.length - 1), 0);
    if (level === this.level) return;
    this.level = level;
    this.top = undefined;
    this.draw();
    this.parts.board.scrollIntoView({ block: "nearest" });
  }

  whole() {
    this.zoom(-this.levels.length);
  }

  /* Go to a page. */
  goTo(pfn) {
    const range = this.memory.rangeOfPfn(pfn);
    if (!range || pfn >= 2 ** 52) return false;
    this.cursor = range.index + pfn - range.first;
    this.level = this.levels.length - 1;
    this.top = undefined;
    this.draw();
    return true;
  }

  /* Move by so many pages; over a hole to the next range, and not beyond the last. */
  move(by) {
    const range = this.memory.rangeOfIndex(this.cursor);
    let pfn = this.memory.pfnAt(this.cursor) + by;
    if (pfn < range.first || pfn >= range.end) {
      const other = this.memory.ranges[this.memory.ranges.indexOf(range) + Math.sign(by)];
      if (!other) pfn = by < 0 ? range.first : range.end - 1;
      else if (pfn < other.first || pfn >= other.end) pfn = by < 0 ? other.end - 1 : other.first;
    }
    const target = this.memory.rangeOfPfn(pfn);
    this.cursor = target.index + pfn - target.first;
    this.draw();
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { per, columns } = this.levels[this.level], row = per * columns;
    const keys = {
      ArrowLeft: () => this.move(-per),
      ArrowRight: () => this.move(per),
      ArrowUp: () => this.move(-row),
      ArrowDown: () => this.move(row),
      PageUp: () => this.move(-10 * row),
      PageDown: () => this.move(10 * row),
      Home: () => this.move(-(this.memory.pfnAt(this.cursor) % row)),
      End: () => this.move(row - per - (this.memory.pfnAt(this.cursor) % row)),
      Enter: () => this.zoom(1),
      "+": () => this.zoom(1),
      "-": () => this.zoom(-1),
      Backspace: () => this.zoom(-1),
      Escape: () => this.whole(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  /* Say in words what is under the cursor. */
  tell() {
    const per = this.shown.hilbert ? this.shown.per : this.levels[this.level].per;
    const cell = this.shown.hilbert
      ? { low: this.cursor, high: Math.min(this.cursor + per, this.shown.high) }
      : this.cellOf(this.cursor);
    const sum = this.memory.sum(cell.low, cell.high);
    const first = this.memory.pfnAt(cell.low), last = this.memory.pfnAt(cell.high - 1);
    this.parts.tell(describe(this.memory, this.looks, first, last, sum));
    const each = this.memory.told.page_size * per;
    this.parts.scale.textContent =
      `one cell is ${count(per, "page")}, ${size(each)}; ` +
      `zoom ${this.level + 1} of ${this.levels.length}`;
    this.parts.out.disabled = !this.level;
    this.parts.all.disabled = !this.level;
    this.parts.in.disabled = this.level === this.levels.length - 1;
  }
}

/* What is known of a stretch of pages, as names and texts. */
function describe(memory, looks, first, last, sum) {
  const { told } = memory, one = first === last, rows = [];
  const span = (of) => (one ? inHex(of(first)) : `${inHex(of(first))} to ${inHex(of(last))}`);
  rows.push(["pfn", one ? `${inHex(first)} (${first})` : `${inHex(first)} to ${inHex(last)}`]);
  rows.push(["physical", span((pfn) => memory.phys(pfn))]);
  const list = (counts) => {
    const kinds = [...counts.entries()].filter(([, pages]) => pages).sort((a, b) => b[1] - a[1]);
    const name = (kind) => (kind === ABSENT ? "no struct page" : looks.titles[kind]);
    if (kinds.length === 1) return (one ? "" : "all: ") + name(kinds[0][0]);
    const words = kinds.map(([kind, pages]) => `${name(kind)} ${pages.toLocaleString("en")}`).join(", ");
    if (!sum.vague) return words;
    const where = `${inHex(memory.pfnAt(sum.low))} to ${inHex(memory.pfnAt(sum.high - 1))}`;
    return `of ${count(sum.high - sum.low, "page")}, pfn ${where}: ${words}`;
  };
  const label = (counts) => (counts.filter((pages) => pages).length > 1 ? "kinds" : "kind");
  if (told.compared) {
    if (sum.untold) rows.push(["kinds", "not compared here: they change too often"]);
    else rows.push(["before", list(sum.before)], ["now", list(sum.kinds)], ["changed", turnWords(looks, sum)]);
    rows.push(["struct page", span((pfn) => memory.structVirt(pfn))]);
    rows.push(["list entry before", entryWords(memory.entriesBefore, "unknown", first, last)]);
    rows.push(["list entry now", entryWords(memory.entries, told.why_no_entries || "being unpacked", first, last)]);
    return { one, first, rows };
  }
  rows.push([label(sum.kinds), list(sum.kinds)]);
  if (told.unread) {
    const why = memory.among(told.unread, first, last + 1, (run) => run[2]);
    if (why.length) rows.push(["unknown since", why.map((word) => looks.absences[word] || word).join("; ")]);
  }
  if (told.zones) {
    const zones = memory.among(told.zones, first, last + 1, (run) => `${run[2]}/${run[3]}`);
    const words = zones.slice(0, 6).map((zone) => {
      const [node, number] = zone.split("/");
      return `node ${node}, zone ${told.zone_names[zone] || number}`;
    });
    rows.push(["zone", words.join("; ") || "unknown"]);
  } else rows.push(["zone", "unknown"]);
  rows.push(["struct page", span((pfn) => memory.structVirt(pfn))]);
  rows.push(["list entry", entryWords(memory.entries, told.why_no_entries || "being unpacked", first, last)]);
  rows.push(["in the dump", storedWords(memory, looks, first, last, sum)]);
  return { one, first, rows };
}

function entryWords(entries, why, first, last) {
  if (!entries) return why;
  const low = entries.of(first);
  if (first === last) {
    return low < 0 ? "none" : `${low}, physical ${inHex(entries.structPhys(first, low))}`;
  }
  const high = entries.of(last);
  if (low === high) return low < 0 ? "none at either end" : String(low);
  return `${low < 0 ? "none" : low} at the start, ${high < 0 ? "none" : high} at the end`;
}

/* What became what, the most pages first. */
function turnWords(looks, sum) {
  const name = (kind) => (kind === ABSENT ? "no struct page" : looks.titles[kind]);
  const turns = [...sum.turns].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const words = turns.map(([word, pages]) => `${name(word & 15)} to ${name(word >> 4)} ${pages.toLocaleString("en")}`);
  if (sum.turns.size > turns.length) words.push("and others");
  return words.join(", ") || "no";
}

function storedWords(memory, looks, first, last, sum) {
  if (!sum.pages) return "no: no memory";
  if (sum.vague && sum.stored && sum.stored < sum.pages) {
    return `${sum.stored.toLocaleString("en")} of these ${sum.pages.toLocaleString("en")} pages`;
  }
  const parts = [];
  if (sum.stored === sum.pages) return first === last ? "yes" : "yes, all of it";
  if (sum.stored) parts.push(`${sum.stored.toLocaleString("en")} of ${sum.pages.toLocaleString("en")}`);
  const out = sum.covered - sum.stored;
  if (out > 0) parts.push(first === last ? "no: left out of the file" : `${out.toLocaleString("en")} left out of the file`);
  if (sum.covered < sum.pages) {
    const why = memory.among(memory.told.uncovered, first, last + 1, (run) => run[2]);
    const words = why.map((word) => looks.absences[word] || word).join("; ");
    const number = first === last ? "no" : (sum.pages - sum.covered).toLocaleString("en");
    parts.push(`${number}: ${words || looks.absences.not_in_dump}`);
  }
  return parts.join("; ");
}

/* The patterns that are laid over colours, in the ink of the ground. */
function hatches(pen, look) {
  const tile = (draw) => {
    const small = document.createElement("canvas");
    small.width = small.height = 6;
    const brush = small.getContext("2d");
    brush.strokeStyle = brush.fillStyle = look.hatch;
    brush.lineWidth = 1;
    draw(brush);
    return pen.createPattern(small, "repeat");
  };
  const line = (brush, ...ends) => {
    brush.beginPath();
    for (const [x1, y1, x2, y2] of ends) {
      brush.moveTo(x1, y1);
      brush.lineTo(x2, y2);
    }
    brush.stroke();
  };
  const stripes = [[-1, 1, 1, -1], [0, 6, 6, 0], [5, 7, 7, 5]];
  const back = [[0, 0, 6, 6], [-1, 5, 1, 7], [5, -1, 7, 1]];
  return {
    stripes: tile((brush) => line(brush, ...stripes)),
    back: tile((brush) => line(brush, ...back)),
    cross: tile((brush) => line(brush, [0, 0, 6, 6], [0, 6, 6, 0])),
    dots: tile((brush) => brush.fillRect(2, 2, 2, 2)),
    absent: tile((brush) => {
      brush.globalAlpha = 0.35;
      line(brush, ...back);
    }),
    uncovered: tile((brush) => {
      brush.globalAlpha = 0.55;
      line(brush, ...stripes);
    }),
  };
}
