"use strict";
// The numbers of one result.

// Numbers are decoded once, when they are first drawn.
srm.Member = class {
  constructor(raw) {
    this.raw = raw;
    this.kept = new Map();
  }

  decoded(name, block) {
    if (!block) return Promise.resolve(null);
    if (!this.kept.has(name)) this.kept.set(name, srm.decode(block));
    return this.kept.get(name);
  }

  // Return the counts of one subset of the rows at one ε, and all its curves, in counts.
  async view(subset, e) {
    const { planes, counts, curves } = this.raw.subsets[subset];
    const found = { subset: this.raw.subsets[subset] };
    const names = Object.keys(planes);
    const arrays = await Promise.all(names.map((name) => this.decoded(`${subset}.${name}`, planes[name])));
    names.forEach((name, n) => { found[name] = arrays[n]; });
    found.counts = await this.decoded(`${subset}.counts.${e}`, counts[e]);
    for (const name of ["total", "median", "low", "high", "sd", "folds"]) {
      found[name] = await this.decoded(`${subset}.${name}.${e}`, curves[e][name]);
    }
    found.self = await this.decoded(`self.${e}`, this.raw.self && this.raw.self[e]);
    return found;
  }
};

// Return the count of a plane at grid point m; a mirrored plane (j, i) has at π/2 − θ what (i, j) has at θ.
srm.countOf = function (view, angles, plane, m) {
  const at = (view.mirrored[plane] ? angles / 4 - m + 2 * angles : m) % angles; // m < 2 · angles
  return view.counts[view.curve[plane] * angles + at];
};
