/* A canvas to paint a hole on: by mouse, finger, or keyboard (arrows move the brush, space paints, backspace erases).
   `view.rows`, `view.columns`: of the grid of cells. `view.picture(pen, width, height)` draws what lies below.
   `view.cells()`: the grid, 1 where painted. `view.veil()`: likewise, where the picture is hatched; or nothing.
   `view.put(cell, on)` takes a painted or erased cell; `view.begin()`, `view.done()`: before and after a stroke.
   Returns {draw, brush}: brush.radius in cells, brush.erase. */
function holeCanvas(canvas, view) {
  const pen = canvas.getContext("2d"), brush = {radius: 7, erase: false, at: null, keys: false};
  const hatch = document.createElement("canvas"), line = hatch.getContext("2d");
  hatch.width = hatch.height = 10;
  line.fillStyle = "rgb(140 143 150 / .78)";
  line.fillRect(0, 0, 10, 10);
  line.strokeStyle = "rgb(235 236 240 / .55)";
  line.lineWidth = 2;
  for (const shift of [-10, 0, 10]) { line.moveTo(shift - 2, 12); line.lineTo(shift + 12, -2); }
  line.stroke();
  const hatching = pen.createPattern(hatch, "repeat");

  const fill = (grid, style) => {  // runs of cells in a row as one rectangle
    pen.fillStyle = style;
    const wide = canvas.width / view.columns, high = canvas.height / view.rows;
    for (let row = 0; row < view.rows; row++)
      for (let from = 0, to; from < view.columns; from = to + 1) {
        for (to = from; to < view.columns && grid[row * view.columns + to]; to++);
        if (to > from) pen.fillRect(from * wide, row * high, (to - from) * wide, high);
      }
  };
  const draw = () => {
    pen.imageSmoothingEnabled = false;
    view.picture(pen, canvas.width, canvas.height);
    const veil = view.veil && view.veil();
    if (veil) fill(veil, hatching);
    fill(view.cells(), "rgb(255 0 110 / .55)");
    if (!brush.at) return;
    const wide = canvas.width / view.columns;
    pen.beginPath();
    pen.arc(brush.at[0] * wide, brush.at[1] * canvas.height / view.rows, brush.radius * wide, 0, 7);
    for (const [style, width] of [["#000a", 4], ["#fff", 2]]) { pen.strokeStyle = style; pen.lineWidth = width; pen.stroke(); }
  };
  const stamp = ([x, y], on) => {
    const r = brush.radius;
    for (let row = Math.max(0, Math.floor(y - r)); row < Math.min(view.rows, y + r); row++)
      for (let column = Math.max(0, Math.floor(x - r)); column < Math.min(view.columns, x + r); column++)
        if ((column + .5 - x) ** 2 + (row + .5 - y) ** 2 <= r * r) view.put(row * view.columns + column, on);
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * view.columns, (event.clientY - box.top) / box.height * view.rows];
  };
  let last = null;
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (view.begin) view.begin();
    stamp(last = brush.at = place(event), !brush.erase);
    draw();
  };
  canvas.onpointermove = (event) => {
    const all = last && event.getCoalescedEvents ? event.getCoalescedEvents() : [];  // all of a fast stroke
    for (const one of all.length ? all : [event]) {
      brush.at = place(one);
      if (!last) continue;
      const [dx, dy] = [brush.at[0] - last[0], brush.at[1] - last[1]], parts = Math.ceil(Math.hypot(dx, dy) / brush.radius * 2) || 1;
      for (let k = 1; k <= parts; k++) stamp([last[0] + dx * k / parts, last[1] + dy * k / parts], !brush.erase);
      last = brush.at;
    }
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (last && view.done) view.done();
    last = null;
  };
  canvas.onpointerleave = canvas.onblur = () => { brush.at = null; draw(); };
  canvas.onkeydown = (event) => {
    const move = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    const paints = event.key === " ", erases = event.key === "Backspace" || event.key === "Delete";
    if (!move && !paints && !erases) return;
    event.preventDefault();
    const at = brush.at || [view.columns / 2, view.rows / 2], by = Math.max(1, brush.radius / 2), [dx, dy] = move || [0, 0];
    brush.at = [Math.min(view.columns, Math.max(0, at[0] + dx * by)), Math.min(view.rows, Math.max(0, at[1] + dy * by))];
    if (!move) {
      if (view.begin) view.begin();
      stamp(brush.at, paints);
      if (view.done) view.done();
    }
    draw();
  };
  return {draw, brush};
}
