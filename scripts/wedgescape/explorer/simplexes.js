explorer.view("simplexes", (data, section) => {
  const { number, percent, plot, axis, side, colours, variable } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), slider = form.elements.bound;
  const triangle = section.querySelector("[data-plot=triangle]"), regions = section.querySelector("[data-plot=regions]");
  const REGIONS = { uniform: "uniform", faces: "near faces", vertices: "near vertices", edges: "on edges" };
  const KINDS = { optima: "optima", random: "null: random vertices", initialisation: "null: initialisations" };
  const SURFACES = { hull: ["linear hull", "centroid"], simplex: ["simplex", "centre"] };
  explorer.choices(section.querySelector("[data-choice=size]"), "size", data.sizes.map((size) => [String(size), String(size)]), String(data.sizes.includes(3) ? 3 : data.sizes[0]));
  slider.max = data.bounds.length - 1;
  slider.value = data.bounds.length - 1;
  let stood = "";

  function drawTriangle(shown, from) {
    const { place, loss, seeds, weights } = data.triangle, logs = Object.fromEntries(Object.entries(loss).map(([name, values]) => [name, explorer.log(values)]));
    const known = Object.values(logs).flat().filter((one) => one !== null), range = { cmin: Math.min(...known), cmax: Math.max(...known) };
    const x = place.map((one) => one[0]), y = place.map((one) => one[1]), traces = shown.map((name, k) => ({
      type: "mesh3d", x, y, z: logs[name], intensity: logs[name], colorscale: explorer.look.scales.loss, ...range, delaunayaxis: "z", opacity: name === "hull" ? 0.85 : 1, showscale: k === 0,
      lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.05 }, customdata: weights.map((one, at) => [...one, loss[name][at]]),
      hovertemplate: `${SURFACES[name][0]}<br>weights of the optima %{customdata[0]:.2f}, %{customdata[1]:.2f}, %{customdata[2]:.2f}<br>loss %{customdata[3]:.3g} nats<extra></extra>`,
      colorbar: explorer.bar("training loss (nats)", explorer.decades(known)),
    }));
    const corners = [0, 1, 2].map((k) => weights.findIndex((one) => one[k] === 1));
    for (const name of shown)
      for (const missing of [0, 1, 2]) {
        const [first, second] = [0, 1, 2].filter((k) => k !== missing);
        const on = place.map((_, k) => k).filter((k) => weights[k][missing] === 0).sort((a, b) => weights[a][second] - weights[b][second]);
        traces.push({ type: "scatter3d", mode: "lines", x: on.map((k) => x[k]), y: on.map((k) => y[k]), z: on.map((k) => logs[name][k]), line: { color: colours().places[SURFACES[name][1]], width: 4 }, hoverinfo: "skip", name: SURFACES[name][0], legendgroup: name, showlegend: first === 0 && second === 1 });
      }
    if (shown.length) traces.push({
      type: "scatter3d", mode: "markers+text", name: "optima", x: corners.map((k) => x[k]), y: corners.map((k) => y[k]), z: corners.map((k) => logs[shown[0]][k]), text: seeds.map((seed) => `seed ${seed}`), textposition: "bottom center",
      marker: { size: 6, color: colours().places.optima, line: { color: "#ffffff", width: 1 } }, hovertemplate: "%{text}<extra></extra>",
    });
    const none = { showticklabels: false, showgrid: false, zeroline: false, showline: false }, moved = stood !== from ? { camera: explorer.camera(from) } : {};
    stood = from;
    plot(triangle, traces, {
      margin: { l: 0, r: 0, t: 30, b: 0 },
      scene: explorer.scene(side("", none), side("", none), side("loss (nats)", { ...explorer.decades(known), range: [range.cmin - 0.2, range.cmax + 0.1] }), { aspectmode: "manual", aspectratio: { x: 1.2, y: 1.04, z: 0.8 }, uirevision: from, ...moved }),
    });
  }

  /** Dots of one kind of vertices at one bound, spread over the width of a region in their order. */
  function dots(losses, kind, place, looks, members) {
    const x = [], y = [], text = [];
    data.regions.forEach((region, r) => losses[r].forEach((some, set) => some.forEach((loss, k) => {
      if (loss === null) return;
      x.push(r + 0.24 * (place - 1) + 0.17 * ((set + (k + 0.5) / some.length) / losses[r].length - 0.5));
      y.push(loss);
      text.push(`${REGIONS[region]}, set ${set + 1}${kind === "optima" ? `: seeds ${members[set].join(", ")}` : ""}`);
    })));
    return { x, y, text, mode: "markers", name: KINDS[kind], marker: { size: 4.5, opacity: 0.65, ...looks }, hovertemplate: "%{text}<br>loss %{y:.3g} nats<extra></extra>" };
  }

  function share(losses, thresholds) {
    let low = 0, all = 0;
    losses.forEach((some, set) => some.forEach((loss) => { if (loss !== null) { all += 1; low += loss <= thresholds[set]; } }));
    return all ? low / all : null;
  }

  return () => {
    const given = Object.fromEntries(new FormData(form)), m = data.sizes.indexOf(Number(given.size)), bound = Number(slider.value);
    form.querySelector("output").textContent = number(data.bounds[bound]);
    slider.setAttribute("aria-valuetext", `bound ${number(data.bounds[bound])}`);
    triangle.parentElement.hidden = !data.triangle;
    if (data.triangle) drawTriangle(["hull", "simplex"].filter((name) => form.elements[name].checked), given.from);
    const at = colours(), colour = { optima: at.places.centre, random: at.places.random, initialisation: at.places.initialisation };
    const symbols = { optima: "circle", random: "x-thin", initialisation: "cross-thin" };
    const traces = data.kinds.map((kind, k) => dots(data.loss[m][k][bound], kind, k, { color: colour[kind], symbol: symbols[kind], line: { color: colour[kind], width: kind === "optima" ? 0 : 1 } }, data.members[m])).filter((one) => one.x.length);
    const all = data.loss[m].flat(Infinity).filter((loss) => loss > 0), threshold = data.threshold[m].reduce((sum, one) => sum + one, 0) / data.threshold[m].length;
    plot(regions, traces, {
      showlegend: true, xaxis: axis("", { tickmode: "array", tickvals: data.regions.map((_, k) => k), ticktext: data.regions.map((one) => REGIONS[one]), range: [-0.5, data.regions.length - 0.5], showgrid: false }),
      yaxis: axis("training loss (nats)", { type: "log", dtick: 1, range: [Math.log10(Math.min(...all)) - 0.1, Math.log10(Math.max(...all)) + 0.1] }),
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: threshold, y1: threshold, line: { color: variable("--soft"), width: 1.5, dash: "dash" } }],
      annotations: [{ xref: "paper", x: 1, y: Math.log10(threshold), yref: "y", text: "low is below", showarrow: false, xanchor: "right", yanchor: "bottom", font: { size: 11, color: variable("--soft") } }],
    });
    const shares = data.regions.map((_, r) => share(data.loss[m][0][bound][r], data.threshold[m]));
    const parts = data.regions.map((region, r) => `${REGIONS[region]} ${shares[r] === null ? "–" : percent(shares[r])}`);
    says.textContent = explorer.said(`Through m = ${data.sizes[m]} optima at bound ${number(data.bounds[bound])}, the share of low positions is: ${parts.join(", ")}. All regions are low from ${percent(data.low_share)} on.`);
    explorer.table(section.querySelector("details"), ["m", "vertices", "bound", ...data.regions.map((one) => REGIONS[one])],
      () => data.sizes.flatMap((size, a) => data.kinds.flatMap((kind, b) => data.bounds.map((one, c) => [String(size), KINDS[kind], number(one), ...data.regions.map((_, r) => { const found = share(data.loss[a][b][c][r], data.threshold[a]); return found === null ? "–" : percent(found); })]))));
  };
});
