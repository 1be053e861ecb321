// Widths of tunnels for any threshold, from the rays' profiles: here and in the specification curves.
explorer.tunnels = (() => {
  const data = explorer.data("tunnels"), known = new Map();
  if (!data) return null;

  /** The angle at which a ray first leaves, between the angles at which it was looked at; 90 degrees where it never does. */
  function crossing(at, values, isScore, fraction) {
    const rest = values[0];
    if (rest === undefined || rest === null) return null;
    const edge = isScore ? fraction * rest : rest + fraction * (data.chance - rest);
    const inside = (value) => (isScore ? value >= edge : value <= edge);
    const last = values.findIndex((value) => !inside(value));
    if (last < 1) return last === 0 ? 0 : data.angles.at(-1);
    const [before, after] = [data.angles[at[last - 1]], data.angles[at[last]]];
    return before + ((values[last - 1] - edge) / (values[last - 1] - values[last])) * (after - before);
  }

  /** Mean angular width of each seed's network over its rays: {seed: degrees}, optima alone. */
  function widths(network, quantity, fraction) {
    const key = `${network} ${quantity} ${fraction}`;
    if (!known.has(key)) {
      const { seeds, fit, at, [quantity]: values } = data.networks[network];
      known.set(key, Object.fromEntries(seeds.flatMap((seed, k) => {
        const angles = at[k].map((places, u) => crossing(places, values[k][u], quantity === "score", fraction));
        return !fit[k] || angles.includes(null) ? [] : [[seed, angles.reduce((sum, one) => sum + one, 0) / angles.length]];
      })));
    }
    return known.get(key);
  }

  /** Mean of numbers, one per seed, with Student's t interval. */
  function mean(values) {
    const n = values.length, estimate = n ? values.reduce((sum, one) => sum + one, 0) / n : null;
    if (n < 2) return { estimate, low: null, high: null, units: n };
    const error = Math.sqrt(values.reduce((sum, one) => sum + (one - estimate) ** 2, 0) / (n - 1) / n), reach = data.reach[n - 2] * error;
    return { estimate, low: estimate - reach, high: estimate + reach, units: n };
  }

  /** By how much the tunnels of the second networks are wider, seed by seed. */
  function change(compared, quantity, fraction) {
    const from = widths(compared.from, quantity, fraction), to = widths(compared.to, quantity, fraction);
    return mean(Object.keys(to).filter((seed) => seed in from).map((seed) => to[seed] - from[seed]));
  }

  const words = (quantity) => (quantity === "score" ? "A tunnel ends where the accuracy falls below this share of the optimum's" : "A tunnel ends where the loss has risen by this share of the way to chance");
  return { data, crossing, widths, mean, change, words };
})();

