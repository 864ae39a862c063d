// Which problems are listed: those of a benchmark that fit the filters, and the state in the address.

const data = JSON.parse(document.getElementById("samples").textContent);
const CONDITIONS = {
  most: ["is right in most samples", (share) => share > 0.5],
  all: ["is right in all samples", (share) => share === 1],
  some: ["is right at least once", (share) => share > 0],
  few: ["is wrong in most samples", (share) => share < 0.5],
  none: ["is never right", (share) => share === 0],
};
const ORDERS = { file: "as in the benchmark", first: "first policy’s share", gap: "largest gap between the two" };
const PAGE_OF_LIST = 200;

/** What is looked at; each key stands in the address as it is here. */
const state = { m: 0, b: 0, p: "", s: 0, x: "", xis: "most", y: "", yis: "few", o: "file", q: "", seeds: "" };
const WORDS = ["p", "x", "xis", "y", "yis", "o", "q", "seeds"];
let listed = [];
let limit = PAGE_OF_LIST;

function labelsShown() {
  const shown = new Set();
  for (const policy of data.policies) if (policy.model === state.m) shown.add(policy.label);
  return data.labels.map((_, n) => n).filter((n) => shown.has(n));
}

/** The cells of a label in the chosen model, in the order of training seeds. */
function cellsOf(problem, label) {
  return problem.cells
    .filter((cell) => data.policies[cell.p].label === label && data.policies[cell.p].model === state.m)
    .sort((a, b) => data.policies[a.p].seed - data.policies[b.p].seed);
}

/** Share of a label's samples that are right; null where there is none. */
function share(problem, label) {
  let right = 0;
  let all = 0;
  for (const cell of cellsOf(problem, label)) {
    for (const verdict of cell.v) right += verdict === "c";
    all += cell.v.length;
  }
  return all ? right / all : null;
}

function fits(problem) {
  for (const [label, condition] of [[state.x, state.xis], [state.y, state.yis]]) {
    if (label === "") continue;
    const found = share(problem, Number(label));
    if (found === null || !CONDITIONS[condition][1](found)) return false;
  }
  return state.q === "" || mentions(problem, state.q.toLowerCase());
}

function mentions(problem, needle) {
  const has = (stored) => textOf(stored).toLowerCase().includes(needle);
  if (has(problem.id) || has(problem.q) || has(problem.gold)) return true;
  const numbers = new Set();
  for (const label of labelsShown()) {
    for (const cell of cellsOf(problem, label)) for (const number of [...cell.t, ...cell.a]) numbers.add(number);
  }
  numbers.delete(-1);
  for (const number of numbers) if (has(problem.texts[number])) return true;
  return false;
}

/** Recomputes the list; the chosen problem stays where it fits, else the first is chosen. */
function refresh() {
  const benchmark = data.benchmarks[state.b];
  listed = benchmark.problems.filter(fits);
  const value = (problem, label) => (label === "" ? 0 : share(problem, Number(label)) ?? -1);
  if (state.o === "first") listed.sort((a, b) => value(b, state.x) - value(a, state.x));
  if (state.o === "gap") {
    const gap = (problem) => value(problem, state.x) - value(problem, state.y);
    listed.sort((a, b) => gap(b) - gap(a));
  }
  if (!listed.some((problem) => problem.id === state.p)) state.p = listed.length ? listed[0].id : "";
  limit = Math.max(PAGE_OF_LIST, place() + 1);
}

function place() {
  return listed.findIndex((problem) => problem.id === state.p);
}

function readAddress() {
  const [name, query] = location.hash.slice(1).split("?");
  if (name !== "rollouts" || !query) return false;
  const given = new URLSearchParams(query);
  for (const key of WORDS) if (given.has(key)) state[key] = given.get(key);
  const named = (key, names) => Math.max(0, names.indexOf(given.get(key)));
  state.m = named("m", data.models);
  state.b = named("b", data.benchmarks.map((benchmark) => benchmark.name));
  for (const key of ["x", "y"]) {
    const label = data.labels.indexOf(state[key]);
    state[key] = label < 0 ? "" : String(label);
  }
  if (!Object.hasOwn(CONDITIONS, state.xis)) state.xis = "most";
  if (!Object.hasOwn(CONDITIONS, state.yis)) state.yis = "few";
  if (!Object.hasOwn(ORDERS, state.o)) state.o = "file";
  state.s = Math.max(0, Number.parseInt(given.get("s"), 10) || 0);
  return true;
}

/** Names instead of numbers, so that a link still fits when the page is made again. */
function address() {
  const said = new URLSearchParams();
  if (data.models.length > 1) said.set("m", data.models[state.m]);
  said.set("b", data.benchmarks[state.b].name);
  said.set("p", state.p);
  if (state.s) said.set("s", state.s);
  for (const key of ["x", "y"]) {
    if (state[key] === "") continue;
    said.set(key, data.labels[state[key]]);
    said.set(`${key}is`, state[`${key}is`]);
  }
  if (state.o !== "file") said.set("o", state.o);
  if (state.q) said.set("q", state.q);
  if (state.seeds) said.set("seeds", state.seeds);
  return `#rollouts?${said}`;
}
