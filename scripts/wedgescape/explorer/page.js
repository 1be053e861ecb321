"use strict";
// What all views share: colours of the theme, plots, controls, tables. A view registers itself by `explorer.view`.
const explorer = (() => {
  const content = JSON.parse(document.getElementById("data").textContent);
  const look = content.look, names = look.names, drawings = [];
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  // Nothing leaves the page: Plotly's button that uploads a plot is off.
  const CONFIG = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  // Where one stands when looking at a plot in three dimensions.
  const CAMERAS = {
    corner: { x: 1.35, y: -1.5, z: 1.05 }, side: { x: 0.05, y: -2.1, z: 0.3 }, above: { x: 0, y: -0.01, z: 2.2 },
  };

  const colours = () => look.themes[root.dataset.theme];
  const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  /** A number in as few characters as three digits take; a dash where there is none. */
  function number(value, digits = 3) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const short = Number(value.toPrecision(digits));
    return (Math.abs(short) >= 1e-4 || short === 0 ? String(short) : short.toExponential()).replaceAll("-", "−");
  }
  const percent = (share) => `${Math.round(100 * share)} %`;
  const interval = (one) => `${number(one.estimate)} (${number(one.low)} … ${number(one.high)})`;
  /** A text in the words of the study's own loss and score. */
  const said = (text) => Object.entries(content.head.words).reduce((now, [old, own]) => now.replaceAll(old, own), text);
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
      title: { text: title, standoff: 8, font: { size: 13 } }, gridcolor: variable("--line"), linecolor: variable("--soft"), zeroline: false,
      tickcolor: variable("--soft"), ticks: "outside", ticklen: 4, automargin: true, exponentformat: "power", ...more,
    };
  }
  /** An axis of a plot in three dimensions. */
  function side(title, more = {}) {
    return {
      title: { text: title, font: { size: 12 } }, tickfont: { size: 11 }, gridcolor: variable("--line"), zerolinecolor: variable("--line"), linecolor: variable("--soft"),
      showbackground: false, showspikes: false, ...more,
    };
  }
  const scene = (x, y, z, more = {}) => ({ xaxis: x, yaxis: y, zaxis: z, uirevision: "kept", ...more });
  const camera = (name) => ({ eye: CAMERAS[name], center: { x: 0, y: 0, z: -0.12 } });
  const bar = (title, more = {}) => ({
    title: { text: title, side: "right", font: { size: 12 } }, tickfont: { size: 11 }, thickness: 12, len: 0.75, outlinewidth: 0, tickcolor: variable("--soft"), ...more,
  });

  const WORDS = ["name", "text", "hovertemplate"];
  /** The parts of a plot with their words `said`. */
  function worded(part, key) {
    if (typeof part === "string") return WORDS.includes(key) ? said(part) : part;
    if (Array.isArray(part)) return typeof part[0] === "object" && part[0] !== null && !Array.isArray(part[0]) ? part.map((one) => worded(one, key)) : part;
    return part && typeof part === "object" ? Object.fromEntries(Object.entries(part).map(([name, one]) => [name, worded(one, name)])) : part;
  }

  function plot(element, traces, layout) {
    const ink = variable("--ink");
    return Plotly.react(element, worded(traces), worded({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 10, r: 10, t: 30, b: 10 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--soft"), font: { color: ink } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hovermode: "closest", ...layout,
    }), CONFIG);
  }

  /** Make an element: its tag, attributes, and children (elements or text). */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const verdicts = ["supported", "contradicted", "no effect", "undecided"], NS = "http://www.w3.org/2000/svg", FAR = 300;
  /** Interval against the rule, in units of the smallest effect or of half the interval, on a scale that is linear near 0. */
  function against(claim) {
    const flip = claim.wanted === "below" ? -1 : 1, isEffect = claim.smallest_effect !== null;
    const half = claim.low === null || claim.high === null ? null : (claim.high - claim.low) / 2;
    const scaled = (value) => (value === null ? null : isEffect ? (flip * value) / claim.smallest_effect : (flip * (value - claim.threshold)) / (half || Math.abs(claim.estimate - claim.threshold) || 1));
    const at = (value) => 100 + (96 * Math.sign(value) * Math.log1p(Math.min(FAR, Math.abs(value)))) / Math.log1p(FAR);
    const drawing = document.createElementNS(NS, "svg"), colour = colours().verdicts[claim.verdict];
    const add = (tag, attributes) => { const made = document.createElementNS(NS, tag); Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value)); drawing.append(made); };
    drawing.setAttribute("viewBox", "0 0 200 18");
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("aria-hidden", "true");
    if (isEffect) add("rect", { x: at(-1), width: at(1) - at(-1), y: 0, height: 18, fill: variable("--line") });
    else add("rect", { x: 99.3, width: 1.4, y: 0, height: 18, fill: variable("--soft") });
    const ends = [claim.low, claim.high].map(scaled);
    if (!ends.includes(null)) add("rect", { x: Math.min(...ends.map(at)), width: Math.max(1.5, Math.abs(at(ends[1]) - at(ends[0]))), y: 7.5, height: 3, rx: 1.5, fill: colour });
    if (claim.estimate !== null) add("rect", { x: at(scaled(claim.estimate)) - 2, width: 4, y: 4, height: 10, rx: 1.5, fill: colour });
    return drawing;
  }

  /** The claims that the controls of `finding.html` leave: of the kinds chosen, with the text searched for. */
  function matching(form, claims) {
    const given = new FormData(form), kinds = given.getAll("kind"), text = given.get("text").trim().toLowerCase();
    return claims.filter((one) => kinds.includes(one.kind) && `${one.sentence} ${one.id} ${one.quantity}`.toLowerCase().includes(text));
  }
  /** How many there are of each verdict, in words. */
  const counted = (found) => verdicts.map((verdict) => [found.filter((one) => one === verdict).length, verdict]).filter(([n]) => n).map(([n, verdict]) => `${n} ${verdict}`).join(", ");

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
      const head = element("tr", {}, ...columns.map((text) => element("th", { scope: "col" }, said(text))));
      const body = rows().map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, typeof cell === "number" || cell === null ? number(cell, 4) : cell))));
      details.querySelector(".scroll").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    };
    details.ontoggle = fill; // replaces that of the drawing before
    fill();
  }

  /** Register a view: `setUp(data, section)` prepares its controls and returns what draws it, now and at each change. */
  function view(name, setUp) {
    drawings.push({ name, setUp });
  }

  /** Prepare a view, and draw it when it comes near the window; `paint` draws again what was drawn. */
  function begin({ name, setUp }) {
    const section = document.getElementById(name), data = content.views[name], form = section.querySelector("form");
    const note = section.querySelector(".note");
    if (note) note.textContent = data.note || "";
    const redraw = setUp(data, section), drawing = { section, drawn: false, draw: () => { drawing.drawn = true; redraw(); } };
    let waiting = false;
    form.addEventListener("input", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; drawing.draw(); });
    });
    section.addEventListener("submit", (event) => event.preventDefault());
    return drawing;
  }

  function tellHead() {
    const { counts, base } = content.head, short = (key) => (names[key] || key).replace(/ \(.*\)/, "");
    const judged = document.getElementById("claims") ? element("a", { href: "#claims" }, "Claims") : "Claims";
    document.getElementById("counts").replaceChildren(judged, `: ${counts}.`);
    const settings = Object.entries(base).map(([key, value]) => `${short(key)} ${value}`).join(", ");
    document.getElementById("base").textContent = settings && `Base setting: ${settings}.`;
    const texts = document.createTreeWalker(document.getElementById("views"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = said(texts.currentNode.data);
  }

  function start() {
    const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
    const inputs = [...document.querySelectorAll("#theme input")];
    inputs.forEach((input) => { if (stored) input.checked = input.value === stored; });
    let all = [];
    const paint = (forced) => {
      const chosen = forced || inputs.find((input) => input.checked).value;
      root.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
      all.filter((one) => one.drawn || forced).forEach((one) => one.draw());
    };
    document.getElementById("theme").addEventListener("input", (event) => {
      try { localStorage.setItem("theme", event.target.value); } catch { /* a browser may forbid it for files */ }
      paint();
    });
    dark.addEventListener("change", () => paint());
    addEventListener("beforeprint", () => paint("light")); // paper is white, and has all views
    addEventListener("afterprint", () => paint());
    paint();
    tellHead();
    all = drawings.map(begin);
    const near = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting).forEach((one) => {
      near.unobserve(one.target);
      all.find((drawing) => drawing.section === one.target).draw();
    }), { rootMargin: "600px" });
    all.forEach((drawing) => near.observe(drawing.section));
  }

  return {
    look, names, colours, variable, number, percent, interval, log, decades, axis, side, scene, camera, bar, plot, element, said, options,
    choices, table, against, verdicts, matching, counted, view, start, data: (name) => content.views[name],
  };
})();
