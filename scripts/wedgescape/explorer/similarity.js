// Matrices over pairs of networks: seeds of a setting, members of methods.
explorer.matrices = (data, section) => {
  const { number, plot, axis, look } = explorer, form = section.querySelector("form"), says = section.querySelector(".readout"), matrix = section.querySelector("[data-plot=matrix]");
  explorer.options(form.elements.setting, data.settings.map((one, k) => [k, one.label]), 0);
  form.elements.setting.parentElement.hidden = data.settings.length < 2;
  explorer.options(form.elements.measure, Object.entries(data.measures), "disagreement");

  /** The end of each measure's scale, the same at every setting, so that settings can be compared. */
  const largest = (measure) => Math.max(...data.settings.flatMap((one) => one.matrices[measure].flat()).filter((value) => value !== null));
  const smallest = (measure) => Math.min(...data.settings.flatMap((one) => one.matrices[measure].flat()).filter((value) => value !== null));

  return () => {
    const one = data.settings[Number(form.elements.setting.value)], measure = form.elements.measure.value, values = one.matrices[measure];
    const isCosine = measure === "weight_cosine", isAlike = measure === "probability_cosine", size = one.names.length;
    const scale = isCosine ? { colorscale: look.scales.correlation, zmin: -1, zmax: 1 } : isAlike ? { colorscale: [...look.scales.difference].reverse().map(([at, colour]) => [1 - at, colour]), zmin: smallest(measure), zmax: 1 } : { colorscale: look.scales.difference, zmin: 0, zmax: largest(measure) };
    matrix.style.height = `${Math.max(26, Math.min(44, 10 + 1.5 * size))}rem`;
    plot(matrix, [{
      type: "heatmap", x: one.names, y: one.names, z: values, ...scale, xgap: 1, ygap: 1, colorbar: explorer.bar(data.measures[measure], { x: 1.01, xpad: 4 }), hoverongaps: false,
      hovertemplate: `%{y} and %{x}<br>%{z:.4g}<extra>${measure.replaceAll("_", " ")}</extra>`,
    }], {
      xaxis: axis("", { tickangle: size > 8 ? -60 : 0, showgrid: false, ticks: "", constrain: "domain", tickfont: { size: 11 } }),
      yaxis: axis("", { autorange: "reversed", scaleanchor: "x", showgrid: false, ticks: "", constrain: "domain", tickfont: { size: 11 } }),
    });
    const pairs = values.flatMap((row, k) => row.slice(k + 1)).filter((value) => value !== null), mean = pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
    says.textContent = explorer.said(pairs.length ? `${data.measures[measure]}, ${one.label}: ${number(mean)} on average over ${pairs.length} pairs, from ${number(Math.min(...pairs))} to ${number(Math.max(...pairs))}.` : "No pair has a value.");
    Plotly.Plots.resize(matrix);
    explorer.table(section.querySelector("details"), ["", ...one.names], () => one.names.map((name, k) => [name, ...values[k]]));
  };
};
explorer.view("similarity", explorer.matrices);
