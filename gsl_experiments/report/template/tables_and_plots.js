/* The tables and plots of all cases, and what filters and selects them. */
/* ---- tables ---- */
for (const table of document.querySelectorAll("table.means, table.statistics")) {
  new DataTable(table, { paging: false, searching: false, info: false, order: [], autoWidth: false });
}
const caseLink = (name) => `<a href="#${escape(hashOf({ case: name }))}">${escape(name)}</a>`;
const sortable = (show) => (value, type, row) => (type === "display" ? show(value, row) : value ?? Infinity);
const caseTable = new DataTable("#case-table", {
  data: [],
  autoWidth: false,
  pageLength: 25,
  lengthMenu: [25, 100, { label: "all", value: -1 }],
  layout: { topStart: null, topEnd: null, bottomStart: "pageLength", bottomEnd: "paging" },
  columns: [
    { title: "Case", data: "case", render: sortable(caseLink) },
    { title: "Fold", data: "fold" },
    { title: "Reference (ml)", data: "reference", className: "number", render: sortable(format) },
    ...labels.map((label, run) => ({
      title: escape(label),
      data: `values.${run}`,
      className: "number",
      render: sortable((value, row) => (value === row.best ? `<span class="best">${format(value)}</span>` : format(value))),
    })),
  ],
  language: { emptyTable: "No case", zeroRecords: "No case is left by the filters", lengthMenu: "_MENU_ rows a page" },
  drawCallback() {
    const count = this.api().page.info();
    byId("case-count").textContent = `${count.recordsDisplay} of ${count.recordsTotal} cases`;
  },
});

function caseRows() {
  const own = region();
  return data.cases.map((name, place) => {
    const values = runs.map((_, run) => own.values[metric().column][run][place]);
    const known = values.filter((value) => value !== null);
    const best = new Set(known).size > 1 ? Math[metric().higher ? "max" : "min"](...known) : undefined;
    return { case: name, fold: data.folds[place].join(", "), reference: own.reference_ml[place], values, best, place };
  });
}

function isShown(_, row) {
  const limit = byId("filter-worst").value, fold = byId("filter-fold").value;
  const worse = (value) => value !== null && (metric().higher ? value < Number(limit) : value > Number(limit));
  return row.case.toLowerCase().includes(byId("filter-case").value.trim().toLowerCase())
    && (fold === "all" || data.folds[row.place].includes(Number(fold)))
    && (limit === "" || row.values.some(worse))
    && (!byId("filter-empty").checked || region().empty[row.place]);
}
caseTable.search.fixed("filters", isShown);
for (const id of ["filter-case", "filter-fold", "filter-worst", "filter-empty"]) {
  byId(id).addEventListener("input", () => caseTable.draw());
}
fillSelect(byId("filter-fold"), ["all", ...new Set(data.folds.flat().sort((a, b) => a - b))].map(String),
  ["all", ...new Set(data.folds.flat().sort((a, b) => a - b))]);
/* The cases that the filters leave, with all their regions, runs and metrics. */
byId("download").addEventListener("click", () => {
  const quote = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "");
  const left = caseTable.rows({ search: "applied" }).data().toArray().map((row) => row.place).sort((a, b) => a - b);
  const lines = [["case", "folds", "region", "run", "reference_ml", "prediction_ml", "reference_empty", "prediction_empty",
    ...data.metrics.map((one) => one.column)]];
  for (const own of data.regions) for (const place of left) labels.forEach((label, run) => {
    const volumes = [own.reference_ml[place], own.prediction_ml[run][place]];
    if (volumes[1] === null) return; // the run lacks the case
    lines.push([data.cases[place], data.folds[place].join("+"), own.name, label, ...volumes,
      ...volumes.map((volume) => volume === 0), ...data.metrics.map((one) => own.values[one.column][run][place])]);
  });
  const file = new Blob([lines.map((line) => line.map(quote).join(",")).join("\n") + "\n"], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(file), download: "metrics.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
});

/* ---- plots ---- */
function plotConfig() {
  const css = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => css.getPropertyValue(name).trim());
  const font = css.getPropertyValue("--sans").trim();
  return {
    background: null, font, view: { stroke: null }, rule: { color: soft }, point: { color: ink, fill: ink }, boxplot: { median: { color: ink } },
    axis: { labelColor: ink, titleColor: soft, gridColor: line, domainColor: soft, tickColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
  };
}
const TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
function adapt(spec, ticks, ink) {
  if (ticks && spec.encoding?.x) {
    spec.encoding.x.scale = { type: "symlog", constant: 1 };
    if (spec.encoding.x.axis) spec.encoding.x.axis.values = ticks;
  }
  if (spec.mark?.median) spec.mark.median.color = ink;
  for (const layer of spec.layer ?? []) adapt(layer, ticks, ink);
  return spec;
}
/* Ticks of a logarithmic axis with a 0 in the middle, those within the values. */
function ticksWithin(values) {
  const low = Math.min(0, ...values.map((one) => one.value)), high = Math.max(1, ...values.map((one) => one.value));
  return [...TICKS.map((tick) => -tick), 0, ...TICKS].filter((tick) => tick >= low && tick <= high);
}
async function plot(name, datasets, description) {
  const log = byId("log").checked && !byId("log").disabled && name !== "curves";
  const config = plotConfig();
  const spec = adapt(structuredClone(data.charts[name]), log ? ticksWithin(datasets.values) : null, config.point.color);
  const shown = await vegaEmbed(`#${name}`, { ...spec, datasets: { ...spec.datasets, ...datasets }, description }, {
    actions: { export: true, source: false, compiled: false, editor: false }, renderer: "svg", ast: true, config,
    tooltip: { theme: document.documentElement.dataset.theme },
  });
  document.querySelector(`#${name} summary`)?.setAttribute("aria-label", "Save this plot");
  shown.view.addEventListener("click", (_, item) => { if (item?.datum?.case) location.hash = hashOf({ case: item.datum.case }); });
}

