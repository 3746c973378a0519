"use strict";
// The chart of projections: planes from above, cells coloured by rows, or by how many times isotropic rows they hold.

srm.discs = class {
  constructor(figure, chart, members, description) {
    this.raw = members.get(chart.panels[0]).raw;
    this.state = { e: 0, subset: 0 };
    this.canvas = srm.make("canvas", { role: "img", "aria-label": description, class: "disc" });
    this.readout = srm.make("p", { class: "readout", "aria-live": "polite" });
    const choice = (words, names, change) => {
      const select = srm.make("select", { change: () => { change(select.selectedIndex); this.refresh(); } }, ...names.map((name) => srm.make("option", {}, name)));
      return names.length > 1 ? srm.make("label", {}, words, select) : "";
    };
    const controls = srm.make("div", { class: "controls" },
      choice("Cone ", this.raw.cone, (n) => { this.state.e = n; }),
      choice("Rows ", this.raw.subsets.map((one) => one.name), (n) => { this.state.subset = n; }));
    figure.prepend(controls, this.canvas, this.readout);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    srm.redraws.add(() => this.draw());
  }

  async refresh() {
    const { cells, expected } = this.raw.subsets[this.state.subset];
    const [, sectors, rings] = [0, ...cells[this.state.e].shape];
    const [counts, level] = await Promise.all([srm.decode(cells[this.state.e]), srm.decode(expected[this.state.e])]);
    this.view = { counts, level, sectors, rings };
    this.draw();
  }

  // Return what a cell is coloured by, in powers of two around what isotropic rows give, or from 0 to 1 of the fullest.
  tone(sector, ring) {
    const { counts, level, rings } = this.view;
    const count = counts[sector * rings + ring];
    if (this.raw.compared) return level[ring] > 0 ? Math.log2(Math.max(count, 0.1) / level[ring]) : 0;
    return Math.log1p(count) / Math.log1p(this.most || 1);
  }

  colour(tone) {
    if (!this.raw.compared) return this.mix("wash", "planes", Math.min(1, tone));
    return tone < 0 ? this.mix("wash", "planes", Math.min(1, -tone / this.reach)) : this.mix("wash", "mean", Math.min(1, tone / this.reach));
  }

  mix(from, to, share) {
    const parts = (name) => srm.colour(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
    const [a, b] = [parts(from), parts(to)];
    return `rgb(${a.map((value, n) => Math.round(value + share * (b[n] - value))).join(" ")})`;
  }

  draw() {
    if (!this.view) return;
    const size = 360 * devicePixelRatio;
    const { sectors, rings } = this.view;
    Object.assign(this.canvas, { width: size, height: size });
    this.most = Math.max(...this.view.counts);
    this.canvas.hidden = !this.most;
    if (!this.most) {
      this.readout.textContent = "No row is close to any of these planes.";
      return;
    }
    this.reach = 0.5;
    for (let s = 0; s < sectors; s++) for (let r = 0; r < rings; r++) this.reach = Math.max(this.reach, Math.min(6, Math.abs(this.tone(s, r))));
    const ctx = this.canvas.getContext("2d");
    const [middle, radius] = [size / 2, size * 0.42];
    for (let s = 0; s < sectors; s++) {
      for (let r = 0; r < rings; r++) {
        const [from, to] = [-(s + 0.5), -(s - 0.5)].map((n) => (2 * Math.PI * n) / sectors);
        ctx.beginPath();
        ctx.arc(middle, middle, (radius * (r + 1)) / rings, from, to);
        ctx.arc(middle, middle, (radius * r) / rings, to, from, true);
        ctx.fillStyle = ctx.strokeStyle = this.colour(this.tone(s, r));
        ctx.fill();
        ctx.stroke();
      }
    }
    ctx.fillStyle = srm.colour("ink");
    ctx.font = `${14 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    const at = (degrees, words) => ctx.fillText(words, middle + 1.09 * radius * Math.cos((degrees * Math.PI) / 180), middle - 1.09 * radius * Math.sin((degrees * Math.PI) / 180) + 5 * devicePixelRatio);
    at(0, "bᵢ");
    if (this.raw.between !== null) at(this.raw.between, "bⱼ");
    this.readout.textContent = this.raw.compared
      ? `Orange: more rows than isotropic ones of the same norms would give, up to ${srm.number(2 ** this.reach)} times; blue: fewer. To a distance of ${srm.number(this.raw.extent)}.`
      : `The fullest cell holds ${srm.count(this.most)} rows; colours in logarithms. To a distance of ${srm.number(this.raw.extent)}.`;
  }

  point(event) {
    const { sectors, rings, counts, level } = this.view;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = box.top + box.height / 2 - event.clientY;
    const ring = Math.floor((Math.hypot(x, y) / (0.42 * box.width)) * rings);
    if (ring >= rings) return;
    const sector = (Math.round((Math.atan2(y, x) / (2 * Math.PI)) * sectors) + sectors) % sectors;
    const count = counts[sector * rings + ring];
    const than = this.raw.compared ? `, isotropic rows ${srm.number(level[ring])}` : "";
    this.readout.textContent = `At ${srm.number((360 * sector) / sectors)}°, distance ${srm.number(((ring + 0.5) * this.raw.extent) / rings)}: ${srm.count(count)} (row, plane) pairs${than}.`;
  }
};
