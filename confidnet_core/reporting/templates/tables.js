// Tables that a click on a heading sorts, and the metric that the verdict speaks of beside the names where the screen is narrow.
const UP = "ascending";
const DOWN = "descending";

// What a cell is sorted by: its data-sort, or the number or text that it shows; null where it is undefined.
function key(cell) {
  const shown = [...cell.childNodes].filter((part) => !part.classList?.contains("interval"));
  const text = (cell.dataset.sort ?? shown.map((part) => part.textContent).join("")).trim();
  if (text === "" || text === "–") return null;
  const number = Number(text.replaceAll(",", ""));
  const first = Number.isNaN(number) ? Number.parseFloat(text.replaceAll(",", "")) : number;
  return Number.isNaN(first) ? text : first;
}

function compare(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null); // undefined below all others, either way
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other));
}

const isOracle = (row) => row.classList.contains("oracle") || row.cells[0].textContent.includes("(oracle");

function sort(table, at, direction) {
  const body = table.tBodies[0];
  const sign = direction === UP ? 1 : -1;
  const rows = [...body.rows].sort((one, other) =>
    isOracle(one) - isOracle(other) || compare(key(one.cells[at]), key(other.cells[at]), sign));
  body.append(...rows);
  mark(table, at, direction);
}

function mark(table, at, direction) {
  [...table.tHead.rows[0].cells].forEach((head, place) =>
    place === at ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort"));
}

// The best first: where an arrow says so, the highest; of names, the first of the alphabet.
const start = (head) => (head.textContent.includes("↑") ? DOWN : UP);

function makeSortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? start(head) : now === UP ? DOWN : UP;
      sort(table, head.cellIndex, next);
    });
  }
}

// Whether the table comes sorted by a column, best first.
function isSorted(table, at, direction) {
  const keys = [...table.tBodies[0].rows].filter((row) => !isOracle(row)).map((row) => key(row.cells[at]));
  return keys.every((value, place) => place === 0 || compare(keys[place - 1], value, direction === UP ? 1 : -1) <= 0);
}

const small = window.matchMedia("(max-width: 700px)");

function placeHeadline(table, home) {
  const head = table.querySelector("th.headline");
  const to = small.matches ? 1 : home;
  if (head.cellIndex === to) return;
  const from = head.cellIndex;
  for (const row of table.rows) {
    const cell = row.cells[from];
    const before = row.cells[to > from ? to + 1 : to] ?? null;
    row.insertBefore(cell, before);
  }
}

for (const table of document.querySelectorAll(".sortable table, table:has(tbody td[data-sort])")) makeSortable(table);

for (const box of document.querySelectorAll(".sortable[data-headline]")) {
  const table = box.querySelector("table");
  const head = [...(table?.tHead.rows[0].cells ?? [])].find((cell) => cell.textContent.trim() === box.dataset.headline);
  if (!head) continue;
  const home = head.cellIndex;
  for (const row of table.rows) row.cells[home].classList.add("headline");
  if (isSorted(table, home, start(head))) mark(table, home, start(head));
  placeHeadline(table, home);
  small.addEventListener("change", () => placeHeadline(table, home));
}
