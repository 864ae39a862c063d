// The page comes to life: browser of rollouts, choice of the base model, figures to keep.

const browser = document.getElementById("browser");
const status = make("p", { className: "hint", "aria-live": "polite" });
const list = make("div", { className: "listed", tabIndex: 0 });
const detail = make("div", { className: "problem" });
const controls = make("form", { className: "controls", onsubmit: (event) => event.preventDefault() });

function drawControls() {
  const anyOr = (names) => [["", "any policy"], ...names];
  const labels = labelsShown().map((n) => [String(n), data.labels[n]]);
  const conditions = Object.entries(CONDITIONS).map(([key, [text]]) => [key, text]);
  const named = (names) => names.map((name, n) => [String(n), name]);
  const search = make("input", { type: "search", value: state.q, maxLength: 200, "aria-label": "Search" });
  let waiting = 0;
  search.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ q: search.value }, false), 150);
  };
  const which = (text, number, label, condition) =>
    labelled(text, make("span", { className: "joined" },
      choice(`${number} policy`, anyOr(labels), state[label], (value) => change({ [label]: value })),
      choice(`${number} condition`, conditions, state[condition], (value) => change({ [condition]: value })),
    ));
  const field = (name, options, value, key) =>
    labelled(name, choice(name, options, value, (chosen) => change(key(chosen))));
  const seeds = make("input", { type: "checkbox", checked: state.seeds !== "" });
  seeds.onchange = () => change({ seeds: seeds.checked ? "1" : "" });
  const models = named(data.models);
  const benchmarks = named(data.benchmarks.map((one) => one.name));
  controls.replaceChildren(
    ...(models.length > 1 ? [field("Base model", models, String(state.m), (m) => ({ m: Number(m), x: "", y: "" }))] : []),
    field("Benchmark", benchmarks, String(state.b), (b) => ({ b: Number(b), p: "" })),
    which("Problems on which", "first", "x", "xis"),
    which("and on which", "second", "y", "yis"),
    field("Order", Object.entries(ORDERS), state.o, (o) => ({ o })),
    labelled("Search in problems, answers and samples", search),
    make("label", { className: "check" }, seeds, "a card for every seed"),
  );
}

function drawList() {
  const benchmark = data.benchmarks[state.b];
  status.textContent = `${listed.length.toLocaleString("en")} of ${benchmark.problems.length.toLocaleString("en")} problems`
    + (benchmark.problems.length < benchmark.of ? ` (of ${benchmark.of.toLocaleString("en")} in the benchmark)` : "")
    + ". Share of samples that are right, by policy. Keys: ";
  const keys = [["j", " next, "], ["k", " previous problem, "], ["]", " next, "], ["[", " previous sample"]];
  status.append(...keys.flatMap(([key, text]) => [make("kbd", { textContent: key }), text]));
  const labels = labelsShown();
  const head = make("tr", {}, make("th", { scope: "col", textContent: "problem" }),
    ...labels.map((n) => make("th", { scope: "col", textContent: data.labels[n] })));
  const rows = listed.slice(0, limit).map((problem) => listRow(problem, labels));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  list.replaceChildren(table);
  if (listed.length > limit) {
    list.append(button(`${(listed.length - limit).toLocaleString("en")} more`, "Show more problems", () => {
      limit += PAGE_OF_LIST;
      drawList();
    }, "plain more"));
  }
}

function listRow(problem, labels) {
  const name = textOf(problem.q).trim().slice(0, 120) || problem.id;
  const open = button(name, problem.id, () => change({ p: problem.id }, false), "");
  const rates = labels.map((label) => {
    const found = share(problem, label);
    const cell = make("td", { className: "rate", textContent: found === null ? "–" : `${Math.round(100 * found)}%` });
    cell.style.setProperty("--share", String((found ?? 0) * 0.45));
    return cell;
  });
  const row = make("tr", { className: problem.id === state.p ? "chosen" : "" }, make("th", { scope: "row" }, open), ...rates);
  if (problem.id === state.p) row.setAttribute("aria-current", "true");
  return row;
}

function drawProblem() {
  const at = place();
  if (at < 0) detail.replaceChildren(make("p", { textContent: "No problem fits." }));
  else detail.replaceChildren(...problemView(listed[at], go));
}

