"use strict";
// One panel: the curves of the planes of one result at one ε, with the curves over all planes; uPlot draws axes and curves.

const NEAR = 40; // pixels from which a curve is not the one that is pointed at
const SPLIT = 0.1; // a mean below this share of the highest peak gets a strip of its own
const SAME = 2; // self-SRM within this factor of the mean keeps its scale

srm.Panel = class {
  constructor(member, { height, onread, label }) {
    this.member = member;
    this.height = height;
    this.onread = onread;
    this.root = srm.make("div", { class: "panel" });
    this.plot = srm.make("div", {
      class: "plot", tabindex: 0, role: "application", "aria-roledescription": "chart", "aria-label": label,
      keydown: (event) => this.key(event), click: () => this.pin(),
    });
    this.stripName = srm.make("p", { class: "strip-name" }, "mean of all planes, on a scale of its own");
    this.strip = srm.make("div", { class: "plot", "aria-hidden": "true" });
    this.message = srm.make("p", { class: "note" });
    this.root.append(this.plot, this.stripName, this.strip, this.message);
    this.drawings = [];
    this.at = { m: 0, plane: null, subset: 0 };
    this.pinned = false;
    srm.redraws.add(() => this.draw());
    let width = 0;
    new ResizeObserver(() => {
      if (this.root.clientWidth !== width) { width = this.root.clientWidth; this.draw(); }
    }).observe(this.root);
  }

  // Load what a state asks for; its `top` is set by `draw`.
  async load(state) {
    const raw = this.member.raw;
    const e = raw.epsilon.findIndex((value) => Math.abs(value - state.epsilon) < 1e-12);
    const on = e < 0 ? [] : state.subsets.map((name) => raw.subsets.findIndex((one) => one.name === name)).filter((n) => n >= 0);
    const views = await Promise.all(on.map((n) => this.member.view(n, e)));
    const same = this.shown && this.at.plane !== null ? this.pair() : null;
    this.state = { ...state, e, signed: state.signed && raw.signed };
    this.shown = views.map((view, n) => this.curves(view, on[n]));
    this.at.subset = 0;
    this.at.plane = same && this.shown.length ? this.find(same[0], same[1]) : null;
    if (this.at.plane === null) this.pinned = false;
  }

  // Return the shares of a view, closed at 360°.
  curves(view, subset) {
    const { angles, planesTotal } = this.member.raw;
    const { signed } = this.state;
    const rows = Math.max(view.subset.rows, 1);
    const half = angles / 2;
    const closed = (curve, scale) => curve && Float64Array.from({ length: angles + 1 }, (_, m) => curve[m % angles] / scale);
    const turned = (curve) => (signed && curve ? curve.map((value, m) => value - curve[(m + half) % angles]) : curve);
    const planes = view.i.length;
    const lines = new Float64Array(planes * (angles + 1));
    for (let p = 0, n = 0; p < planes; p++) {
      for (let m = 0; m <= angles; m++, n++) {
        const opposite = signed ? srm.countOf(view, angles, p, m + half) : 0;
        lines[n] = (srm.countOf(view, angles, p, m) - opposite) / rows;
      }
    }
    const found = { view, subset, rows, planes, lines, mean: closed(turned(view.total), rows * planesTotal), self: closed(turned(view.self), 1) };
    for (const name of ["median", "low", "high", "sd", "folds"]) found[name] = signed ? null : closed(view[name], rows);
    found.peak = lines.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    found.meanPeak = found.mean.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return found;
  }

  get peak() {
    const { layers } = this.state;
    return Math.max(0, ...this.shown.map((one) => (layers.has("planes") && one.planes ? one.peak : one.meanPeak)));
  }

  get split() {
    const means = Math.max(0, ...this.shown.map((one) => one.meanPeak));
    return this.state.layers.has("planes") && this.member.raw.planesTotal > 1 && means > 0 && means < SPLIT * this.peak;
  }

  // ---- drawing -------------------------------------------------------------------------------------------

  draw() {
    if (!this.shown || !this.root.clientWidth) return;
    this.drawings.forEach((one) => one.destroy());
    this.drawings = [];
    this.image = null;
    const empty = !this.shown.length ? "not counted at this ε for these rows" : this.peak > 0 ? "" : "no row in any cone";
    this.message.textContent = empty;
    this.plot.hidden = Boolean(empty);
    this.strip.hidden = this.stripName.hidden = Boolean(empty) || !this.split;
    if (empty) return;
    const { split } = this;
    const main = this.series(split ? ["quantiles", "sd"] : ["quantiles", "sd", "folds", "self", "median", "mean", "isotropic"]);
    this.drawings.push(this.make(this.plot, main, this.height, true, this.state.top || null));
    if (split) {
      const rest = this.series(["folds", "self", "median", "mean", "isotropic"]);
      this.drawings.push(this.make(this.strip, rest, Math.round(this.height * 0.45), false, null));
    }
    this.tell();
  }

  // Return the curves to draw: name, values, style; bands have two.
  series(wanted) {
    const { layers, signed, e } = this.state;
    const several = this.shown.length > 1;
    const found = [];
    for (const [n, one] of this.shown.entries()) {
      const own = several ? srm.colour(`c${one.subset % 8}`) : null;
      const add = (layer, values, style) => wanted.includes(layer) && layers.has(layer) && values && found.push({ values, ...style });
      const band = (layer, low, high, colour, alpha) => {
        if (several || !wanted.includes(layer) || !layers.has(layer) || !low) return;
        found.push({ values: high, band: true, fill: colour + alpha }, { values: low, band: true });
      };
      const around = (middle, spread, times) => spread && [-times, times].map((by) => middle.map((value, m) => value + by * spread[m]));
      band("quantiles", one.low, one.high, srm.colour("planes"), "30");
      const sd = around(one.mean, one.sd, 1);
      if (sd) band("sd", sd[0].map((value) => Math.max(value, 0)), sd[1], srm.colour("mean"), "2a");
      const folds = around(one.mean, one.folds, 2);
      if (folds) band("folds", folds[0], folds[1], srm.colour("self"), "55");
      if (!several && one.self) {
        const most = one.self.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
        const ratio = most / one.meanPeak;
        const scaled = ratio > SAME || ratio < 1 / SAME;
        this.selfScaled = scaled;
        add("self", scaled && most ? one.self.map((value) => value / ratio) : one.self, { stroke: srm.colour("self"), dash: [6, 3], width: 1.4 });
      }
      if (!several) add("median", one.median, { stroke: srm.colour("median"), dash: [4, 3], width: 1.2 });
      if (this.member.raw.planesTotal > 1 || several) add("mean", one.mean, { stroke: own || srm.colour("mean"), width: 2.4 });
      if (n === 0 && !signed) {
        const level = this.member.raw.isotropic[e];
        add("isotropic", one.mean.map(() => level), { stroke: srm.colour("isotropic"), dash: [2, 3], width: 1.4 });
      }
    }
    return found;
  }

  make(place, curves, height, isMain, top) {
    const { angles } = this.member.raw;
    const { signed } = this.state;
    const drawn = isMain && this.state.layers.has("planes");
    const x = Float64Array.from({ length: angles + 1 }, (_, m) => (360 * m) / angles);
    // Isotropic rows far above everything else would flatten it.
    let most = drawn ? this.peak : 0;
    const others = curves.filter((one) => one.dash === undefined || one.dash[0] !== 2).map((one) => Math.max(...one.values.map(Math.abs)));
    most = Math.max(most, ...others, 0);
    const level = curves.find((one) => one.dash && one.dash[0] === 2);
    if (level && level.values[0] <= SAME * most) most = Math.max(most, level.values[0]);
    const limit = 1.04 * (top || most || 1);
    const low = signed ? -limit : 0;
    const bands = [];
    curves.forEach((one, n) => { if (one.fill) bands.push({ series: [n + 1, n + 2], fill: one.fill }); });
    const soft = () => srm.colour("soft");
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: soft, font, ticks: { stroke: () => srm.colour("rule"), size: 5 }, grid: { stroke: () => srm.colour("rule"), width: 0.5 } };
    const width = this.root.clientWidth;
    const options = {
      width, height, legend: { show: false }, padding: [isMain ? 22 : 8, 18, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: { x: { time: false, range: [0, 360] }, y: { range: [low, limit] } },
      axes: [
        { ...axis, splits: () => (width < 420 ? [0, 90, 180, 270, 360] : [0, 45, 90, 135, 180, 225, 270, 315, 360]), values: (_, ticks) => ticks.map((tick) => `${tick}°`), size: 28 },
        { ...axis, values: (_, ticks) => ticks.map(srm.number), size: 58, space: 34 },
      ],
      series: [{}, ...curves.map((one) => ({ stroke: one.stroke || "transparent", width: one.width || 0, dash: one.dash, points: { show: false } }))],
      bands,
      hooks: {
        drawClear: [(u) => this.directions(u, isMain)],
        drawAxes: [(u) => drawn && this.lines(u)],
        draw: [(u) => isMain && this.highlight(u)],
        setCursor: [(u) => isMain && this.point(u)],
      },
    };
    return new uPlot(options, [x, ...curves.map((one) => one.values)], place);
  }

  // Mark where b_i and b_j are.
  directions(u, named) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    for (const { at, name, basis } of [...this.member.raw.directions, { at: 360, name: "b_i", basis: true }]) {
      const x = Math.round(u.valToPos(at, "x", true));
      ctx.fillStyle = srm.colour(basis ? "ink" : "soft");
      if (named) this.letter(ctx, name, x, bbox.top - 6 * devicePixelRatio);
      if (!basis) continue;
      ctx.fillStyle = srm.colour("rule");
      ctx.fillRect(x - devicePixelRatio, bbox.top, 2 * devicePixelRatio, bbox.height);
    }
    ctx.restore();
  }

  // Write b with its index below the line.
  letter(ctx, name, x, y) {
    const [letter, index] = name.split("_");
    const half = ctx.measureText(letter).width / 2;
    ctx.fillText(letter, x - 2 * devicePixelRatio, y);
    ctx.save();
    ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillText(index, x + half + devicePixelRatio, y + 3 * devicePixelRatio);
    ctx.restore();
  }

  // Draw the planes, highest last; once for a size, then as a picture.
  lines(u) {
    const { canvas } = u.ctx;
    if (!this.image) {
      const began = performance.now();
      this.image = srm.make("canvas", { width: canvas.width, height: canvas.height });
      const ctx = this.image.getContext("2d");
      const { left, top, width, height } = u.bbox;
      ctx.beginPath();
      ctx.rect(left, top, width, height);
      ctx.clip();
      ctx.lineWidth = 0.7 * devicePixelRatio;
      const points = this.member.raw.angles + 1;
      const low = u.scales.y.min;
      const perUnit = height / (u.scales.y.max - low);
      const bottom = top + height;
      const step = width / (points - 1);
      for (const one of this.shown) {
        ctx.strokeStyle = srm.colour(this.shown.length > 1 ? `c${one.subset % 8}` : "planes");
        ctx.globalAlpha = Math.min(0.7, Math.max(0.12, 5 / Math.sqrt(one.planes)));
        for (let p = one.planes - 1; p >= 0; p--) {
          ctx.beginPath();
          for (let m = 0, n = p * points; m < points; m++, n++) ctx.lineTo(left + m * step, bottom - (one.lines[n] - low) * perUnit);
          ctx.stroke();
        }
      }
      this.root.dataset.milliseconds = Math.round(performance.now() - began);
    }
    u.ctx.drawImage(this.image, 0, 0);
  }

  highlight(u) {
    const { plane, m, subset } = this.at;
    if (plane === null) return;
    const one = this.shown[subset];
    const { ctx } = u;
    const points = this.member.raw.angles + 1;
    const place = (n) => [u.valToPos((360 * n) / (points - 1), "x", true), u.valToPos(one.lines[plane * points + n], "y", true)];
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = srm.colour("strong");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.beginPath();
    for (let n = 0; n < points; n++) ctx.lineTo(...place(n));
    ctx.stroke();
    ctx.beginPath();
    ctx.arc(...place(m), 4.5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.restore();
  }

  // ---- pointing ------------------------------------------------------------------------------------------

  // Take the angle that the pointer is at, and the plane nearest to it.
  point(u) {
    const { idx, top } = u.cursor;
    if (this.keyed || idx === null || idx === undefined || top < 0) return;
    this.at.m = idx;
    if (!this.pinned && this.state.layers.has("planes")) {
      const value = u.posToVal(top, "y");
      const reach = (NEAR * (u.scales.y.max - u.scales.y.min)) / (u.bbox.height / devicePixelRatio);
      let [best, plane, subset] = [reach, null, 0];
      this.shown.forEach((one, n) => {
        for (let p = 0; p < one.planes; p++) {
          const away = Math.abs(one.lines[p * (this.member.raw.angles + 1) + idx] - value);
          if (away < best) [best, plane, subset] = [away, p, n];
        }
      });
      Object.assign(this.at, { plane, subset });
    }
    this.again();
  }

  // Draw the highlight again, at the next frame.
  again() {
    this.tell();
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.drawings.length) this.drawings[0].redraw(false);
    });
  }

  pin() {
    this.pinned = this.at.plane !== null && !this.pinned;
    this.again();
  }

  find(i, j) {
    const { view, planes } = this.shown[0];
    for (let p = 0; p < planes; p++) if (view.i[p] === i && view.j[p] === j) return p;
    return null;
  }

  // Show a plane by its vectors; return whether it is drawn.
  show(i, j) {
    const plane = this.shown && this.shown.length ? this.find(i, j) : null;
    if (plane === null) return false;
    const one = this.shown[0];
    const points = this.member.raw.angles + 1;
    let m = 0;
    for (let n = 0; n < points; n++) if (one.lines[plane * points + n] > one.lines[plane * points + m]) m = n;
    this.at = { m, plane, subset: 0 };
    this.pinned = true;
    this.move();
    return true;
  }

  pair() {
    const { view } = this.shown[this.at.subset];
    return [view.i[this.at.plane], view.j[this.at.plane]];
  }

  key(event) {
    if (!this.drawings.length) return;
    const { angles } = this.member.raw;
    const turn = { ArrowLeft: -1, ArrowRight: 1, PageDown: -15, PageUp: 15 }[event.key];
    const climb = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (turn) this.at.m = (this.at.m + turn + angles) % angles;
    else if (event.key === "Home") this.at.m = 0;
    else if (climb) this.climb(climb);
    else if (event.key === "Enter" || event.key === " ") this.pin();
    else if (event.key === "Escape") { this.pinned = false; this.at.plane = null; }
    else return;
    event.preventDefault();
    this.move();
  }

  // Go to the next plane up or down at this angle.
  climb(by) {
    const points = this.member.raw.angles + 1;
    const one = this.shown[this.at.subset];
    if (!one.planes) return;
    const order = Array.from({ length: one.planes }, (_, p) => p);
    order.sort((p, q) => one.lines[p * points + this.at.m] - one.lines[q * points + this.at.m] || q - p);
    const here = this.at.plane === null ? (by > 0 ? -1 : order.length) : order.indexOf(this.at.plane);
    this.at.plane = order[Math.min(order.length - 1, Math.max(0, here + by))];
  }

  // Bring the cursor of the drawing to where the keyboard is.
  move() {
    const u = this.drawings[0];
    this.keyed = true;
    u.setCursor({ left: u.valToPos((360 * this.at.m) / this.member.raw.angles, "x"), top: 1 });
    this.keyed = false;
    this.again();
  }

  // Say in words, and in data for whoever asks, what is pointed at.
  tell() {
    if (!this.shown || !this.shown.length) return;
    const { raw } = this.member;
    const { m, plane, subset } = this.at;
    const one = this.shown[subset];
    const turn = m % raw.angles;
    const degrees = (360 * turn) / raw.angles;
    const words = [`At ${srm.number(degrees)}°: mean of all planes ${srm.number(one.mean[turn])}`];
    if (!this.state.signed) words.push(`isotropic rows ${srm.number(raw.isotropic[this.state.e])}`);
    const data = { angle: String(turn), epsilon: String(raw.epsilon[this.state.e]), signed: String(this.state.signed), mean: String(one.mean[turn]), plane: "", value: "", subset: one.view.subset.name };
    let named = "";
    if (plane !== null) {
      const [i, j] = this.pair();
      const value = one.lines[plane * (raw.angles + 1) + turn];
      const count = srm.countOf(one.view, raw.angles, plane, turn);
      Object.assign(data, { plane: `${i},${j}`, value: String(value), count: String(count) });
      const many = this.state.signed ? "more than opposite" : `${srm.count(count)} of ${srm.count(one.rows)} rows`;
      const rows = this.shown.length > 1 ? `, ${one.view.subset.name}` : "";
      named = `Plane ${i} → ${j}${this.pinned ? " (pinned)" : ""}: ${srm.number(value)} (${many}${rows}); its vectors are ${srm.number(Math.round(10 * one.view.between[plane]) / 10)}° apart`;
    }
    Object.assign(this.root.dataset, data);
    this.onread(named ? `${named}. ${words.join(", ")}.` : `${words.join(", ")}. Point at a line, or use the arrow keys.`);
  }
};
