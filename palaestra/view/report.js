"use strict";
// Two things: values under the pointer (or the arrow keys) on charts, and the switch "view as".
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // -- charts: every value that is shown is in data-chart already, as [step, x, y, text]
  for (const box of all(".plot")) {
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("role", "status");
    box.append(tip);
    let at = null;

    const chart = () => all("svg.chart", box).find((svg) => svg.getClientRects().length) ?? null;
    const scaleOf = (svg) => svg.viewBox.baseVal.width / svg.getBoundingClientRect().width;
    const stepsOf = (data) =>
      [...new Map(data.lines.flatMap((line) => line.points.map((p) => [p[0], p[1]])))].sort((a, b) => a[0] - b[0]);

    const show = (svg, data, step, x) => {
      const cursor = svg.querySelector(".cursor");
      const found = data.lines.map((line) => [line, line.points.find((p) => p[0] === step)]).filter(([, p]) => p);
      const hair = cursor.querySelector(".hair");
      for (const [name, value] of [["x1", x], ["x2", x], ["y1", data.box[2]], ["y2", data.box[3]]]) {
        hair.setAttribute(name, value);
      }
      all("circle", cursor).forEach((dot) => dot.remove());
      tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: `step ${step}` }));
      for (const [line, point] of found) {
        const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
        for (const [name, value] of [["cx", point[1]], ["cy", point[2]], ["r", 3.5], ["class", `dot ${line.tone}`]]) {
          dot.setAttribute(name, value);
        }
        cursor.append(dot);
        const row = document.createElement("span");
        row.className = line.tone;
        row.textContent = `${line.label} ${point[3]}`.trim();
        tip.append(row);
      }
      cursor.removeAttribute("hidden");
      tip.hidden = false;
      const shown = x / scaleOf(svg);
      const left = shown + 14 + tip.offsetWidth < box.clientWidth ? shown + 14 : shown - 14 - tip.offsetWidth;
      tip.style.left = `${Math.max(0, left)}px`;
    };
    const hide = () => {
      all(".cursor", box).forEach((cursor) => cursor.setAttribute("hidden", ""));
      tip.hidden = true;
      at = null;
    };
    const point = (choose) => {
      const svg = chart();
      if (!svg) return;
      const data = JSON.parse(svg.dataset.chart);
      const steps = stepsOf(data);
      at = Math.max(0, Math.min(steps.length - 1, choose(steps, svg)));
      show(svg, data, ...steps[at]);
    };

    box.addEventListener("pointermove", (event) =>
      point((steps, svg) => {
        const x = (event.clientX - svg.getBoundingClientRect().left) * scaleOf(svg);
        return steps.reduce((best, [, sx], i) => (Math.abs(sx - x) < Math.abs(steps[best][1] - x) ? i : best), 0);
      }));
    box.addEventListener("pointerleave", hide);
    box.addEventListener("blur", hide);
    box.addEventListener("keydown", (event) => {
      const jump = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") hide();
      if (jump === undefined) return;
      event.preventDefault();
      point((steps) => (at ?? (jump < 0 ? steps.length : -1)) + jump);
    });
  }

  // -- view as: what a seat does not know leaves the page, it is not merely painted over
  const taken = new Map();
  const viewAs = (seat) => {
    for (const part of all("[data-seats]")) {
      const knows = seat === "" || JSON.parse(part.dataset.seats).includes(seat);
      if (knows && taken.has(part)) {
        part.replaceChildren(...taken.get(part));
        taken.delete(part);
      } else if (!knows && !taken.has(part)) {
        taken.set(part, [...part.childNodes]);
        part.replaceChildren();
      }
      part.classList.toggle("withheld", !knows);
      if (!knows) part.dataset.note = part.tagName === "LI" ? `${seat} is not told` : "not told";
    }
    document.documentElement.dataset.view = seat || "everyone";
  };
  const showPair = (number) => {
    for (const pair of all(".pair")) pair.hidden = pair.dataset.pair !== number;
  };

  // the address names what is shown, so that it can be pasted: #as=player_0&pair=2
  const read = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const name of ["as", "pair"]) {
      const inputs = all(`input[name="${name}"]`);
      const input = inputs.find((i) => i.value === (wanted.get(name) ?? "")) ?? inputs[0];
      if (!input) continue;
      input.checked = true;
      (name === "as" ? viewAs : showPair)(input.value);
    }
  };
  for (const input of all(".switch input")) {
    input.addEventListener("change", () => {
      const chosen = new URLSearchParams(all(".switch input:checked").map((i) => [i.name, i.value]));
      history.replaceState(null, "", `#${chosen}`);
      read();
    });
  }
  addEventListener("hashchange", read);
  read();

  document.documentElement.dataset.ready = "true";
  document.documentElement.dataset.height = document.documentElement.scrollHeight;
})();