explorer.view("tunnels", (data, section) => {
  const { number, percent, interval, plot, axis, colours, names, variable } = explorer, { widths, mean, words } = explorer.tunnels;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), fraction = form.elements.fraction;
  const rays = section.querySelector("[data-plot=rays]"), against = section.querySelector("[data-plot=widths]");
  const kinds = Object.keys(data.sweeps[0].networks);
  explorer.choices(section.querySelector("[data-choice=kind]"), "kind", kinds.map((kind) => [kind, kind]), kinds[0]);
  const atBase = (sweep) => Math.max(0, sweep.values.findIndex((value) => value === sweep.base));
  const sliders = data.sweeps.map((sweep) => {
    const input = explorer.element("input", { type: "range", id: `tunnels-${sweep.key}`, min: 0, max: sweep.values.length - 1, step: 1 });
    input.value = atBase(sweep);
    const label = explorer.element("label", { for: input.id }, `${names[sweep.key] || sweep.key} `, explorer.element("output"));
    section.querySelector("[data-choice=sweeps]").append(explorer.element("div", { class: "slider" }, label, input));
    return input;
  });
  let moved = 0, quantity = "";
  sliders.forEach((slider, k) => slider.addEventListener("input", () => {
    moved = k;
    sliders.forEach((other, at) => { if (at !== k) other.value = atBase(data.sweeps[at]); });
  }));

  function drawRays(network, colour, threshold) {
    const { seeds, fit, at, [quantity]: values, loss, score } = data.networks[network], x = [], y = [], seen = [];
    const columns = data.angles.map(() => []);
    seeds.forEach((seed, k) => values[k].forEach((ray, u) => {
      ray.forEach((value, place) => {
        x.push(data.angles[at[k][u][place]]);
        y.push(value);
        seen.push([seed, u + 1, loss[k][u][place], score[k][u][place], fit[k] ? "" : "<br>no optimum: it does not fit"]);
        columns[at[k][u][place]].push(value);
      });
      x.push(null); y.push(null); seen.push(null);
    }));
    // The median over rays, at the angles at which nearly all of them were looked at.
    const all = values.flat().filter((ray) => ray.length).length, full = columns.map((column, place) => [column.sort((a, b) => a - b), data.angles[place]]).filter(([column]) => column.length > 0.98 * all);
    const reached = mean(Object.values(widths(network, quantity, threshold)));
    const edges = values.filter((one) => one[0].length).map((one) => (quantity === "score" ? threshold * one[0][0] : one[0][0] + threshold * (data.chance - one[0][0])));
    const edge = edges.reduce((sum, one) => sum + one, 0) / edges.length, line = { color: variable("--ink"), width: 1.5, dash: "dash" };
    const isLog = quantity === "loss";
    plot(rays, [
      { x, y, customdata: seen, mode: "lines", name: "each ray", line: { color: colour, width: 1 }, opacity: 0.3,
        hovertemplate: "seed %{customdata[0]}, ray %{customdata[1]}<br>%{x:.3g}°<br>loss %{customdata[2]:.3g} nats<br>accuracy %{customdata[3]:.3g}%{customdata[4]}<extra></extra>" },
      { x: full.map(([, angle]) => angle), y: full.map(([column]) => column[Math.floor(column.length / 2)]), mode: "lines", name: "median", line: { color: colour, width: 4 }, hovertemplate: "median over rays<br>%{x:.3g}°: %{y:.3g}<extra></extra>" },
      { x: [0, data.angles.at(-1)], y: [edge, edge], mode: "lines", name: "threshold", line, hovertemplate: "threshold %{y:.3g}<extra></extra>" },
    ], {
      xaxis: axis("angle from the optimum (degrees)", { range: [0, 91], dtick: 15 }),
      yaxis: axis(isLog ? "training loss (nats)" : "training accuracy", isLog ? { type: "log", dtick: 1 } : { rangemode: "tozero" }),
      shapes: reached.estimate === null ? [] : [{ type: "line", x0: reached.estimate, x1: reached.estimate, yref: "paper", y0: 0, y1: 1, line: { ...line, dash: "dot" } }],
    });
    return reached;
  }

  function drawWidths(sweep, kind, chosen, colour, threshold) {
    const found = sweep.networks[kind].map((network) => widths(network, quantity, threshold)), means = found.map((one) => mean(Object.values(one)));
    const x = [], y = [], seen = [];
    found.forEach((one, k) => Object.entries(one).forEach(([seed, width], place, all) => {
      x.push(k + (all.length > 1 ? 0.28 * (place / (all.length - 1) - 0.5) : 0));
      y.push(width);
      seen.push(seed);
    }));
    const known = means.map((one) => ({ ...one, reach: one.low === null ? 0 : one.estimate - one.low })), base = sweep.values.indexOf(sweep.base);
    plot(against, [
      { x, y, customdata: seen, mode: "markers", name: "each seed", marker: { color: colour, size: 5, opacity: 0.5 }, hovertemplate: "seed %{customdata}<br>%{y:.3g}°<extra></extra>" },
      { x: known.map((_, k) => k), y: known.map((one) => one.estimate), mode: "lines+markers", name: `mean, ${percent(data.confidence)} interval`, line: { color: colour, width: 1.5 },
        error_y: { type: "data", array: known.map((one) => one.reach), color: colour, thickness: 2, width: 5 }, marker: { color: colour, size: known.map((_, k) => (k === chosen ? 14 : 8)), symbol: "diamond", line: { color: variable("--ink"), width: known.map((_, k) => (k === chosen ? 2 : 0)) } },
        customdata: known.map((one) => [number(one.low), number(one.high), one.units]), hovertemplate: "mean %{y:.3g}°<br>%{customdata[0]} … %{customdata[1]}<br>%{customdata[2]} seeds<extra></extra>" },
    ], {
      xaxis: axis(names[sweep.key] || sweep.key, { tickmode: "array", tickvals: sweep.values.map((_, k) => k), ticktext: sweep.values.map((value, k) => (k === base ? `<b>${value}</b><br>base` : String(value))), range: [-0.5, sweep.values.length - 0.5], showgrid: false }),
      yaxis: axis("angular width (degrees)"),
    });
  }

  return () => {
    const given = Object.fromEntries(new FormData(form)), sweep = data.sweeps[moved], chosen = Number(sliders[moved].value);
    if (quantity !== given.quantity) {
      quantity = given.quantity;
      fraction.value = data.fractions[quantity];
    }
    const threshold = Number(fraction.value), network = sweep.networks[given.kind]?.[chosen], colour = colours().sweeps[sweep.key];
    form.querySelector("[for=tunnels-fraction] span").textContent = words(quantity);
    form.querySelector("[for=tunnels-fraction] output").textContent = percent(threshold);
    sliders.forEach((slider, k) => {
      const text = String(data.sweeps[k].values[slider.value]);
      slider.labels[0].querySelector("output").textContent = text;
      slider.setAttribute("aria-valuetext", text);
      slider.closest(".slider").classList.toggle("moved", k === moved);
    });
    const has = network !== undefined;
    for (const one of [rays, against]) one.hidden = !has;
    const name = `${names[sweep.key] || sweep.key} ${sweep.values[chosen]}`;
    if (!has) {
      says.textContent = explorer.said(`The study has no networks ${given.kind} at ${name}.`);
      return;
    }
    const reached = drawRays(network, colour, threshold);
    drawWidths(sweep, given.kind, chosen, colour, threshold);
    says.textContent = explorer.said(`At ${name}, tunnels are ${interval(reached)} degrees wide, mean over ${reached.units} seeds with its ${percent(data.confidence)} interval.`);
    explorer.table(section.querySelector("details"), ["hyperparameter", "value", "networks", "angular width (degrees)", "low", "high", "seeds"],
      () => data.sweeps.flatMap((one) => Object.entries(one.networks).flatMap(([kind, some]) => some.map((id, k) => { const found = mean(Object.values(widths(id, quantity, threshold))); return [names[one.key] || one.key, String(one.values[k]), kind, found.estimate, found.low, found.high, String(found.units)]; }))));
  };
});
