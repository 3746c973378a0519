"use strict";
// Tables: a button on every head sorts, a field above long ones filters, planes are shown in the chart of their section.

srm.LONG = 12; // rows from which a table has a filter

srm.table = function (place) {
  const body = place.querySelector("tbody");
  const heads = [...place.querySelectorAll("th")];
  const lines = [...body.rows];
  if (lines.length > 1) heads.forEach((head, column) => srm.sortable(head, column, heads, body));
  if (lines.length > srm.LONG) {
    const told = srm.make("output", {}, "");
    const field = srm.make("input", {
      type: "search", autocomplete: "off",
      input: () => {
        const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        for (const line of lines) {
          const text = line.textContent.toLowerCase();
          line.hidden = !words.every((word) => text.includes(word));
          shown += !line.hidden;
        }
        told.textContent = words.length ? `${shown} of ${lines.length} rows` : "";
      },
    });
    place.prepend(srm.make("label", { class: "filter" }, "Filter", field, told));
  }
  for (const cell of body.querySelectorAll("td[data-plane]")) {
    const [i, j] = cell.dataset.plane.split(",").map(Number);
    const words = cell.textContent;
    cell.replaceChildren(srm.make("button", { type: "button", "aria-label": `show plane ${words} in the chart`, click: () => srm.showPlane(cell, i, j) }, words));
  }
};

srm.sortable = function (head, column, heads, body) {
  const numeric = head.classList.contains("number");
  const value = (line) => line.cells[column].dataset.value ?? line.cells[column].textContent;
  const words = head.textContent;
  const button = srm.make("button", {
    type: "button",
    click: () => {
      const falling = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const known = (line) => value(line) !== "";
      const compare = numeric ? (a, b) => Number(value(a)) - Number(value(b)) : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
      const lines = [...body.rows].sort((a, b) => known(b) - known(a) || (falling ? -1 : 1) * (known(a) && known(b) ? compare(a, b) : 0));
      body.append(...lines);
    },
  }, words);
  head.replaceChildren(button);
};

srm.showPlane = function (cell, i, j) {
  for (let section = cell.closest(".section"); section; section = section.parentElement.closest(".section")) {
    const figure = section.querySelector(".chart[data-kind=planes]");
    const chart = figure && srm.charts.get(figure);
    if (!chart) continue;
    chart.find(i, j);
    figure.scrollIntoView({ block: "nearest" });
    return;
  }
};
