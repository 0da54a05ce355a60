// Sorts a table by a column whose head is clicked; everything on the page is there without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 3) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "Sort by this column";
    button.textContent = "\u2195";
    button.setAttribute("aria-label", `Sort by ${head.textContent.trim()}`);
    button.addEventListener("click", () => {
      const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const key = row => {
        const cell = row.cells[column], value = parseFloat(cell.dataset.value);
        return column === 0 ? cell.querySelector(".name").textContent : Number.isNaN(value) ? turn * Infinity : value;
      };
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
      [...body.rows]
        .map(row => [key(row), row])
        .sort(([a], [b]) => turn * (a < b ? -1 : a > b ? 1 : 0))
        .forEach(([, row]) => body.append(row));
    });
    head.append(button);
  });
}
