// The contents follow the reader, what is folded opens for an address, and everything opens for a printer.
const narrow = window.matchMedia("(max-width: 1100px)");
const contents = document.querySelector("nav.contents details");
const links = [...contents.querySelectorAll("a")];
const targets = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));

function follow() {
  const line = 0.25 * window.innerHeight;
  let at = targets.findLastIndex((target) => target.getBoundingClientRect().top < line);
  if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) at = links.length - 1;
  at = Math.max(at, 0);
  links.forEach((link, place) => (place === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  const parent = links[at].closest("ul").parentElement.querySelector(":scope > a");
  const names = [...new Set([parent, links[at]])].filter(Boolean).map((link) => link.textContent);
  contents.querySelector(".here").textContent = names.join(": ");
  const box = contents.parentElement;
  const beyond = links[at].getBoundingClientRect().bottom - box.getBoundingClientRect().bottom;
  const before = box.getBoundingClientRect().top - links[at].getBoundingClientRect().top;
  if (!narrow.matches) box.scrollTop += Math.max(beyond + 40, 0) - Math.max(before + 40, 0);
}

function reveal(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
}

function fit() {
  contents.open = !narrow.matches; // a menu on a small screen
}

let waiting = false;
window.addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    follow();
  });
}, { passive: true });

links.forEach((link) => link.addEventListener("click", () => {
  fit();
  reveal(link.hash); // also where the address is the same as before
}));
document.addEventListener("click", (event) => {
  if (narrow.matches && !contents.contains(event.target)) contents.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && narrow.matches) contents.open = false;
});
contents.querySelector("summary").addEventListener("click", (event) => {
  if (!narrow.matches) event.preventDefault(); // beside the page the contents stay open
});
narrow.addEventListener("change", fit);
window.addEventListener("hashchange", () => reveal(location.hash));

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("main details:not([open])")];
  closed.forEach((fold) => (fold.open = true));
});
window.addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));

fit();
reveal(location.hash);
follow();
