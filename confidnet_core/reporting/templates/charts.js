// Draws a chart when it comes near to the screen, in the colours of the page, and again when these change.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 700px)");
const drawn = new Set();

async function load() {
  const zipped = Uint8Array.from(atob(document.getElementById("library").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function coloured(trace) {
  if (!trace.meta) return trace;
  const colour = dark.matches ? trace.meta.dark : trace.meta.light;
  const parts = ["line", "marker"].filter((part) => trace[part]).map((part) => [part, { ...trace[part], color: colour }]);
  return { ...trace, ...Object.fromEntries(parts) };
}

function axis(given, page) {
  const lines = { gridcolor: page.line, zerolinecolor: page.line, linecolor: page.line, automargin: true };
  return { ...given, ...lines, title: { ...given.title, standoff: 8, font: { size: 12 } }, fixedrange: narrow.matches };
}

function layout(given, small) {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => [name, style.getPropertyValue(`--${name}`).trim()];
  const page = Object.fromEntries(["text", "quiet", "line", "panel", "accent"].map(named));
  return {
    ...given,
    xaxis: axis(given.xaxis, page),
    yaxis: axis(given.yaxis, page),
    font: { color: page.text, family: style.fontFamily, size: small ? 11 : 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: page.quiet, activecolor: page.accent },
    margin: { l: 10, r: 18, t: small ? 26 : 10, b: 10 },
    hoverlabel: { bgcolor: page.panel, bordercolor: page.line, font: { color: page.text } },
    hovermode: narrow.matches && given.hovermode ? "closest" : given.hovermode || "closest",
    dragmode: narrow.matches ? false : "zoom",
    uirevision: "kept", // which lines are hidden
  };
}

function draw(chart) {
  const given = JSON.parse(chart.querySelector("script").textContent);
  let plot = chart.querySelector(".plot");
  if (!plot) {
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
  Plotly.react(plot, given.data.map(coloured), layout(given.layout, small), options);
  drawn.add(chart);
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
