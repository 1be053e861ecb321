explorer.view("claims", (data, section) => {
  const { number, percent, interval, colours, element, against, verdicts, matching, counted } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), chapters = section.querySelector("[data-part=chapters]"), open = new Set();
  for (const verdict of verdicts) {
    const input = element("input", { type: "checkbox", name: "verdict", value: verdict });
    input.checked = true;
    section.querySelector("[data-choice=verdicts]").append(element("label", {}, input, ` ${verdict}`));
  }

  const link = (path) => element("a", { href: path.split("/").map(encodeURIComponent).join("/") }, path);
  function links(paths) {
    const list = (some) => some.flatMap((path, k) => (k ? [", ", link(path)] : [link(path)]));
    if (paths.length <= 4) return list(paths);
    return [element("details", {}, element("summary", {}, `${paths.length} stores`), element("span", {}, ...list(paths)))];
  }

  function details(claim) {
    const from = data.files[claim.from], list = element("dl");
    const say = (name, ...content) => { if (content.length && content[0] !== "") list.append(element("dt", {}, name), element("dd", {}, ...content)); };
    say("quantity", claim.quantity);
    say("estimate", `${interval(claim)}, ${claim.units} independent units (${claim.unit})`);
    say("rule", claim.rule);
    say("verdict", `${claim.verdict}: ${claim.reason}`);
    say("p", `${number(claim.p)} alone, ${number(claim.p_family)} within its chapter`);
    say("control", claim.control);
    say("left out", claim.left_out ? `${claim.left_out} runs that diverged or do not fit` : "");
    say("on fresh seeds", claim.confirmed);
    if (claim.quote) say("the paper says", `“${claim.quote}”`);
    if (claim.robust !== null) {
      const button = element("button", { type: "button", class: "inline" }, "show the specification curve");
      button.addEventListener("click", () => show(claim.id));
      say("robust", `${percent(claim.robust)} of all specifications give the same verdict `, ...(document.getElementById("specifications") ? [button] : []));
    }
    say("figure", ...links(from.figures));
    say("table", ...links(from.tables));
    say("stores", ...links(from.stores));
    return list;
  }

  function show(id) {
    const select = document.getElementById("specifications-claim");
    select.value = id;
    select.form.dispatchEvent(new Event("input"));
    document.getElementById("specifications").scrollIntoView();
    select.focus({ preventScroll: true });
  }

  function rows(claim) {
    const id = `claim-${claim.id}`, button = element("button", { type: "button", class: "claim", "aria-expanded": open.has(claim.id), "aria-controls": `${id}-more` }, claim.sentence);
    const more = element("tr", { class: "more", id: `${id}-more` }, element("td", { colspan: 5 }));
    const fill = () => { more.hidden = !open.has(claim.id); if (!more.hidden) more.firstChild.replaceChildren(details(claim)); };
    button.addEventListener("click", () => {
      if (!open.delete(claim.id)) open.add(claim.id);
      button.setAttribute("aria-expanded", open.has(claim.id));
      fill();
    });
    fill();
    const cells = [button, element("span", { class: "verdict", style: `color: ${colours().text[claim.verdict]}` }, claim.verdict), against(claim), interval(claim), claim.robust === null ? "" : percent(claim.robust)];
    return [element("tr", { id, class: claim.kind === "check" ? "check" : "" }, ...cells.map((cell) => element("td", {}, cell))), more];
  }

  return () => {
    const wanted = new FormData(form).getAll("verdict"), found = matching(form, data.claims).filter((one) => wanted.includes(one.verdict));
    const head = () => element("thead", {}, element("tr", {}, ...[["claim", ""], ["verdict", "of-verdict"], ["interval against the rule", "of-bar"], ["estimate (interval)", "of-estimate"], ["robust", "of-robust"]].map(([name, kind]) => element("th", { scope: "col", class: kind }, name))));
    chapters.replaceChildren(...Object.entries(data.families).flatMap(([family, heading]) => {
      const some = found.filter((one) => one.family === family);
      if (!some.length) return [];
      const count = counted(some.map((one) => one.verdict));
      return [element("table", {}, element("caption", {}, heading, element("span", {}, count)), head(), element("tbody", {}, ...some.flatMap(rows)))];
    }));
    says.textContent = `${found.length} of ${data.claims.length} claims shown.`;
  };
});
