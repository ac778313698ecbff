// Draws each chart when it comes near the screen, in the colours of the page, and again when these change. Lines that are not highlighted
// are faded; a line has its colour while the pointer is on it or on its name, and once its name was chosen.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 700px)");
const drawnCharts = new Set();
const pointedLines = new WeakMap(); // the parent of charts that share a legend -> the line under the pointer
const listeningLegends = new WeakSet(); // these parents, once the names of their legend react

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

const legendButtons = (chart) => [...(chart.parentElement.querySelectorAll(".legend button") ?? [])];

// Returns colour and width of a line.
function lineStyle(chart, trace, index, page) {
  const colour = dark.matches ? trace.meta.dark : trace.meta.light;
  const button = legendButtons(chart)[index];
  if (!button) return { color: colour };
  const isPointed = pointedLines.get(chart.parentElement) === index;
  const isHighlighted = isPointed || button.getAttribute("aria-pressed") === "true";
  return { color: isHighlighted ? colour : page.faded, width: isPointed ? 3.5 : isHighlighted ? 2.25 : 1.25 };
}

function withColours(chart, trace, index, page) {
  if (!trace.meta) return trace;
  const style = lineStyle(chart, trace, index, page);
  const parts = ["line", "marker"].filter((part) => trace[part]);
  const changed = parts.map((part) => [part, { ...trace[part], ...(part === "line" ? style : { color: style.color }) }]);
  return { ...trace, ...Object.fromEntries(changed) };
}

function axis(settings, page) {
  const lines = { gridcolor: page.line, zerolinecolor: page.line, linecolor: page.line, automargin: true };
  return { ...settings, ...lines, title: { ...settings.title, standoff: 8, font: { size: 12 } }, fixedrange: narrow.matches };
}

function layout(settings, isSmall, page) {
  return {
    ...settings,
    xaxis: axis(settings.xaxis, page),
    yaxis: axis(settings.yaxis, page),
    font: { color: page.text, family: page.font, size: isSmall ? 11 : 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: page.quiet, activecolor: page.accent },
    margin: { l: 10, r: 18, t: isSmall ? 26 : 10, b: 10 },
    hoverlabel: { bgcolor: page.panel, bordercolor: page.line, font: { color: page.text, family: page.font } },
    hovermode: "closest",
    dragmode: narrow.matches ? false : "zoom",
    uirevision: "kept", // keeps zoom and hidden lines when the chart is drawn again
  };
}

const data = (chart) => JSON.parse(chart.querySelector("script").textContent);

function draw(chart) {
  const content = data(chart);
  const page = theme();
  let plot = chart.querySelector(".plot");
  const isFirst = !plot;
  if (isFirst) {
    plot = document.createElement("div");
    plot.className = "plot";
    chart.append(plot);
  }
  const isSmall = chart.classList.contains("small");
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: chart.classList.contains("wide") && !narrow.matches ? "hover" : false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    showSendToCloud: false, // nothing leaves this page
    plotlyServerURL: "",
  };
  const lines = content.data.map((trace, index) => withColours(chart, trace, index, page));
  Plotly.react(plot, lines, layout(content.layout, isSmall, page), options);
  drawnCharts.add(chart);
  if (isFirst && legendButtons(chart).length) listen(chart, plot);
}

function listen(chart, plot) {
  const group = chart.parentElement;
  const setPointed = (index) => {
    pointedLines.set(group, index);
    repaint(group);
  };
  plot.on("plotly_hover", (event) => setPointed(event.points[0].curveNumber));
  plot.on("plotly_unhover", () => setPointed(null));
  if (listeningLegends.has(group)) return;
  listeningLegends.add(group);
  legendButtons(chart).forEach((button, index) => {
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => setPointed(index));
    for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => setPointed(null));
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      repaint(group);
    });
  });
}

// Updates only colours and widths, which keeps the label at the pointer.
function repaint(group) {
  const page = theme();
  for (const chart of [...group.children].filter((child) => drawnCharts.has(child))) {
    const styles = data(chart).data.map((trace, index) => lineStyle(chart, trace, index, page));
    const changes = { "line.color": styles.map((style) => style.color), "line.width": styles.map((style) => style.width) };
    Plotly.restyle(chart.querySelector(".plot"), changes);
  }
}

load().then(() => {
  const charts = [...document.querySelectorAll(".chart")];
  const observer = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    observer.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "600px" });
  charts.forEach((chart) => observer.observe(chart));
  for (const change of [dark, narrow]) change.addEventListener("change", () => drawnCharts.forEach(draw));
  window.addEventListener("beforeprint", () => charts.forEach(draw));
}).catch((problem) => document.querySelectorAll(".chart").forEach((chart) => {
  chart.append(`This browser cannot draw the charts (${problem.message}).`);
}));
