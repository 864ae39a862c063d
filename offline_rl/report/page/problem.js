// One problem: its text, and every policy's samples side by side.

const VERDICTS = { c: ["✓", "correct"], w: ["✗", "wrong"], u: ["?", "unverifiable"] };

/** A card for every label, or for every training seed of it. */
function cards(problem) {
  const found = [];
  for (const label of labelsShown()) {
    const cells = cellsOf(problem, label);
    if (!cells.length) continue;
    if (state.seeds) for (const cell of cells) found.push(card(problem, label, [cell]));
    else found.push(card(problem, label, cells));
  }
  return make("div", { className: "cards" }, ...found);
}

function card(problem, label, cells) {
  const seed = data.policies[cells[0].p].seed;
  const alone = state.seeds && seed !== null;
  let right = 0;
  let all = 0;
  for (const cell of cells) {
    right += [...cell.v].filter((verdict) => verdict === "c").length;
    all += cell.v.length;
  }
  const name = alone ? `${data.labels[label]}, seed ${seed}` : data.labels[label];
  const shown = make("div");
  const chips = [];
  const rows = cells.map((cell) => samplesRow(problem, cell, chips, shown));
  const element = make(
    "article",
    { className: "card", "data-label": data.labels[label] },
    make("h4", {}, make("span", { textContent: name }), make("span", { textContent: `${right} of ${all} right` })),
    ...rows,
    shown,
  );
  element.style.setProperty("--colour", data.colours[label]);
  chips[Math.min(state.s, cells[0].v.length - 1)].click();
  return element;
}

function samplesRow(problem, cell, chips, shown) {
  const seed = data.policies[cell.p].seed;
  const row = make("div", { className: "samples" });
  if (seed !== null && !state.seeds) row.append(make("span", { textContent: `seed ${seed}` }));
  [...cell.v].forEach((verdict, n) => {
    const [sign, word] = VERDICTS[verdict];
    const chip = button(sign, `sample ${n}: ${word}`, () => {
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      shown.replaceChildren(...sample(problem, cell, n));
    }, `chip ${verdict}`);
    chip.setAttribute("aria-label", chip.title);
    chips.push(chip);
    row.append(chip);
  });
  return row;
}

/** A sample's verdict, answer and length, and its text. */
function sample(problem, cell, n) {
  const verdict = cell.v[n];
  const reason = textOf(problem.texts[cell.r[n]]);
  const answer = problem.texts[cell.a[n]];
  const parts = [
    make("b", { className: verdict, textContent: VERDICTS[verdict][1] }),
    reason ? ` (${reason})` : "",
    textOf(answer) ? " · answer " : " · no answer",
    textOf(answer) ? fill(make("code"), textOf(answer), state.q) : "",
    ` · ${cell.n[n].toLocaleString("en")} tokens`,
    cell.x && cell.x[n] === "1" ? ", cut off" : "",
    ` · sample ${n}`,
  ];
  const said = make("p", { className: "said" }, ...parts);
  if (cell.t[n] < 0) return [said, make("p", { className: "said", textContent: "Its text is not in this page." })];
  const stored = problem.texts[cell.t[n]];
  return [said, fill(make("pre", { tabIndex: 0 }), textOf(stored), state.q), ...noted(stored), ...noted(answer)];
}

function noted(stored) {
  const note = alterations(stored);
  return note ? [make("p", { className: "altered", textContent: note })] : [];
}

function problemView(problem, go) {
  const at = place();
  const where = `${at + 1} of ${listed.length}: ${problem.id}`;
  const previous = button("← Previous", "Previous problem (k)", () => go(-1));
  const next = button("Next →", "Next problem (j)", () => go(1));
  previous.disabled = at <= 0;
  next.disabled = at >= listed.length - 1;
  return [
    make("div", { className: "steps" }, make("span", { className: "where", textContent: where }), previous, next),
    fill(make("div", { className: "asked", tabIndex: 0 }), textOf(problem.q) || "The problem’s text is not in this page.", state.q),
    ...noted(problem.q),
    make("p", { className: "said" }, "gold answer ", make("code", { textContent: textOf(problem.gold) || "–" })),
    cards(problem),
  ];
}
