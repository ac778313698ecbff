// The table of contents marks the section in view, collapsed sections open when an address points into them, and all open for printing.
const narrow = window.matchMedia("(max-width: 1100px)");
const contents = document.querySelector("nav.contents details");
const links = [...contents.querySelectorAll("a")];
const targets = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));

function markCurrentSection() {
  const line = 0.25 * window.innerHeight;
  let current = targets.findLastIndex((target) => target.getBoundingClientRect().top < line);
  if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) current = links.length - 1;
  current = Math.max(current, 0);
  links.forEach((link, index) => (index === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  const parent = links[current].closest("ul").parentElement.querySelector(":scope > a");
  const names = [...new Set([parent, links[current]])].filter(Boolean).map((link) => link.textContent);
  contents.querySelector(".here").textContent = names.join(": ");
  const box = contents.parentElement;
  const beyond = links[current].getBoundingClientRect().bottom - box.getBoundingClientRect().bottom;
  const before = box.getBoundingClientRect().top - links[current].getBoundingClientRect().top;
  if (!narrow.matches) box.scrollTop += Math.max(beyond + 40, 0) - Math.max(before + 40, 0);
}

function reveal(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
}

function fitContents() {
  contents.open = !narrow.matches; // on a small screen it is a menu
}

let isWaiting = false;
window.addEventListener("scroll", () => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    markCurrentSection();
  });
}, { passive: true });

links.forEach((link) => link.addEventListener("click", () => {
  fitContents();
  reveal(link.hash); // also if the address does not change
}));
document.addEventListener("click", (event) => {
  if (narrow.matches && !contents.contains(event.target)) contents.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && narrow.matches) contents.open = false;
});
contents.querySelector("summary").addEventListener("click", (event) => {
  if (!narrow.matches) event.preventDefault(); // a table of contents beside the page stays open
});
narrow.addEventListener("change", fitContents);
window.addEventListener("hashchange", () => reveal(location.hash));

let closedFolds = [];
window.addEventListener("beforeprint", () => {
  closedFolds = [...document.querySelectorAll("main details:not([open])")];
  closedFolds.forEach((fold) => (fold.open = true));
});
window.addEventListener("afterprint", () => closedFolds.forEach((fold) => (fold.open = false)));

fitContents();
reveal(location.hash);
markCurrentSection();
