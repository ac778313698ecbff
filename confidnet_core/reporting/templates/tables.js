// Tables are sorted by a click on a heading; on a narrow screen, the headline metric of the verdict stands next to the names.
const UP = "ascending";
const DOWN = "descending";

// Returns the value that a cell is sorted by: its data-sort, or the number or text that it shows; null if undefined.
function sortValue(cell) {
  const shown = [...cell.childNodes].filter((part) => !part.classList?.contains("interval"));
  const text = (cell.dataset.sort ?? shown.map((part) => part.textContent).join("")).trim();
  if (text === "" || text === "–") return null;
  const number = Number(text.replaceAll(",", ""));
  const leading = Number.isNaN(number) ? Number.parseFloat(text.replaceAll(",", "")) : number;
  return Number.isNaN(leading) ? text : leading;
}

function compare(left, right, sign) {
  if (left === null || right === null) return (left === null) - (right === null); // undefined values come last in both directions
  if (typeof left === "number" && typeof right === "number") return sign * (left - right);
  return sign * String(left).localeCompare(String(right));
}

const isOracle = (row) => row.classList.contains("oracle") || row.cells[0].textContent.includes("(oracle");

function sort(table, column, direction) {
  const body = table.tBodies[0];
  const sign = direction === UP ? 1 : -1;
  const rows = [...body.rows].sort((left, right) =>
    isOracle(left) - isOracle(right) || compare(sortValue(left.cells[column]), sortValue(right.cells[column]), sign));
  body.append(...rows);
  markSorted(table, column, direction);
}

function markSorted(table, column, direction) {
  [...table.tHead.rows[0].cells].forEach((head, index) =>
    index === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort"));
}

// The direction of the first click puts the best first: the highest under an upward arrow, otherwise the lowest, or the first name.
const firstDirection = (head) => (head.textContent.includes("↑") ? DOWN : UP);

function makeSortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? firstDirection(head) : now === UP ? DOWN : UP;
      sort(table, head.cellIndex, next);
    });
  }
}

// Returns whether the table is already sorted by a column, best first.
function isSorted(table, column, direction) {
  const keys = [...table.tBodies[0].rows].filter((row) => !isOracle(row)).map((row) => sortValue(row.cells[column]));
  return keys.every((value, index) => index === 0 || compare(keys[index - 1], value, direction === UP ? 1 : -1) <= 0);
}

const narrow = window.matchMedia("(max-width: 700px)");

function placeHeadline(table, homeColumn) {
  const head = table.querySelector("th.headline");
  const target = narrow.matches ? 1 : homeColumn;
  if (head.cellIndex === target) return;
  const from = head.cellIndex;
  for (const row of table.rows) {
    const cell = row.cells[from];
    const before = row.cells[target > from ? target + 1 : target] ?? null;
    row.insertBefore(cell, before);
  }
}

for (const table of document.querySelectorAll(".sortable table, table:has(tbody td[data-sort])")) makeSortable(table);

for (const box of document.querySelectorAll(".sortable[data-headline]")) {
  const table = box.querySelector("table");
  const head = [...(table?.tHead.rows[0].cells ?? [])].find((cell) => cell.textContent.trim() === box.dataset.headline);
  if (!head) continue;
  const homeColumn = head.cellIndex;
  for (const row of table.rows) row.cells[homeColumn].classList.add("headline");
  if (isSorted(table, homeColumn, firstDirection(head))) markSorted(table, homeColumn, firstDirection(head));
  placeHeadline(table, homeColumn);
  narrow.addEventListener("change", () => placeHeadline(table, homeColumn));
}
