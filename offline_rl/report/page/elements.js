"use strict";
// Elements are made here alone, and text only ever becomes text.

/** An element with properties, attributes (names with "-") and children: elements or texts. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function button(text, title, onclick, className = "plain") {
  return make("button", { type: "button", textContent: text, title, onclick, className });
}

/** A select of [value, text] choices; `name` is what screen readers say. */
function choice(name, options, value, onchange) {
  const select = make("select", { "aria-label": name }, ...options.map(([v, text]) => make("option", { value: v, textContent: text })));
  select.value = value;
  select.onchange = () => onchange(select.value);
  return select;
}

function labelled(text, ...fields) {
  return make("label", {}, text, ...fields);
}

/** Puts a text into an element, with what was searched for marked. */
function fill(element, text, searched) {
  element.textContent = "";
  const lower = text.toLowerCase();
  // A few letters change their length in lower case: then places would not fit.
  const needle = searched && lower.length === text.length ? searched.toLowerCase() : "";
  let from = 0;
  for (let marks = 0; needle && marks < 500; marks++) {
    const at = lower.indexOf(needle, from);
    if (at < 0) break;
    element.append(text.slice(from, at), make("mark", { textContent: text.slice(at, at + needle.length) }));
    from = at + needle.length;
  }
  element.append(text.slice(from));
  return element;
}

/** A stored text: as it is, or with a note of what was left out of it. */
function textOf(stored) {
  return typeof stored === "string" ? stored : stored.t;
}

function alterations(stored) {
  if (typeof stored === "string") return "";
  const notes = [];
  if (stored.s) notes.push(`${stored.s.toLocaleString("en")} control or invisible characters left out`);
  if (stored.k) notes.push(`${stored.k.toLocaleString("en")} characters in the middle left out`);
  return notes.join("; ");
}
