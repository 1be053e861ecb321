explorer.view("planes", (data, section) => {
  const { number, log, plot, axis, side, colours } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout");
  const surface = section.querySelector("[data-plot=surface]"), sides = section.querySelector("[data-plot=sides]");
  explorer.choices(section.querySelector("[data-choice=plane]"), "plane", data.planes.map((one) => [one.name, one.title]), data.planes[0].name);
  let stood = "";

  /** The height of the surface at a place, between its grid points. */
  function over(plane, values, [alpha, beta]) {
    const cell = (grid, at) => Math.max(0, Math.min(grid.length - 2, grid.findIndex((value) => value > at) - 1));
    const i = cell(plane.beta, beta), j = cell(plane.alpha, alpha);
    const u = (alpha - plane.alpha[j]) / (plane.alpha[j + 1] - plane.alpha[j]), v = (beta - plane.beta[i]) / (plane.beta[i + 1] - plane.beta[i]);
    return (1 - v) * ((1 - u) * values[i][j] + u * values[i][j + 1]) + v * ((1 - u) * values[i + 1][j] + u * values[i + 1][j + 1]);
  }

  /** What is marked on a plane, as traces; `up` turns (loss, distance, place) into a height. */
  function marks(plane, split, flat, up, lift) {
    const at = colours(), found = [], optima = plane.optima || [], heights = optima.map((one) => up(one.loss[split], 0, one.place));
    const between = (a, b, t) => [0, 1].map((k) => a[k] + t * (b[k] - a[k]));
    (plane.lines || []).forEach((line, place) => {
      const [a, b] = line.ends.map((end) => optima[end].place), places = line.t.map((t) => between(a, b, t));
      found.push({
        type: "scatter3d", mode: "lines", name: "straight line", legendgroup: "line", showlegend: place === 0,
        x: places.map((one) => one[0]), y: places.map((one) => one[1]), z: places.map((one, k) => up(line.loss[split][k], 0, one) + lift),
        line: { color: at.curves.line, width: 6 }, customdata: line.loss[split],
        hovertemplate: `straight line, seeds ${line.ends.map((end) => optima[end].seed).join(" and ")}<br>loss %{customdata:.3g} nats<extra></extra>`,
      });
    });
    if (plane.path) {
      const { place, step, distance } = plane.path;
      found.push({
        type: "scatter3d", mode: "lines+markers", name: "path of the training", x: place.map((one) => one[0]), y: place.map((one) => one[1]),
        z: place.map((one, k) => up(null, distance[k], one)), line: { color: at.curves.line, width: 5 }, marker: { size: 3, color: at.curves.line },
        customdata: step.map((one, k) => [one, distance[k]]), hovertemplate: "step %{customdata[0]}<br>%{customdata[1]:.3g} weights off the plane<extra></extra>",
      });
    }
    if (plane.centre) {
      const { place, distance, loss } = plane.centre;
      optima.forEach((one, k) => found.push({
        type: "scatter3d", mode: "lines", legendgroup: "centre", showlegend: false, hoverinfo: "skip",
        x: [one.place[0], place[0]], y: [one.place[1], place[1]], z: [up(one.loss[split], 0, one.place), up(loss[split], distance, place)],
        line: { color: at.places.centre, width: flat ? 7 : 3, dash: flat ? "solid" : "dot" },
      }));
      found.push({
        type: "scatter3d", mode: "markers", name: "centre of the connector", legendgroup: "centre",
        x: [place[0]], y: [place[1]], z: [up(loss[split], distance, place)],
        marker: { symbol: "diamond", size: 7, color: at.places.centre, line: { color: "#ffffff", width: 1 } },
        hovertemplate: `centre of the connector<br>loss ${number(loss[split])} nats<br>${number(distance)} weights off the plane<extra></extra>`,
      });
    }
    if (optima.length) found.push({
      type: "scatter3d", mode: "markers", name: optima.length > 1 ? "optima" : "optimum", x: optima.map((one) => one.place[0]), y: optima.map((one) => one.place[1]),
      z: heights, text: optima.map((one) => `seed ${one.seed}`),
      marker: { size: 6, color: at.places.optima, line: { color: "#ffffff", width: 1 } }, customdata: optima.map((one) => one.loss[split]),
      hovertemplate: "%{text}<br>loss %{customdata:.3g} nats<extra></extra>",
    });
    // Their names stand on stems, above the surface.
    optima.forEach((one, k) => found.push({
      type: "scatter3d", mode: "lines+text", showlegend: false, hoverinfo: "skip", x: [one.place[0], one.place[0]], y: [one.place[1], one.place[1]],
      z: [heights[k], heights[k] + 20 * lift], text: ["", `<b>seed ${one.seed}</b>`], textposition: "top center", textfont: { size: 13 }, line: { color: at.places.optima, width: 2 },
    }));
    return found;
  }

  /** Sides whose lengths on the page are as those in weight space. */
  function truly(plane) {
    const highest = Math.max(plane.centre?.distance ?? 0, ...(plane.path?.distance ?? [0])), length = (grid) => grid.at(-1) - grid[0];
    const lengths = { x: length(plane.alpha), y: length(plane.beta), z: Math.max(highest * 1.08, 1e-9) }, longest = Math.max(...Object.values(lengths));
    return Object.fromEntries(Object.entries(lengths).map(([name, one]) => [name, Math.max(0.1, (1.15 * one) / longest)]));
  }

  function drawSurface(plane, height, split, from) {
    const losses = log(plane.loss[split]), flat = height === "distance", isScore = height === "score";
    const colour = isScore ? plane.score[split] : losses, ticks = isScore ? {} : explorer.decades(losses);
    const z = flat ? losses.map((row) => row.map(() => 0)) : colour;
    const up = (loss, distance, place) => (flat ? distance : isScore || loss === null ? over(plane, colour, place) : Math.log10(loss));
    const sheet = {
      type: "surface", x: plane.alpha, y: plane.beta, z, surfacecolor: colour, colorscale: explorer.look.scales[isScore ? "score" : "loss"],
      customdata: isScore ? plane.score[split] : plane.loss[split], opacity: 0.9,
      lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.08, roughness: 0.8 }, contours: flat || isScore ? {} : {
        z: { show: true, color: "rgba(255,255,255,0.35)", width: 1, start: -8, end: 6, size: 0.5, highlight: false } },
      hovertemplate: `α %{x:.3g}, β %{y:.3g}<br>${isScore ? "accuracy" : "loss"} %{customdata:.3g}${isScore ? "" : " nats"}<extra></extra>`,
      colorbar: explorer.bar(isScore ? `${split} accuracy` : `${split} loss (nats)`, { ...ticks, x: 1.0 }),
    };
    const vertical = flat ? side("off the plane (weights)", { rangemode: "tozero", nticks: 4 }) : side(isScore ? "accuracy" : "loss (nats)", ticks);
    const known = colour.flat().filter((value) => value !== null), lift = flat ? 0.05 : 0.012 * (Math.max(...known) - Math.min(...known));
    const place = `${plane.name} ${height} ${from}`, moved = stood !== place ? { camera: explorer.camera(from) } : {};
    stood = place;
    plot(surface, [sheet, ...marks(plane, split, flat, up, lift)], {
      margin: { l: 0, r: 0, t: 30, b: 0 },
      scene: explorer.scene(side("α (weights)"), side("β (weights)"), vertical,
        { aspectmode: "manual", aspectratio: flat ? truly(plane) : { x: 1.15, y: 1.15, z: 0.7 }, uirevision: place, ...moved }),
    });
  }

  function drawSides(plane, split) {
    const looks = ["solid", "dash", "dot"], traces = plane.lines.map((line, k) => ({
      x: line.t, y: line.loss[split], mode: "lines", name: `seeds ${line.ends.map((end) => plane.optima[end].seed).join(", ")}`,
      line: { color: colours().curves.line, dash: looks[k], width: 2 }, hovertemplate: "t %{x:.3g}<br>loss %{y:.3g} nats<extra>%{fullData.name}</extra>",
    }));
    const low = plane.centre.loss[split];
    traces.push({ x: [0, 1], y: [low, low], mode: "lines", name: "centre of the connector", line: { color: colours().places.centre, width: 2 }, hovertemplate: "centre of the connector<br>loss %{y:.3g} nats<extra></extra>" });
    plot(sides, traces, { xaxis: axis("position t on the straight line"), yaxis: axis(`${split} loss (nats)`, { type: "log", dtick: 1 }) });
  }

  return () => {
    const { plane: name, height, split, from } = Object.fromEntries(new FormData(form));
    const plane = data.planes.find((one) => one.name === name);
    drawSurface(plane, height, split, from);
    const hasLines = Boolean(plane.lines);
    sides.parentElement.hidden = !hasLines;
    section.querySelector(".plots").classList.toggle("one", !hasLines);
    section.querySelector("details").hidden = !hasLines;
    if (hasLines) {
      drawSides(plane, split);
      const barriers = plane.lines.map((line) => line.barrier[split]), centre = plane.centre;
      says.textContent = explorer.said(`On straight lines the ${split} loss rises by ${number(Math.min(...barriers))} to ${number(Math.max(...barriers))} nats. ` +
        `The connector's centre, ${number(centre.distance)} weights off the plane, has ${number(centre.loss[split])} nats.`);
      explorer.table(section.querySelector("details"), ["t", ...plane.lines.map((line) => `loss, seeds ${line.ends.map((end) => plane.optima[end].seed).join(" and ")} (nats)`)],
        () => plane.lines[0].t.map((t, k) => [t, ...plane.lines.map((line) => line.loss[split][k])]));
    } else {
      const known = plane.loss[split].flat().filter((value) => value !== null);
      says.textContent = explorer.said(`The ${split} loss goes from ${number(Math.min(...known))} to ${number(Math.max(...known))} nats on this plane.` +
        (plane.path ? ` The plane holds ${explorer.percent(plane.path.share)} of the path's variance; on the surface the path is drawn at the surface's height.` : ""));
    }
    Plotly.Plots.resize(surface);
    section.querySelector(".note").textContent = plane.note;
  };
});
