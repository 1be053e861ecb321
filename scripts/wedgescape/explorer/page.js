"use strict";
// What all views share: colours of the theme, plots, controls, tables. A view registers itself by `explorer.view`.
const explorer = (() => {
  const content = JSON.parse(document.getElementById("data").textContent);
  const look = content.look, names = look.names, drawings = [];
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  // Where one stands when looking at a plot in three dimensions.
  const CAMERAS = {
    corner: { x: 1.25, y: -1.35, z: 0.95 }, side: { x: 0.05, y: -1.95, z: 0.35 }, above: { x: 0, y: -0.01, z: 2.1 },
  };

  const colours = () => look.themes[root.dataset.theme];
  const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  /** A number in as few characters as three digits take; a dash where there is none. */
  function number(value, digits = 3) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const short = Number(value.toPrecision(digits));
    return Math.abs(short) >= 1e-4 || short === 0 ? String(short) : short.toExponential().replace("e-", "e−");
  }
  const percent = (share) => `${Math.round(100 * share)} %`;
  const interval = (one) => `${number(one.estimate)} (${number(one.low)} … ${number(one.high)})`;
  const log = (values) => values.map((value) => (Array.isArray(value) ? log(value) : value > 0 ? Math.log10(value) : null));

  /** Ticks of a logarithmic quantity that is drawn by its log10. */
  function decades(logs) {
    const known = logs.flat(Infinity).filter((value) => value !== null && Number.isFinite(value));
    const low = Math.min(...known), high = Math.max(...known), vals = [];
    const parts = high - low > 2.2 ? [1] : high - low > 0.8 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
    for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power++)
      for (const part of parts) {
        const at = power + Math.log10(part);
        if (at >= low - 0.02 && at <= high + 0.02) vals.push(at);
      }
    return { tickmode: "array", tickvals: vals, ticktext: vals.map((at) => number(10 ** at, 2)) };
  }

  function axis(title, more = {}) {
    return {
      title: { text: title, standoff: 8 }, gridcolor: variable("--line"), linecolor: variable("--soft"), zeroline: false,
      tickcolor: variable("--soft"), ticks: "outside", ticklen: 4, automargin: true, exponentformat: "power", ...more,
    };
  }
  /** An axis of a plot in three dimensions. */
  function side(title, more = {}) {
    return {
      title: { text: title }, gridcolor: variable("--line"), zerolinecolor: variable("--line"), linecolor: variable("--soft"),
      showbackground: false, showspikes: false, ...more,
    };
  }
  const scene = (x, y, z, more = {}) => ({ xaxis: x, yaxis: y, zaxis: z, uirevision: "kept", ...more });
  const camera = (name) => ({ eye: CAMERAS[name], center: { x: 0, y: 0, z: -0.12 } });
  const bar = (title, more = {}) => ({
    title: { text: title, side: "right" }, thickness: 12, len: 0.75, outlinewidth: 0, tickcolor: variable("--soft"), ...more,
  });

  function plot(element, traces, layout) {
    const ink = variable("--ink");
    return Plotly.react(element, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 10, r: 10, t: 30, b: 10 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--soft"), font: { color: ink } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hovermode: "closest", ...layout,
    }, CONFIG);
  }

  /** Make an element: its tag, attributes, and children (elements or text). */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, String(value) === String(chosen))));
  }
  function choices(fieldset, name, entries, chosen) {
    const made = entries.map(([value, text]) => {
      const input = element("input", { type: "radio", name, value });
      input.checked = value === chosen;
      return element("label", {}, input, element("span", {}, text));
    });
    fieldset.append(...made);
  }

  /** Fill the table below a plot: only when it is open, since it may be long. `rows` is a function. */
  function table(details, columns, rows) {
    const fill = () => {
      if (!details.open) return;
      const head = element("tr", {}, ...columns.map((text) => element("th", { scope: "col" }, text)));
      const body = rows().map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, typeof cell === "number" || cell === null ? number(cell, 4) : cell))));
      details.querySelector(".scroll").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    };
    details.ontoggle = fill;
    fill();
  }

  /** Register a view: `setUp(data, section)` prepares its controls and returns what draws it, now and at each change. */
  function view(name, setUp) {
    drawings.push({ name, setUp });
  }

  function begin({ name, setUp }) {
    const section = document.getElementById(name), data = content.views[name];
    const note = section.querySelector(".note");
    if (note) note.textContent = data.note || "";
    const redraw = setUp(data, section);
    let waiting = false;
    const soon = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; redraw(); });
    };
    section.querySelector("form")?.addEventListener("input", soon);
    section.querySelector("form")?.addEventListener("submit", (event) => event.preventDefault());
    return redraw;
  }

  function start() {
    const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
    const inputs = [...document.querySelectorAll("#theme input")];
    if (stored) inputs.forEach((input) => (input.checked = input.value === stored));
    let redraws = [];
    const paint = (forced) => {
      const chosen = forced || inputs.find((input) => input.checked).value;
      root.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
      redraws.forEach((redraw) => redraw());
    };
    document.getElementById("theme").addEventListener("input", (event) => {
      try { localStorage.setItem("theme", event.target.value); } catch { /* a browser may forbid it for files */ }
      paint();
    });
    dark.addEventListener("change", () => paint());
    addEventListener("beforeprint", () => paint("light"));
    addEventListener("afterprint", () => paint());
    paint();
    document.getElementById("counts").textContent = `${content.head.counts}.`;
    const base = Object.entries(content.head.base).map(([key, value]) => `${names[key] || key} ${value}`);
    document.getElementById("base").textContent = `Base setting: ${base.join(", ")}.`;
    redraws = drawings.map(begin);
    redraws.forEach((redraw) => redraw());
  }

  return {
    look, names, colours, variable, number, percent, interval, log, decades, axis, side, scene, camera, bar, plot, element, options,
    choices, table, view, start, data: (name) => content.views[name],
  };
})();
