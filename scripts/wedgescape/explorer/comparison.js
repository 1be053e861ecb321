explorer.view("comparison", (data, section) => {
  const { interval, colours, element, against, choices, matching, counted } = explorer;
  const form = section.querySelector("form"), says = section.querySelector(".readout"), chapters = section.querySelector("[data-part=chapters]");
  const decided = (claim) => new Set(claim.studies.filter((one) => one && one.verdict !== "undecided").map((one) => one.verdict));
  const WHICH = {
    all: ["any verdicts", () => true],
    same: ["one verdict everywhere", (claim) => claim.everywhere !== ""],
    opposite: ["verdicts that disagree", (claim) => decided(claim).size > 1],
    open: ["a study undecided", (claim) => claim.studies.some((one) => one && one.verdict === "undecided")],
  };
  choices(section.querySelector("[data-choice=which]"), "which", Object.entries(WHICH).map(([name, [text]]) => [name, text]), "all");

  function cell(claim, one) {
    if (!one) return element("td", {});
    const verdict = element("span", { class: "verdict", style: `color: ${colours().text[one.verdict]}` }, one.verdict);
    return element("td", { title: `${one.units} independent units` }, verdict, against({ ...claim, ...one }), element("small", {}, interval(one)));
  }
  const row = (claim) => element("tr", { id: `claim-${claim.id}`, class: claim.kind === "check" ? "check" : "" },
    element("th", { scope: "row" }, claim.sentence, element("small", {}, claim.quantity)), ...claim.studies.map((one) => cell(claim, one)));
  const head = () => element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "claim"),
    ...data.names.map((name) => element("th", { scope: "col" }, element("a", { href: `../${encodeURIComponent(name)}/claims.html` }, name)))));

  return () => {
    const [, fits] = WHICH[new FormData(form).get("which")], found = matching(form, data.claims).filter(fits);
    chapters.replaceChildren(...Object.entries(data.families).flatMap(([family, heading]) => {
      const some = found.filter((one) => one.family === family);
      return some.length ? [element("table", {}, element("caption", {}, heading), head(), element("tbody", {}, ...some.map(row)))] : [];
    }));
    const count = counted(found.map((one) => one.everywhere));
    says.textContent = `${found.length} of ${data.claims.length} claims shown; the same in all studies that judged them: ${count || "none"}.`;
  };
});
