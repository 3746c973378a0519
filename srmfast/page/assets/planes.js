"use strict";
// The chart of planes: one panel or several under the same controls.

srm.LAYERS = [
  ["planes", "one plane each", "thin"], ["mean", "mean of all planes", ""], ["median", "median", "dashed"], ["sd", "± sd over planes", "band"],
  ["quantiles", "5–95 % of planes", "band"], ["folds", "± 2 standard errors of the mean", "band"],
  ["self", "self-SRM", "dashed"], ["isotropic", "isotropic rows", "dotted"],
];
srm.MANY = 11; // sets of rows from which their buttons stand below the picture
srm.ALIKE = 4; // panels that peak within this factor share a scale

srm.planes = class {
  constructor(figure, chart, members, description) {
    this.figure = figure;
    const chosen = chart.panels.map((key) => members.get(key));
    const several = chosen.length > 1;
    this.readout = srm.make("p", { class: "readout", "aria-live": "polite" });
    this.note = srm.make("p", { class: "note" });
    this.panels = chosen.map((member) => new srm.Panel(member, {
      height: several ? 210 : 380, label: several ? `${member.raw.name}. ${description}` : description,
      onread: (words) => { this.readout.textContent = several ? `${member.raw.name}. ${words}` : words; },
    }));
    const raws = chosen.map((member) => member.raw);
    this.epsilons = [...new Set(raws.flatMap((raw) => raw.epsilon))].sort((a, b) => a - b);
    const names = [...new Set(raws.flatMap((raw) => raw.subsets.map((one) => one.name)))];
    const first = raws[0];
    this.state = {
      epsilon: first.epsilon[first.first], subsets: [first.subsets[0].name], signed: false,
      layers: new Set(["planes", "mean", "median", "sd", "self", "isotropic"]), top: null,
    };
    if (raws.some((raw) => raw.subsets[0].planes.i.shape[0] < raw.planesTotal)) this.state.layers.add("quantiles"); // planes are left out
    this.same = several ? null : false; // null until the first pictures tell
    this.cones = new Map(raws.flatMap((raw) => raw.epsilon.map((value, e) => [value, raw.cone[e]])));
    const switches = this.slider();
    if (raws.some((raw) => raw.signed)) switches.append(this.checkbox("signed: f(θ) − f(θ + π)", "signed", (on) => { this.state.signed = on; }));
    if (several) switches.append(this.checkbox("same scale", "same", (on) => { this.same = on; }));
    switches.append(this.search());
    const grid = srm.make("div", { class: several ? "panels many" : "panels" });
    for (const panel of this.panels) {
      const { name, verdict } = panel.member.raw;
      if (several) panel.root.prepend(srm.make("h4", {}, name, " ", verdict ? srm.make("span", { class: `chip ${verdict}` }, verdict) : ""));
      grid.append(panel.root);
    }
    const subsets = names.length > 1 ? this.labels(names) : "";
    const many = names.length > srm.MANY; // labels that would push the picture down
    figure.prepend(switches, many ? "" : subsets, grid, this.readout, many ? subsets : "", this.toggles(raws), this.note);
  }

  async refresh() {
    const turn = (this.turn = (this.turn || 0) + 1);
    await Promise.all(this.panels.map((panel) => panel.load(this.state)));
    if (turn !== this.turn) return; // a later choice is on its way
    const peaks = this.panels.map((panel) => panel.peak).filter((peak) => peak > 0);
    if (this.same === null) {
      this.same = Math.max(...peaks) <= srm.ALIKE * Math.min(...peaks);
      this.boxes.same.checked = this.same;
    }
    const top = this.same ? Math.max(...peaks) : null;
    for (const panel of this.panels) {
      panel.state.top = top;
      panel.draw();
    }
    const notes = this.panels.flatMap((panel) => [...panel.shown.map((one) => one.view.subset.note), panel.member.raw.left]);
    const scaled = this.panels.some((panel) => panel.selfScaled) ? "self-SRM (the basis with itself) is scaled to the peak of the mean" : "";
    const text = [...new Set([...notes, scaled])].filter(Boolean).join("; ");
    this.note.textContent = text && text[0].toUpperCase() + text.slice(1) + ".";
    Object.assign(this.figure.dataset, { ready: String(turn), epsilon: this.state.epsilon, same: String(Boolean(this.same)), top: String(top) });
  }

  slider() {
    const output = srm.make("output", {}, this.cones.get(this.state.epsilon));
    const at = String(this.epsilons.indexOf(this.state.epsilon));
    const input = srm.make("input", {
      type: "range", min: 0, max: this.epsilons.length - 1, step: 1, value: at, "aria-label": "ε, the size of the cone",
      "aria-valuetext": this.cones.get(this.state.epsilon), disabled: this.epsilons.length < 2,
      input: () => {
        this.state.epsilon = this.epsilons[Number(input.value)];
        output.textContent = this.cones.get(this.state.epsilon);
        input.setAttribute("aria-valuetext", output.textContent);
        this.refresh();
      },
    });
    return srm.make("div", { class: "controls" }, srm.make("label", {}, "Cone ", this.epsilons.length > 1 ? input : "", output));
  }

  labels(names) {
    const chosen = new Set(this.state.subsets);
    const set = srm.make("fieldset", { class: "subsets" }, srm.make("legend", {}, "Rows"));
    const buttons = new Map();
    const told = () => buttons.forEach((button, name) => button.setAttribute("aria-pressed", String(chosen.has(name))));
    names.forEach((name, n) => {
      const swatch = srm.make("span", { class: `swatch k${n % 8}` });
      const button = srm.make("button", {
        type: "button", "aria-pressed": "false",
        click: () => {
          if (chosen.has(name) && chosen.size > 1) chosen.delete(name);
          else if (n === 0) { chosen.clear(); chosen.add(name); }
          else { chosen.delete(names[0]); chosen.add(name); }
          this.state.subsets = names.filter((one) => chosen.has(one));
          told();
          this.refresh();
        },
      }, n ? swatch : "", name);
      buttons.set(name, button);
      set.append(button);
    });
    told();
    return srm.make("div", { class: "controls" }, set);
  }

  toggles(raws) {
    const set = srm.make("fieldset", { class: "layers" }, srm.make("legend", {}, "Drawn"));
    const has = {
      planes: raws.some((raw) => raw.subsets[0].planes.i.shape[0]), self: raws.some((raw) => raw.self),
    };
    for (const name of ["median", "sd", "folds"]) has[name] = raws.some((raw) => raw.subsets[0].curves.some((curves) => curves[name]));
    has.quantiles = has.median;
    for (const [name, words, look] of srm.LAYERS) {
      if (has[name] === false) continue;
      const button = srm.make("button", {
        type: "button", "aria-pressed": String(this.state.layers.has(name)), "data-layer": name,
        click: () => {
          const on = !this.state.layers.delete(name);
          if (on) this.state.layers.add(name);
          button.setAttribute("aria-pressed", String(on));
          this.refresh();
        },
      }, srm.make("span", { class: `swatch ${look} ${name}` }), words);
      set.append(button);
    }
    return srm.make("div", { class: "controls" }, set);
  }

  checkbox(words, name, change) {
    const box = srm.make("input", { type: "checkbox", "data-switch": name, change: () => { change(box.checked); this.refresh(); } });
    this.boxes = { ...this.boxes, [name]: box };
    return srm.make("label", {}, box, words);
  }

  search() {
    const field = (words) => srm.make("input", { type: "text", inputmode: "numeric", "aria-label": words, autocomplete: "off" });
    const [i, j] = [field("first vector, i"), field("second vector, j")];
    const form = srm.make("form", {
      class: "find",
      submit: (event) => { event.preventDefault(); this.find(Number(i.value.trim() || NaN), Number(j.value.trim() || NaN)); },
    }, "Plane ", i, "→", j, srm.make("button", { type: "submit" }, "Show"));
    return form;
  }

  find(i, j) {
    const found = this.panels.map((panel) => panel.show(i, j)).some(Boolean);
    if (!found) this.readout.textContent = Number.isInteger(i) && Number.isInteger(j) ? `Plane ${i} → ${j} is not among those drawn here.` : "Give the numbers of two basis vectors.";
    return found;
  }
};
