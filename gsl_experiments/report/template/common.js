/* What the other scripts share: the data of the page, helpers, theme, tips. */
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
