"use strict";
// A chart of curves: values against a number, each with a band if it has one.

srm.curves = class {
  constructor(figure, chart, members, description) {
    this.chart = chart;
    this.place = srm.make("div", { class: "plot", role: "img", "aria-label": description });
    this.readout = srm.make("p", { class: "readout" });
    figure.prepend(this.legend(), this.place, this.readout);
    srm.redraws.add(() => this.draw());
    let width = 0;
    new ResizeObserver(() => {
      if (this.place.clientWidth !== width) { width = this.place.clientWidth; this.draw(); }
    }).observe(this.place);
  }

  async refresh() { this.draw(); }

  legend() {
    const names = this.chart.series.map((one, n) => srm.make("span", {}, srm.make("span", { class: `swatch k${n % 8}` }), one.name));
    return srm.make("div", { class: "controls" }, ...names);
  }

  draw() {
    if (!this.place.clientWidth) return;
    if (this.drawing) this.drawing.destroy();
    const { x, names, series, xlabel, ylabel } = this.chart;
    const [values, styles, bands] = [[], [], []];
    series.forEach((one, n) => {
      const colour = srm.colour(`c${n % 8}`);
      if (one.low) {
        bands.push({ series: [styles.length + 1, styles.length + 2], fill: colour + "30" });
        for (const edge of [one.high, one.low]) { values.push(edge); styles.push({ stroke: "transparent", width: 0, points: { show: false } }); }
      }
      values.push(one.values);
      styles.push({ label: one.name, stroke: colour, width: one.points ? 0 : 2, points: { show: Boolean(one.points), size: 5, fill: colour } });
    });
    const axis = { stroke: () => srm.colour("soft"), font: "12px system-ui, sans-serif", ticks: { stroke: () => srm.colour("rule") }, grid: { stroke: () => srm.colour("rule"), width: 0.5 } };
    this.drawing = new uPlot({
      width: this.place.clientWidth, height: 280, legend: { show: false }, bands,
      cursor: { drag: { x: false, y: false }, y: false }, scales: { x: { time: false } },
      axes: [names ? this.named(axis) : { ...axis, label: xlabel }, { ...axis, label: ylabel, size: 60, values: (_, ticks) => ticks.map(srm.number) }],
      series: [{}, ...styles],
      hooks: { setCursor: [(u) => this.tell(u.cursor.idx)] },
    }, [x, ...values], this.place);
  }

  // Return an axis with a name at every place, every other when they do not fit.
  named(axis) {
    const { names } = this.chart;
    const every = Math.ceil((names.length * 90) / this.place.clientWidth);
    const short = (name) => (name.length > 13 ? `${name.slice(0, 6)}…${name.slice(-6)}` : name);
    return { ...axis, splits: names.map((_, n) => n).filter((n) => n % every === 0), values: (_, ticks) => ticks.map((n) => short(names[n])) };
  }

  tell(n) {
    if (n === null || n === undefined) return;
    const { x, names, series, xlabel } = this.chart;
    this.readout.textContent = [names ? names[n] : `${xlabel} ${srm.number(x[n])}`, ...series.filter((one) => one.values[n] !== null).map((one) => `${one.name}: ${srm.number(one.values[n])}`)].join("; ");
  }
};