/* Points of equal value spread over the height of their row, the same way at each drawing. */
const jitter = (place) => ((place * 0.618034) % 1) * 2 - 1;
function points(valueOf) {
  const found = [];
  runs.forEach((run, number) => data.cases.forEach((name, place) => {
    const value = valueOf(number, place);
    if (value !== null) found.push({ run: run.label, case: name, region: region().name, fold: data.folds[place].join(", "), value, text: format(value), jitter: jitter(place) });
  }));
  return found;
}
function drawCases() {
  const values = region().values[metric().column], baselines = data.baselines;
  const title = `${metric().title}, ${region().name}`;
  byId("distribution-caption").textContent = `${title}: one point a case, boxes from quartile to quartile with the median, whiskers within 1.5 times their distance. A point opens its case.`;
  plot("distribution", { values: points((run, place) => values[run][place]) }, `Distribution of ${title} over cases for ${labels.join(", ")}; the table of all cases has the same numbers.`);
  const differing = points((run, place) => {
    const base = baselines[run] === null || baselines[run] === run ? null : values[baselines[run]][place];
    return base === null || values[run][place] === null ? null : values[run][place] - base;
  });
  byId("differences-figure").hidden = !differing.length;
  if (!differing.length) return;
  const compared = data.comparisons[region().name]?.[metric().column] ?? [];
  const means = compared.flatMap((entry, run) => (entry ? [{
    run: labels[run], mean: entry.mean, low: entry.low ?? entry.mean, high: entry.high ?? entry.mean,
    interval: entry.low === null ? "–" : `${format(entry.low)} to ${format(entry.high)}`,
    p_value: `${entry.p_holm < 1e-4 ? "< 0.0001" : entry.p_holm.toPrecision(3)} (${entry.table})`, counts: entry.counts.join(" / "),
  }] : []));
  const names = [...new Set(baselines.filter((place) => place !== null))].map((place) => labels[place]).join(", ");
  byId("differences-caption").textContent = `${title}, case by case minus ${names}; ${metric().higher ? "above" : "below"} 0 is better. Diamond and bar: mean and its ${data.confidence} interval.`;
  plot("differences", { values: differing, means }, `Paired differences of ${title} to ${names}; the tables of statistics have the means and intervals.`);
}
function drawCurves() {
  const column = byId("curve").value;
  const epochs = data.epochs.flatMap((run, number) => run.folds.flatMap((fold) => fold.epoch.flatMap((epoch, place) =>
    (fold[column][place] === null ? [] : [{ run: labels[number], fold: fold.fold, epoch, value: fold[column][place] }]))));
  byId("training").hidden = !data.epochs.some((run) => run.folds.length);
  if (!byId("training").hidden) plot("curves", { epochs }, `${byId("curve").selectedOptions[0].text} over the epochs of ${labels.join(", ")}.`);
}
function drawAll() { drawCases(); drawCurves(); }
byId("curves-legend").append(...runs.map((run) => element("li", {}, swatch(run.color, run.dash), run.label)));
byId("curve").addEventListener("change", drawCurves);
byId("log").addEventListener("change", drawCases);

function update() {
  byId("log").disabled = metric().higher;
  byId("filter-worst-label").textContent = `Any run ${metric().higher ? "below" : "above"}`;
  byId("case-table-caption").textContent = `${metric().title} of every case and run, ${region().name}`;
  caseTable.clear().rows.add(caseRows()).draw();
  drawCases();
}
fillSelect(byId("region"), data.regions.map((one) => one.name));
fillSelect(byId("metric"), data.metrics.map((one) => one.title));
byId("metric").value = chosen.metric;
for (const name of ["region", "metric"]) {
  byId(name).addEventListener("change", () => { chosen[name] = Number(byId(name).value); update(); });
}
byId("log").checked = metric().higher === false && data.regions.some((one) => {
  const all = one.values[metric().column].flat().filter((value) => value !== null).sort((a, b) => a - b);
  return all.length && all.at(-1) > 10 * all[Math.floor(all.length / 2)];
});
