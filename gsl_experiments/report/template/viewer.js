/* The viewer: one case, slice by slice, with the outlines of all runs; then the page is shown for the first time. */
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
