"use strict";
// Builds every table and every chart; those of folded sections when they are opened.

srm.charts = new Map();
srm.members = new Map(
  Object.entries(JSON.parse(document.getElementById("numbers").textContent)).map(([key, raw]) => [key, new srm.Member(raw)]),
);

srm.build = function (figure) {
  if (srm.charts.has(figure)) return srm.charts.get(figure);
  const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
  const chart = new srm[figure.dataset.kind](figure, data, srm.members, figure.dataset.description);
  srm.charts.set(figure, chart);
  figure.classList.remove("unbuilt");
  return chart.refresh().then(() => { figure.dataset.ready ??= "1"; });
};

document.querySelectorAll(".table").forEach(srm.table);
for (const figure of document.querySelectorAll(".chart")) {
  const fold = figure.closest("details:not([open])");
  if (fold) fold.addEventListener("toggle", () => srm.build(figure), { once: true });
  else srm.build(figure);
}

// A link to a folded section opens it.
srm.unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", srm.unfold);
srm.unfold();