function go(steps) {
  const next = listed[place() + steps];
  if (next) change({ p: next.id }, false);
}

/** Shows another state, and says it in the address. */
function change(changes, withControls = true) {
  Object.assign(state, changes);
  refresh();
  if (withControls) drawControls();
  draw();
  history.replaceState(null, "", address());
}

function draw() {
  const top = list.scrollTop;
  drawList();
  list.scrollTop = top;
  const chosen = list.querySelector(".chosen");
  if (chosen) {
    const head = list.querySelector("thead").offsetHeight;
    const above = chosen.offsetTop - head < list.scrollTop;
    const below = chosen.offsetTop + chosen.offsetHeight > list.scrollTop + list.clientHeight;
    if (above || below) list.scrollTop = chosen.offsetTop - head;
  }
  drawProblem();
}

function pressed(event) {
  const steps = { j: 1, k: -1 };
  const samples = { "]": 1, "[": -1 };
  const section = browser.getBoundingClientRect();
  const seen = section.top < innerHeight && section.bottom > 0;
  const typing = event.target.closest?.("input, select, textarea");
  if (!seen || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in steps) go(steps[event.key]);
  else if (event.key in samples) change({ s: Math.max(0, state.s + samples[event.key]) }, false);
}

function openAddress() {
  if (!readAddress()) return;
  refresh();
  drawControls();
  draw();
  document.getElementById("rollouts").scrollIntoView();
}

function startBrowser() {
  if (!data.benchmarks.length) return;
  browser.append(controls, status, list, detail);
  browser.hidden = false;
  refresh();
  drawControls();
  draw();
  openAddress();
  addEventListener("hashchange", openAddress);
  addEventListener("keydown", pressed);
}

/** Sections of other base models are hidden; the browser follows. */
function startChooser() {
  const chooser = document.getElementById("chooser");
  if (!chooser) return;
  const select = document.getElementById("chosen-model");
  select.onchange = () => {
    for (const section of document.querySelectorAll(".model")) {
      section.hidden = select.value !== "" && section.dataset.model !== select.value;
    }
    placeAnchors();
    if (select.value !== "") change({ m: Number(select.value), x: "", y: "" });
  };
  chooser.hidden = false;
}

/** The contents lead to the first section of each kind that is shown. */
function placeAnchors() {
  const headings = [...document.querySelectorAll("[data-anchor]")];
  for (const heading of headings) heading.removeAttribute("id");
  for (const heading of headings.filter((one) => !one.closest("[hidden]"))) {
    const name = heading.dataset.anchor;
    if (!document.getElementById(name)) heading.id = name;
  }
}

/** A figure as an SVG file with the colours that it has on the page now. */
function saveFigure(figure) {
  const copy = figure.querySelector("svg").cloneNode(true);
  const colours = getComputedStyle(document.documentElement);
  for (const element of copy.querySelectorAll("*")) {
    for (const name of ["fill", "stroke"]) {
      const variable = /^var\((--[a-z0-9-]+)\)$/.exec(element.getAttribute(name) ?? "");
      if (variable) element.setAttribute(name, colours.getPropertyValue(variable[1]).trim());
    }
  }
  copy.setAttribute("font-family", "Helvetica, Arial, sans-serif");
  const file = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
  const name = figure.querySelector("figcaption span").textContent.replace(/[^A-Za-z0-9]+/g, "-").slice(0, 60);
  const link = make("a", { href: URL.createObjectURL(file), download: `${name || "figure"}.svg` });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The label under the pointer alone, in all figures; null for all labels. */
function single(name) {
  for (const part of document.querySelectorAll("figure svg [class^='label-']")) {
    part.classList.toggle("faded", name !== null && !part.classList.contains(name));
  }
}

function startFigures() {
  let current = null;
  addEventListener("pointerover", (event) => {
    const part = event.target.closest?.("figure svg [class^='label-']");
    const name = part ? part.classList[0] : null;
    if (name !== current) single(name);
    current = name;
  });
  for (const figure of document.querySelectorAll("figure")) {
    figure.querySelector("figcaption").append(button("SVG", "Keep this figure as a file", () => saveFigure(figure), "save"));
  }
}

startFigures();
startChooser();
startBrowser();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
