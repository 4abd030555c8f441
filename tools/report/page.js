"use strict";
// Values under the pointer, a panel's numbers as CSV, and a panel over the whole width.
(() => {
  const read = document.createElement("div");
  read.id = "read";
  read.hidden = true;
  document.body.append(read);
  const text = v => v === null ? "–" : String(+v.toPrecision(4)).replace("-", "−");
  const scaled = (v, axis) => axis[2] ? Math.log(v / axis[0]) / Math.log(axis[1] / axis[0])
    : (v - axis[0]) / (axis[1] - axis[0]);
  const nearest = (list, at, place) => list.reduce((best, v, i) =>
    v !== null && Math.abs(place(v) - at) < Math.abs(place(list[best]) - at) ? i : best, 0);

  // Lines to show for a place inside the axes, both coordinates from 0 to 1.
  const lines = (data, u, v) => {
    const x = w => scaled(w, data.x), y = w => scaled(w, data.y);
    if (data.m) {
      const [xs, ys, rows, label] = data.m, i = nearest(xs, u, x), j = nearest(ys, v, y);
      return [`${data.n[0]}: ${text(xs[i])}`, `${data.n[1]}: ${text(ys[j])}`,
              `${label}: ${text(rows[j][i])}`];
    }
    const near = data.s.map(([name, xs, ys, errors]) => {
      const i = nearest(xs, u, x);
      return {name, x: xs[i], y: ys[i], error: errors && errors[i], off: Math.abs(x(xs[i]) - u),
              apart: ys[i] === null ? 9 : Math.abs(y(ys[i]) - v)};
    });
    const least = Math.min(...near.map(p => p.off));
    const shown = near.filter(p => p.off < Math.max(0.03, 1.5 * least))
      .sort((a, b) => a.apart - b.apart).slice(0, 8);
    return [`${data.n[0]}: ${text(shown[0].x)}`, ...shown.map(p =>
      `${p.name}: ${text(p.y)}${p.error ? " ± " + text(p.error) : ""}`)];
  };

  const csv = data => {
    const quote = s => /[",\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;
    const rows = data.m
      ? [[data.n[0], data.n[1], data.m[3]],
         ...data.m[1].flatMap((y, j) => data.m[0].map((x, i) => [x, y, data.m[2][j][i]]))]
      : [["series", data.n[0], data.n[1] || data.t, "bar"],
         ...data.s.flatMap(([name, xs, ys, e]) => xs.map((x, i) => [name, x, ys[i], e ? e[i] : ""]))];
    return rows.map(row => row.map(c => c === null ? "" : quote(String(c))).join(",")).join("\n") + "\n";
  };

  const save = (data, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(data)], {type: "text/csv"}));
    link.download = name.replace(/[^\w.-]+/g, "_") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  for (const panel of document.querySelectorAll(".panel")) {
    const svg = panel.querySelector("svg.plot"), json = panel.querySelector("script");
    const tools = document.createElement("div");
    tools.className = "tools";
    const button = (name, label, action) => {
      const b = document.createElement("button");
      b.className = name;
      b.title = name;
      b.textContent = label;
      b.addEventListener("click", action);
      tools.append(b);
    };
    if (json) {
      const data = JSON.parse(json.textContent), section = panel.closest("section");
      button("save", "CSV", () => save(data, `${section.id}_${data.t || data.n[1] || data.n[0]}`));
      const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
      cursor.setAttribute("class", "cursor");
      svg.addEventListener("pointermove", event => {
        const box = svg.getBoundingClientRect(), size = svg.viewBox.baseVal;
        const px = (event.clientX - box.left) * size.width / box.width;
        const py = (event.clientY - box.top) * size.height / box.height;
        const [x0, y0, x1, y1] = data.b;
        const inside = px >= x0 && px <= x1 && py >= y0 && py <= y1;
        read.hidden = !inside;
        if (!inside) { cursor.remove(); return; }
        read.replaceChildren(...lines(data, (px - x0) / (x1 - x0), (y1 - py) / (y1 - y0)).map(line => {
          const row = document.createElement("div");
          row.textContent = line;
          return row;
        }));
        const left = event.clientX + 14;
        read.style.left = Math.min(left, innerWidth - read.offsetWidth - 8) + "px";
        read.style.top = Math.min(event.clientY + 14, innerHeight - read.offsetHeight - 8) + "px";
        for (const [key, value] of [["x1", px], ["x2", px], ["y1", y0], ["y2", y1]])
          cursor.setAttribute(key, value);
        svg.append(cursor);
      });
      svg.addEventListener("pointerleave", () => { read.hidden = true; cursor.remove(); });
    }
    button("enlarge", "⤢", () => panel.classList.toggle("large"));
    panel.prepend(tools);
  }
})();
