"use strict";

/* The last row that begins at or before a value; -1 if none does. Rows are sorted by what *of* gives. */
function lastAtOrBefore(rows, value, of) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(rows[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/*
 * Pages as runs, as picture/packed_runs.py packs them: of each block of 2**shift pages some words, each
 * with how many pages have it. In a mixed block they are sums in no order; one of mixed 2 tells nothing.
 */
class Runs {
  static async load(told) {
    const runs = new Runs(), crowd = await unpack(told.crowd), lengths = await unpack(told.length);
    runs.size = 2 ** told.shift;
    runs.mixed = await unpack(told.mixed);
    runs.word = await unpack(told.word);
    runs.start = new Uint32Array(crowd.length + 1);
    runs.pages = new Uint32Array(runs.word.length);
    let from = 0, at = 0;
    for (let block = 0; block < crowd.length; block++) {
      let rest = runs.size;
      for (let turn = 1; turn < crowd[block]; turn++) rest -= runs.pages[at++] = lengths[from++];
      runs.pages[at++] = rest;
      runs.start[block + 1] = at;
    }
    return runs;
  }

  /* Show some pages, given by index, as words: *see* gets a word and how many pages. Gives the pages
   * that the words are of, which are more where a block is mixed. */
  each(low, high, see) {
    const { size } = this;
    let [first, end] = [low, high];
    for (let block = Math.floor(low / size); block * size < high; block++) {
      const begin = block * size;
      if (this.mixed[block] || (begin >= low && begin + size <= high)) {
        for (let at = this.start[block]; at < this.start[block + 1]; at++) {
          see(this.word[at], this.pages[at], this.mixed[block]);
        }
        first = Math.min(first, begin);
        end = Math.max(end, begin + size);
        continue;
      }
      let place = begin;
      for (let at = this.start[block]; at < this.start[block + 1] && place < high; at++) {
        const stop = place + this.pages[at], many = Math.min(stop, high) - Math.max(place, low);
        if (many > 0) see(this.word[at], many, 0);
        place = stop;
      }
    }
    return { low: first, high: end, vague: first < low || end > high };
  }
}

/* The list's entries, by the block of the vmemmap that each backs. */
class Entries {
  static async load(told, structPageSize) {
    const entries = new Entries(), block = await unpack(told.block);
    Object.assign(entries, { size: told.block_size, each: structPageSize, block });
    entries.phys = await unpack(told.phys);
    // Block and place as one number, since numbers are sorted at once; a list as boot leaves it is
    // sorted already, the other way round.
    const keys = new Float64Array(block.length);
    let many = 0, sorted = true;
    for (let at = block.length - 1; at >= 0; at--) {
      if (block[at] === 0xffffffff) continue;
      keys[many] = block[at] * block.length + at;
      sorted = sorted && (!many || keys[many] > keys[many - 1]);
      many++;
    }
    if (!sorted) keys.subarray(0, many).sort();
    entries.places = new Uint32Array(many);
    for (let at = 0; at < many; at++) entries.places[at] = keys[at] % block.length;
    return entries;
  }

  /* The place in the list of the entry that backs a page's struct page; -1 if none does. */
  of(pfn) {
    const wanted = Math.floor((pfn * this.each) / this.size);
    const row = lastAtOrBefore(this.places, wanted, (place) => this.block[place]);
    const place = row >= 0 ? this.places[row] : -1;
    return place >= 0 && this.block[place] === wanted ? place : -1;
  }

  structPhys(pfn, entry) {
    const into = BigInt(pfn * this.each) % BigInt(this.size);
    return BigInt(this.phys[entry]) * BigInt(this.size) + into;
  }
}

/*
 * What the page knows of the machine's memory. A page's index counts only pages in memory ranges,
 * without the holes between them.
 */
class Memory {
  constructor(told) {
    this.told = told;
    this.ranges = [];
    let index = 0;
    const block = 2 ** told.runs.shift;
    for (const [low, high] of told.runs.ranges) {
      const first = low * block, end = high * block;
      this.ranges.push({ first, end, index });
      index += end - first;
    }
    this.pages = index;
  }

  static async load(told) {
    const memory = new Memory(told);
    memory.runs = await Runs.load(told.runs);
    return memory;
  }

  /* The list is not drawn, and there may be a million entries: the picture does not wait for them. */
  async loadEntries() {
    const { told } = this;
    if (told.entries) this.entries = await Entries.load(told.entries, told.struct_page_size);
    if (told.entries_before) {
      this.entriesBefore = await Entries.load(told.entries_before, told.struct_page_size);
    }
  }

  rangeOfPfn(pfn) {
    const row = lastAtOrBefore(this.ranges, pfn, (range) => range.first);
    return row >= 0 && pfn < this.ranges[row].end ? this.ranges[row] : null;
  }

  rangeOfIndex(index) {
    return this.ranges[lastAtOrBefore(this.ranges, index, (range) => range.index)];
  }

  pfnAt(index) {
    const range = this.rangeOfIndex(index);
    return range.first + index - range.index;
  }

  /* Some pages, given by index: how many of each kind, covered by the dump's ranges, in its file. */
  sum(low, high) {
    if (this.told.compared) return this.sumCompared(low, high);
    const kinds = new Float64Array(16);
    let covered = 0, stored = 0;
    const of = this.runs.each(low, high, (word, pages) => {
      kinds[word & 15] += pages;
      if (word >> 4) covered += pages;
      if (word >> 4 === 2) stored += pages;
    });
    return { kinds, covered, stored, ...of, pages: of.high - of.low - kinds[0] };
  }

  /* The same of two dumps: kinds before and now, and of the pages that changed what they are now. */
  sumCompared(low, high) {
    const kinds = new Float64Array(16), before = new Float64Array(16), changed = new Float64Array(16);
    const turns = new Map();
    let moved = 0, untold = 0;
    const of = this.runs.each(low, high, (word, pages, mixed) => {
      if (mixed === 2) {
        untold += pages;
        return;
      }
      before[word & 15] += pages;
      kinds[word >> 4] += pages;
      if ((word & 15) === word >> 4) return;
      changed[word >> 4] += pages;
      moved += pages;
      turns.set(word, (turns.get(word) || 0) + pages);
    });
    const pages = of.high - of.low;
    return { kinds, before, changed, moved, turns, untold, ...of, pages, covered: pages, stored: pages };
  }

  /* What a stretch of pages has in a table of runs: the values, each once, with null for no run. */
  among(runs, firstPfn, endPfn, value) {
    const found = [];
    let row = Math.max(lastAtOrBefore(runs, firstPfn, (run) => run[0]), 0);
    for (; row < runs.length && runs[row][0] < endPfn; row++) {
      if (runs[row][1] <= firstPfn) continue;
      const said = value(runs[row]);
      if (!found.includes(said)) found.push(said);
    }
    return found;
  }

  structVirt(pfn) {
    return BigInt(this.told.base) + BigInt(pfn) * BigInt(this.told.struct_page_size);
  }

  phys(pfn) {
    return BigInt(pfn) * BigInt(this.told.page_size);
  }

  /* The pfn that somebody means: a decimal number is a pfn, 0x... an address, as in vmemmap page. */
  pfnOf(words) {
    const text = words.trim().toLowerCase();
    if (/^(pfn:)?\d{1,15}$/.test(text)) return Number(text.replace("pfn:", ""));
    if (/^pfn:0x[0-9a-f]{1,13}$/.test(text)) return Number(text.slice(4));
    if (!/^0x[0-9a-f]{1,16}$/.test(text)) return null;
    const address = BigInt(text), base = BigInt(this.told.base);
    const last = this.ranges[this.ranges.length - 1];
    const end = last ? this.structVirt(last.end) : base;
    if (address >= base && address < end) {
      return Number((address - base) / BigInt(this.told.struct_page_size));
    }
    const linear = address >> 60n === 0xcn ? address & ((1n << 60n) - 1n) : address;
    return Number(linear / BigInt(this.told.page_size));
  }
}

/* Where the n-th of 4**order cells lies on a Hilbert curve, and which one lies at a place. */
function hilbertPlace(order, nth) {
  let x = 0, y = 0;
  for (let side = 1; side < 1 << order; side *= 2) {
    const right = 1 & (nth >> 1), up = 1 & (nth ^ right);
    if (!up) {
      if (right) [x, y] = [side - 1 - x, side - 1 - y];
      [x, y] = [y, x];
    }
    x += side * right;
    y += side * up;
    nth >>= 2;
  }
  return [x, y];
}

function hilbertNth(order, x, y) {
  let nth = 0;
  const whole = 1 << order;
  for (let side = whole >> 1; side > 0; side >>= 1) {
    const right = (x & side) > 0 ? 1 : 0, up = (y & side) > 0 ? 1 : 0;
    nth += side * side * ((3 * right) ^ up);
    if (!up) {
      if (right) [x, y] = [whole - 1 - x, whole - 1 - y];
      [x, y] = [y, x];
    }
  }
  return nth;
}
