"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const byId = (id) => document.getElementById(id);
  const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const runs = data.runs, labels = runs.map((run) => run.label);
  const placeOf = new Map(data.cases.map((name, place) => [name, place]));
  const chosen = { region: 0, metric: data.metrics.findIndex((metric) => metric.column === data.metric) };
  const metric = () => data.metrics[chosen.metric];
  const region = () => data.regions[chosen.region];

  /* Five significant digits from 1 on, four decimals below, as in the tables. */
  function format(value) {
    if (value === null) return "–";
    let decimals = 4;
    while (decimals && Number(Math.abs(value).toFixed(decimals)) >= 10 ** (5 - decimals)) decimals -= 1;
    return value.toFixed(decimals).replace("-", "−");
  }

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function fillSelect(select, names, values = names.map((_, place) => place)) {
    select.replaceChildren(...names.map((name, place) => element("option", { value: values[place] }, name)));
  }

  function swatch(color, dash) {
    const holder = element("span", { class: "swatch" });
    holder.innerHTML = `<svg width="26" height="10" aria-hidden="true"><path d="M1 5h24" stroke="${escape(color)}"
      stroke-width="3" stroke-dasharray="${escape(dash)}"/></svg>`;
    return holder;
  }

  /* ---- theme ---- */
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  let theme = "system";
  try { theme = localStorage.getItem("report-theme") ?? "system"; } catch { /* a browser may keep nothing for files */ }
  function applyTheme() {
    const dark = theme === "dark" || (theme === "system" && systemDark.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("theme").textContent = `Theme: ${theme}`;
  }
  byId("theme").addEventListener("click", () => {
    theme = { system: "dark", dark: "light", light: "system" }[theme];
    try { localStorage.setItem("report-theme", theme); } catch { /* see above */ }
    applyTheme();
    drawAll();
  });
  systemDark.addEventListener("change", () => { applyTheme(); drawAll(); });
  applyTheme();

  /* ---- statistics of a number: shown for mouse, finger and keyboard; screen readers read the description ---- */
  const tip = byId("tip");
  function showTip(target) {
    const text = byId(target.getAttribute("aria-describedby"));
    tip.replaceChildren(...[...text.children].map((line) => element("p", {}, line.textContent)));
    tip.hidden = false;
    const box = target.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const above = box.top - size.height - 8;
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - size.width - 8))}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  }
  const hideTip = () => { tip.hidden = true; };
  for (const value of document.querySelectorAll(".value")) {
    value.addEventListener("pointerenter", () => showTip(value));
    value.addEventListener("focus", () => showTip(value));
    value.addEventListener("click", () => showTip(value));
    value.addEventListener("pointerleave", hideTip);
    value.addEventListener("blur", hideTip);
  }
  addEventListener("scroll", hideTip, { passive: true, capture: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

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
  byId("download").addEventListener("click", () => {
    const quote = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "");
    const lines = [["case", "folds", "region", "run", "reference_ml", ...data.metrics.map((one) => one.column)]];
    for (const own of data.regions) data.cases.forEach((name, place) => labels.forEach((label, run) => lines.push(
      [name, data.folds[place].join("+"), own.name, label, own.reference_ml[place],
        ...data.metrics.map((one) => own.values[one.column][run][place])])));
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

  /* ---- viewer ---- */
  const slicesOf = new Map([...document.querySelectorAll("script.slices")].map((script) => [script.dataset.case, script]));
  const view = { case: [...slicesOf.keys()][0] ?? data.cases[0], region: data.regions[0]?.name, plane: null, slice: null, off: new Set() };
  let planes = null;
  function hashOf(values) { return new URLSearchParams(values).toString(); }

  function readHash() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!placeOf.has(asked.get("case"))) return false;
    if (asked.get("case") !== view.case) view.slice = null;
    view.case = asked.get("case");
    if (data.regions.some((one) => one.name === asked.get("region"))) view.region = asked.get("region");
    if (asked.has("plane")) view.plane = asked.get("plane");
    if (asked.has("slice")) view.slice = Number(asked.get("slice"));
    if (asked.has("off")) view.off = new Set(asked.get("off").split(" "));
    return true;
  }
  let writing;
  function writeHash() {
    clearTimeout(writing);
    writing = setTimeout(() => {
      const values = { case: view.case, region: view.region };
      if (planes) Object.assign(values, { plane: view.plane, slice: view.slice, ...(view.off.size ? { off: [...view.off].join(" ") } : {}) });
      history.replaceState(null, "", `#${hashOf(values)}`);
    }, 200);
  }

  /* Everything that follows from the case; slices are counted from 1 within the whole image. */
  function showCase() {
    planes = slicesOf.has(view.case) ? JSON.parse(slicesOf.get(view.case).textContent) : null;
    for (const part of document.querySelectorAll("[data-slices]")) part.hidden = !planes;
    document.querySelector(".viewer").classList.toggle("no-slices", !planes);
    byId("viewer-case").value = view.case;
    byId("viewer-region").value = view.region;
    byId("viewer-why").textContent = planes ? `In the viewer as: ${data.viewer[view.case]}.` : "This file holds no slices of this case.";
    if (planes) {
      fillSelect(byId("viewer-plane"), Object.keys(planes), Object.keys(planes));
      if (!(view.plane in planes)) [view.plane] = Object.keys(planes);
      byId("viewer-plane").value = view.plane;
      showPlane();
    }
    showNumbers();
  }
  function showPlane() {
    const plane = planes[view.plane], range = byId("slice");
    const asked = plane.indices.findLastIndex((index) => index + 1 <= view.slice);
    range.max = plane.indices.length - 1;
    range.value = view.slice === null ? plane.start : Math.max(asked, 0);
    byId("picture").style.aspectRatio = `${plane.width} / ${plane.height}`;
    byId("picture").style.maxWidth = `calc(75vh * ${plane.width / plane.height})`;
    byId("slice-outlines").setAttribute("viewBox", `0 0 ${data.unitsPerPixel * plane.width} ${data.unitsPerPixel * plane.height}`);
    showSlice();
  }
  function showSlice() {
    const plane = planes[view.plane], place = Number(byId("slice").value);
    view.slice = plane.indices[place] + 1;
    const text = `${view.plane} slice ${view.slice} of ${plane.total}`;
    byId("picture-label").textContent = text[0].toUpperCase() + text.slice(1);
    byId("slice").setAttribute("aria-valuetext", `${view.slice} of ${plane.total}`);
    byId("slice-image").src = plane.images[place];
    byId("slice-image").alt = `${view.case}, ${text}`;
    const outline = (name, color, dash) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", name === "reference" ? "reference" : "prediction");
      path.setAttribute("d", plane.paths[view.region]?.[name]?.[place] ?? "");
      path.setAttribute("stroke", color);
      path.setAttribute("stroke-dasharray", dash);
      return path;
    };
    byId("slice-outlines").replaceChildren(...runs.map((run, number) => [String(number), run.color, run.dash])
      .concat([["reference", data.reference, ""]]).filter(([name]) => !view.off.has(name)).map((look) => outline(...look)));
    byId("slice-outlines").style.opacity = byId("opacity").value / 100;
  }
  function showNumbers() {
    const own = data.regions.find((one) => one.name === view.region), place = placeOf.get(view.case);
    const head = element("tr", {}, ...["Outline", ...data.metrics.map((one) => one.title)].map((title) => element("th", { scope: "col" }, title)));
    const row = (key, label, color, dash, values) => {
      const box = element("input", { type: "checkbox" });
      box.checked = !view.off.has(key);
      box.addEventListener("change", () => { view.off[box.checked ? "delete" : "add"](key); showSlice(); writeHash(); });
      const name = element("label", {}, ...(planes ? [box, " "] : []), swatch(color, dash), label);
      return element("tr", {}, element("th", { scope: "row" }, name), ...values.map((value) => element("td", { class: "number" }, value)));
    };
    byId("viewer-table").tHead.replaceChildren(head);
    byId("viewer-table").tBodies[0].replaceChildren(
      row("reference", `Reference, ${format(own.reference_ml[place])} ml`, data.reference, "", data.metrics.map(() => "")),
      ...runs.map((run, number) => row(String(number), run.label, run.color, run.dash,
        data.metrics.map((one) => format(own.values[one.column][number][place])))));
    byId("viewer-table-caption").textContent = `${view.case}, ${view.region}`;
  }
  function step(by) {
    const range = byId("slice"), before = range.value;
    range.value = Number(before) + by;
    if (range.value === before) return;
    showSlice();
    writeHash();
    byId("picture-status").textContent = byId("picture-label").textContent;
  }

  const withSlices = element("optgroup", { label: "with slices" }, ...Object.keys(data.viewer).map((name) => element("option", { value: name }, name)));
  const others = element("optgroup", { label: "numbers only" }, ...data.cases.filter((name) => !slicesOf.has(name)).map((name) => element("option", { value: name }, name)));
  byId("viewer-case").append(...[withSlices, others].filter((group) => group.children.length));
  fillSelect(byId("viewer-region"), data.regions.map((one) => one.name), data.regions.map((one) => one.name));
  byId("viewer-case").addEventListener("change", (event) => { view.case = event.target.value; view.slice = null; showCase(); writeHash(); });
  byId("viewer-region").addEventListener("change", (event) => { view.region = event.target.value; showCase(); writeHash(); });
  byId("viewer-plane").addEventListener("change", (event) => { view.plane = event.target.value; view.slice = null; showPlane(); writeHash(); });
  byId("slice").addEventListener("input", () => { showSlice(); writeHash(); });
  byId("opacity").addEventListener("input", showSlice);
  byId("picture").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  byId("picture").addEventListener("wheel", (event) => {
    if (event.shiftKey) { event.preventDefault(); step(event.deltaX + event.deltaY > 0 ? -1 : 1); }
  }, { passive: false });
  function openFromHash() {
    if (!readHash()) return;
    showCase();
    byId("viewer").scrollIntoView();
    byId("viewer-case").focus({ preventScroll: true });
  }
  addEventListener("hashchange", openFromHash);

  update();
  drawCurves();
  showCase();
  openFromHash();
})();
