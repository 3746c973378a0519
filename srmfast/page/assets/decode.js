"use strict";
// Arrays from text: the other half of blocks.py.
const srm = {};

// Return the numbers of a block, row after row, as floats.
srm.decode = async function (block) {
  const packed = Uint8Array.from(atob(block.data), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = block.shape.reduce((product, length) => product * length, 1);
  const row = block.shape[block.shape.length - 1];
  const values = new Float64Array(size);
  for (let n = 0, sum = 0; n < size; n++) {
    let folded = 0;
    for (let byte = block.width - 1; byte >= 0; byte--) folded = folded * 256 + bytes[byte * size + n];
    sum = (n % row ? sum : 0) + (folded % 2 ? -(folded + 1) / 2 : folded / 2);
    values[n] = sum * block.scale;
  }
  return values;
};

// Return an element; children are elements, or words that are shown as they are.
srm.make = function (tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
};

// Return a number in few characters, as the tables have it.
srm.number = function (value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
  return text.replace("-", "−");
};
srm.count = (value) => value.toLocaleString("en");
srm.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// Call back when light becomes dark, or paper.
srm.redraws = new Set();
srm.redraw = () => srm.redraws.forEach((draw) => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", srm.redraw);
addEventListener("beforeprint", () => { document.documentElement.classList.add("light"); srm.redraw(); });
addEventListener("afterprint", () => { document.documentElement.classList.remove("light"); srm.redraw(); });
