"use strict";
// Tables that sort by a column, and lists that are searched and picked from. Without scripts they are what they were: whole.
const number = (text) => {
  const found = text.replaceAll("−", "-").replaceAll(",", "").match(/^(?:p [=<] )?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/i);
  return found ? parseFloat(found[1]) : null;
};

const order = (cells) => {
  const values = cells.map((text) => ({ text, value: number(text) }));
  const numeric = values.every(({ text, value }) => value !== null || !/[\p{L}\d]/u.test(text));
  return (a, b) => numeric
    ? (values[a].value ?? Infinity) - (values[b].value ?? Infinity)
    : values[a].text.localeCompare(values[b].text, "en", { numeric: true });
};

const sort = (table, column, head) => {
  const down = head.getAttribute("aria-sort") === "ascending";
  const rows = [...table.tBodies[0].rows];
  const compare = order(rows.map((row) => row.cells[column].textContent.trim()));
  const places = rows.map((_, i) => i).sort((a, b) => (down ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...places.map((i) => rows[i]));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
};

const control = (name, element) => {
  const label = document.createElement("label");
  label.append(`${name} `, element);
  return label;
};

const pick = (table) => {
  const rows = [...table.tBodies[0].rows], bar = document.createElement("form"), said = document.createElement("output");
  bar.className = "pick";
  bar.addEventListener("submit", (event) => event.preventDefault());
  const chosen = table.dataset.facets.split(",").map((column) => {
    const select = document.createElement("select"), values = new Set(rows.map((row) => row.cells[column].textContent.trim()));
    select.append(new Option("all", ""), ...[...values].map((value) => new Option(value, value)));
    bar.append(control(table.tHead.rows[0].cells[column].textContent.trim(), select));
    return [column, select];
  });
  const search = document.createElement("input");
  search.type = "search";
  bar.append(control("holds", search), said);
  const show = () => {
    const wanted = search.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = chosen.every(([column, { value }]) => !value || row.cells[column].textContent.trim() === value)
        && row.textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    said.textContent = `${shown} of ${rows.length}`;
  };
  bar.addEventListener("input", show);
  show();
  table.closest(".scroll").before(bar);
};

for (const table of document.querySelectorAll("table:not(.heat, .grid, .pairs)")) {
  if (table.tBodies[0].rows.length < 2) continue;
  if (table.dataset.facets) pick(table);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column, head));
    head.append(button);
  });
}
