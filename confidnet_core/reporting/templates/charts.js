// Draws a chart when it comes near to the screen, in the colours of the page, and again when these change. Lines that do not stand out are
// faded; the one under the pointer, or whose name is, has its colour, and so has one whose name was chosen.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 700px)");
const drawn = new Set();
const pointed = new WeakMap(); // chart -> the line under the pointer

async function load() {
  const zipped = Uint8Array.from(atob(document.getElementById("library").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => [name, style.getPropertyValue(`--${name}`).trim()];
  return Object.fromEntries(["text", "quiet", "line", "panel", "accent", "faded"].map(named).concat([["font", style.fontFamily]]));
}

const names = (chart) => [...(chart.parentElement.querySelectorAll(".legend button") ?? [])];

// Colour and width of a line.
function look(chart, trace, place, page) {
  const own = dark.matches ? trace.meta.dark : trace.meta.light;
  const button = names(chart)[place];
  if (!button) return { color: own };
  const here = pointed.get(chart) === place;
  const bright = here || button.getAttribute("aria-pressed") === "true";
  return { color: bright ? own : page.faded, width: here ? 3.5 : bright ? 2.25 : 1.25 };
}

function coloured(chart, trace, place, page) {
  if (!trace.meta) return trace;
  const style = look(chart, trace, place, page);
  const parts = ["line", "marker"].filter((part) => trace[part]);
  const changed = parts.map((part) => [part, { ...trace[part], ...(part === "line" ? style : { color: style.color }) }]);
  return { ...trace, ...Object.fromEntries(changed) };
}

function axis(given, page) {
  const lines = { gridcolor: page.line, zerolinecolor: page.line, linecolor: page.line, automargin: true };
  return { ...given, ...lines, title: { ...given.title, standoff: 8, font: { size: 12 } }, fixedrange: narrow.matches };
}

function layout(given, small, page) {
  return {
    ...given,
    xaxis: axis(given.xaxis, page),
    yaxis: axis(given.yaxis, page),
    font: { color: page.text, family: page.font, size: small ? 11 : 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: page.quiet, activecolor: page.accent },
    margin: { l: 10, r: 18, t: small ? 26 : 10, b: 10 },
    hoverlabel: { bgcolor: page.panel, bordercolor: page.line, font: { color: page.text } },
    hovermode: "closest",
    dragmode: narrow.matches ? false : "zoom",
    uirevision: "kept", // where a reader has zoomed to, and which lines are hidden
  };
}

const data = (chart) => JSON.parse(chart.querySelector("script").textContent);

function draw(chart) {
  const given = data(chart);
  const page = theme();
  let plot = chart.querySelector(".plot");
  const first = !plot;
  if (first) {
    plot = document.createElement("div");
    plot.className = "plot";
    chart.append(plot);
  }
  const small = chart.classList.contains("small");
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: small || narrow.matches ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    showSendToCloud: false, // nothing leaves this page
    plotlyServerURL: "",
  };
  const lines = given.data.map((trace, place) => coloured(chart, trace, place, page));
  Plotly.react(plot, lines, layout(given.layout, small, page), options);
  drawn.add(chart);
  if (first && names(chart).length) listen(chart, plot);
}

function listen(chart, plot) {
  const point = (place) => {
    pointed.set(chart, place);
    repaint(chart, plot);
  };
  plot.on("plotly_hover", (event) => point(event.points[0].curveNumber));
  plot.on("plotly_unhover", () => point(null));
  names(chart).forEach((button, place) => {
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => point(place));
    for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => point(null));
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      repaint(chart, plot);
    });
  });
}

// Colours and widths alone, which leaves what is shown at the pointer.
function repaint(chart, plot) {
  const page = theme();
  const styles = data(chart).data.map((trace, place) => look(chart, trace, place, page));
  Plotly.restyle(plot, { "line.color": styles.map((style) => style.color), "line.width": styles.map((style) => style.width) });
}

load().then(() => {
  const charts = [...document.querySelectorAll(".chart")];
  const watch = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting).forEach((one) => {
    watch.unobserve(one.target);
    draw(one.target);
  }), { rootMargin: "600px" });
  charts.forEach((chart) => watch.observe(chart));
  for (const change of [dark, narrow]) change.addEventListener("change", () => drawn.forEach(draw));
  window.addEventListener("beforeprint", () => charts.forEach(draw));
}).catch((problem) => document.querySelectorAll(".chart").forEach((chart) => {
  chart.append(`This browser cannot draw the charts (${problem.message}).`);
}));
