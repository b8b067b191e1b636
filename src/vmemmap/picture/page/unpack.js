"use strict";

/* Arrays as picture/packed.py packs them: planes of bytes, deflated, in base64. */
async function unpack(packed) {
  const text = atob(packed.data), pressed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) pressed[at] = text.charCodeAt(at);
  const stream = new Blob([pressed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = packed.count;
  const kinds = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
  const out = new kinds[packed.bytes](count);
  if (packed.bytes === 1) out.set(planes);
  else if (packed.bytes === 2) {
    for (let at = 0; at < count; at++) out[at] = planes[at] | (planes[count + at] << 8);
  } else {
    const [second, third, fourth] = [count, 2 * count, 3 * count];
    for (let at = 0; at < count; at++) {
      out[at] = planes[at] | (planes[second + at] << 8) | (planes[third + at] << 16) | (planes[fourth + at] << 24);
    }
  }
  if (packed.grows) for (let at = 1; at < count; at++) out[at] += out[at - 1];
  return out;
}

/* Numbers as people read them. */
const inHex = (value) => "0x" + BigInt(value).toString(16);
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
function size(bytes) {
  const units = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
  for (const [unit, name] of units) {
    if (bytes >= unit) return `${Number((bytes / unit).toPrecision(4))} ${name}`;
  }
  return `${bytes} bytes`;
}
