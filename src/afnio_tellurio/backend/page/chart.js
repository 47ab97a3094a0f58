// One metric's curves: drawn by uPlot, with smoothing, zoom, a table, and what is under the pointer.
import { html, render, useEffect, useMemo, useRef, useState } from "./preact.js";
import { loadSamples, seriesKey, usePolled } from "./backend.js";
import { colourOf, csv, duration, Head, hueOf, isNumber, Mark, number, patternOf, save, Scroll } from "./format.js";

const BUCKETS = 150;
const FINE_BUCKETS = 1000;
export const AXES = { __proto__: null, step: "step", relative: "time since start", wall: "wall time" };

// The points of one line: where, which, what is drawn, and what is behind it.
function pointsOf({ series, start }, { x: axis, logX, logY, smooth }) {
	const behind = smooth ? { raw: [] } : series.count.some((count) => count > 1) && { high: [], low: [] };
	const parts = { ...behind, y: [] };
	const x = [];
	const index = [];
	const number = (value) => (isNumber(value) && (!logY || value > 0) ? value : null);
	let sum = 0;
	let weight = 0;
	let place = -1;
	series.step.forEach((step, at) => {
		const time = series.timestamp[at];
		const here = axis === "step" ? step : axis === "wall" ? time : time - start;
		// Times may go back where clocks do; a curve cannot.
		if ((logX && here <= 0) || here < x[place]) return;
		const raw = number(series.last[at]);
		if (raw !== null) {
			sum = smooth * sum + (1 - smooth) * raw;
			weight = smooth * weight + (1 - smooth);
		}
		if (here !== x[place]) place += 1;
		x[place] = here;
		index[place] = at;
		parts.y[place] = raw !== null && smooth ? sum / weight : raw;
		if (smooth) parts.raw[place] = raw;
		else if (behind) {
			parts.low[place] = number(series.minimum[at]);
			parts.high[place] = number(series.maximum[at]);
		}
	});
	return { x, index, parts };
}

// The lines over one x axis. Undefined is where a line has no point, null where it is broken.
function plotted(lines, settings) {
	const all = lines.map((line) => pointsOf(line, settings));
	const xs = Float64Array.from(all.flatMap(({ x }) => x)).sort().filter((x, at, every) => x !== every[at - 1]);
	const data = [xs];
	const drawn = [{}];
	all.forEach(({ x, parts }, line) => {
		for (const [part, values] of Object.entries(parts)) {
			const row = x.length < xs.length ? Array(xs.length) : values;
			let place = 0;
			x.forEach((one, at) => {
				while (xs[place] < one) place += 1;
				row[place] = values[at];
			});
			data.push(row);
			drawn.push({ slot: lines[line].slot, part });
		}
	});
	return { all, data, drawn };
}

function drawing(drawn, settings, zoom, size, hooks, onReset) {
	const edge = { stroke: colourOf("--grid"), width: 1 };
	const axis = { stroke: colourOf("--quiet"), grid: edge, ticks: edge };
	const written = (format) => (_chart, places) => places.map((place) => (place === null ? "" : format(place)));
	const distr = (isLog) => (isLog ? 3 : 1);
	return {
		...size,
		hooks,
		legend: { show: false },
		series: drawn.map(({ slot, part }) => {
			const colour = colourOf(hueOf(slot));
			if (part === "y") return { stroke: colour, dash: patternOf(slot), width: 1.5, points: { size: 4 } };
			return { stroke: part === "raw" ? `${colour}55` : "transparent", points: { show: false } };
		}),
		bands: drawn.flatMap(({ slot, part }, index) =>
			part === "high" ? [{ series: [index, index + 1], fill: `${colourOf(hueOf(slot))}26` }] : [],
		),
		scales: {
			x: {
				time: settings.x === "wall",
				distr: distr(settings.logX),
				range: (_chart, low, high) => zoom ?? (low === null ? [1, 2] : low < high ? [low, high] : [low / 2, low * 2 || 1]),
			},
			y: { distr: distr(settings.logY) },
		},
		axes: [
			{ ...axis, size: settings.x === "wall" ? 50 : 34, values: { relative: written(duration), step: written(number) }[settings.x] },
			{ ...axis, size: 60, values: written(number) },
		],
		cursor: {
			// The pointer is shared, a zoom is not.
			sync: { key: "curves", setSeries: false, filters: { pub: (type) => /mousemove|mouseleave/.test(type) } },
			drag: { x: true, y: false, setScale: false },
			y: false,
			points: { show: false },
			bind: { dblclick: () => onReset },
		},
	};
}

function nearest(xs, x) {
	let low = 0;
	let high = xs.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (xs[middle] < x) low = middle + 1;
		else high = middle;
	}
	return low && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}

function writtenX(x, axis) {
	if (axis === "wall") return new Date(x * 1000).toLocaleString();
	return axis === "relative" ? duration(x) : `step ${number(x)}`;
}

// What each run has next to x.
function valuesAt({ all }, lines, x) {
	return lines.flatMap(({ label, slot, series }, line) => {
		const index = all[line].index[nearest(all[line].x, x)];
		return index === undefined ? [] : [{ label, slot, text: number(series.last[index]) }];
	});
}

// By hand: it follows the pointer.
function showTip(chart, tip, { plot, lines }, axis) {
	const { left, top } = chart.cursor;
	const box = tip.parentElement;
	const xs = plot.data[0];
	// A chart that only follows another one's pointer shows the line alone.
	tip.hidden = left < 0 || !xs.length || !(box.matches(":hover") || box === document.activeElement);
	if (tip.hidden) return;
	const x = xs[nearest(xs, chart.posToVal(left, "x"))];
	const rows = valuesAt(plot, lines, x).map(
		({ label, slot, text }) => html`<div><${Mark} slot=${slot} /> <bdi>${label}</bdi> <b>${text}</b></div>`,
	);
	render(html`<div>${writtenX(x, axis)}</div>${rows}`, tip);
	const offset = chart.over.offsetLeft + left;
	const isRight = offset > box.clientWidth / 2;
	tip.style.left = isRight ? "" : `${offset + 14}px`;
	tip.style.right = isRight ? `${box.clientWidth - offset + 14}px` : "";
	tip.style.top = `${Math.max(0, top - 10)}px`;
}

// The steps between two places, which a finer zoom asks for.
function stepsBetween({ all }, lines, [low, high], axis) {
	if (axis === "step") return [Math.max(0, Math.floor(low)), Math.ceil(high)];
	const steps = all.flatMap(({ x, index }, line) =>
		index.filter((_one, place) => x[place] >= low && x[place] <= high).map((one) => lines[line].series.step[one]),
	);
	return steps.length ? [Math.min(...steps), Math.max(...steps)] : null;
}

function useWidth(element) {
	const [width, setWidth] = useState(0);
	useEffect(() => {
		const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
		watcher.observe(element.current);
		return () => watcher.disconnect();
	}, []);
	return width;
}

function useZoomed(target, name, lines, steps) {
	const query = steps && { run: lines.map(({ run }) => run), name: [name], buckets: FINE_BUCKETS, from_step: steps[0], to_step: steps[1] };
	const { value } = usePolled(query ? loadSamples(target, query) : async () => null, [JSON.stringify(query)]);
	if (!steps || !value) return lines;
	return lines.map((line) => ({ ...line, series: value.series.get(seriesKey(name, line.run)) ?? line.series }));
}

function Chart({ target, name, lines: given, settings, theme, height }) {
	const box = useRef();
	const tip = useRef();
	const made = useRef(null);
	const current = useRef();
	const [zoom, setZoom] = useState(null);
	const [isTable, setTable] = useState(false);
	const [spoken, setSpoken] = useState("");
	const width = useWidth(box);
	const lines = useZoomed(target, name, given, zoom?.steps);
	const plot = useMemo(() => plotted(lines, settings), [...lines.map(({ series }) => series), JSON.stringify(settings)]);
	current.current = { plot, lines };
	const reset = () => setZoom(null);
	const zoomTo = (range) => {
		const steps = stepsBetween(current.current.plot, current.current.lines, range, settings.x);
		if (steps && range[1] > range[0]) setZoom({ range, steps });
	};
	useEffect(reset, [settings.x]);
	useEffect(() => {
		if (!width) return undefined;
		const onSelect = (chart) => {
			const { left, width: wide } = chart.select;
			if (wide > 3) zoomTo([chart.posToVal(left, "x"), chart.posToVal(left + wide, "x")]);
			chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
		};
		const onCursor = (chart) => showTip(chart, tip.current, current.current, settings.x);
		const hooks = { setSelect: [onSelect], setCursor: [onCursor] };
		const chart = new window.uPlot(drawing(plot.drawn, settings, zoom?.range, { width, height }, hooks, reset), plot.data, box.current);
		chart.shown = plot.data;
		made.current = chart;
		return () => chart.destroy();
	}, [JSON.stringify([settings, zoom?.range, theme, width, height, plot.drawn])]);
	useEffect(() => {
		if (!made.current || made.current.shown === plot.data) return;
		made.current.shown = plot.data;
		made.current.setData(plot.data);
	}, [plot]);

	const onKey = (event) => {
		const chart = made.current;
		const xs = plot.data[0];
		if (!chart || !xs.length || event.target !== event.currentTarget) return;
		const { min, max } = chart.scales.x;
		const x = chart.cursor.left >= 0 ? chart.posToVal(chart.cursor.left, "x") : min;
		const moveBy = (by) => {
			const next = xs[Math.min(xs.length - 1, Math.max(0, nearest(xs, x) + by))];
			chart.setCursor({ left: chart.valToPos(next, "x"), top: 10 });
			const words = valuesAt(plot, lines, next).map(({ label, text }) => `${label} ${text}`);
			setSpoken(`${writtenX(next, settings.x)}: ${words.join(", ")}`);
		};
		const quarter = (max - min) / 4;
		const zoomIn = () => zoomTo([Math.max(min, x - quarter), Math.min(max, x + quarter)]);
		const actions = { ArrowLeft: () => moveBy(-1), ArrowRight: () => moveBy(1), "+": zoomIn, "-": reset, Escape: reset };
		if (!actions[event.key]) return;
		event.preventDefault();
		actions[event.key]();
	};

	const button = (label, text, onClick, others) => html`<button aria-label=${text} disabled=${!lines.length} onClick=${onClick} ...${others}>${label}</button>`;
	return html`<figure class="chart" data-metric=${name}>
		<figcaption><bdi title=${name}>${name}</bdi><span class="tools">
			${zoom && html`<button onClick=${reset}>Reset zoom</button>`}
			${button("Table", `Table of ${name}`, () => setTable(!isTable), { "aria-expanded": isTable })}
			${button("PNG", `Save ${name} as PNG`, () => savePicture(made.current, name, lines))}
			${button("CSV", `Save ${name} as CSV`, () => save(new Blob([csv(rowsOf(name, lines))]), `${name}.csv`))}
		</span></figcaption>
		<div class="plot" ref=${box} style=${{ height: `${height}px` }} tabindex="0" role="application" onKeyDown=${onKey}
			aria-label="${name} over ${AXES[settings.x]}, ${lines.length} runs. Arrows go through the points, plus zooms, Escape resets.">
			<div class="tip" ref=${tip} hidden></div>
		</div>
		<div class="unseen" aria-live="polite">${spoken}</div>
		${isTable && html`<${PointsTable} name=${name} lines=${lines} />`}
	</figure>`;
}

// What is drawn, as rows for a table or a file.
function rowsOf(name, lines) {
	const columns = ["last", "minimum", "maximum", "count"];
	const rows = lines.flatMap(({ label, series }) =>
		series.step.map((step, index) => {
			const time = new Date(series.timestamp[index] * 1000).toISOString();
			return [label, name, step, time, ...columns.map((column) => series[column][index])];
		}),
	);
	return [["run", "metric", "step", "time", ...columns], ...rows];
}

function PointsTable({ name, lines }) {
	const [head, ...rows] = rowsOf(name, lines);
	return html`<${Scroll} label="Values of ${name}"><table><thead><tr>${head.map(Head)}</tr></thead>
		<tbody>${rows.map((row) => html`<tr>${row.map((one) => html`<td><bdi>${number(one)}</bdi></td>`)}</tr>`)}</tbody>
	</table><//>`;
}

function savePicture(chart, name, lines) {
	const source = chart.ctx.canvas;
	const row = 18 * devicePixelRatio;
	const canvas = document.createElement("canvas");
	canvas.width = source.width;
	canvas.height = source.height + row * (lines.length + 2);
	const ink = canvas.getContext("2d");
	ink.fillStyle = colourOf("--card");
	ink.fillRect(0, 0, canvas.width, canvas.height);
	ink.fillStyle = colourOf("--ink");
	ink.font = `${row * 0.7}px system-ui`;
	ink.fillText(name, row / 2, row);
	ink.drawImage(source, 0, row * 1.5);
	lines.forEach(({ label, slot }, index) => {
		const y = source.height + row * (index + 2);
		ink.strokeStyle = colourOf(hueOf(slot));
		ink.lineWidth = row / 9;
		ink.setLineDash(patternOf(slot).map((length) => length * devicePixelRatio));
		ink.beginPath();
		ink.moveTo(row / 2, y - row / 4);
		ink.lineTo(row * 2, y - row / 4);
		ink.stroke();
		ink.fillText(label, row * 2.4, y);
	});
	canvas.toBlob((blob) => save(blob, `${name}.png`));
}

// A part of a grid of charts: asks for its values while it is in view, in one request.
export function ChartPart({ target, names, runs, settings, theme, isLarge }) {
	const place = useRef();
	const held = useRef();
	const [isSeen, setSeen] = useState(false);
	useEffect(() => {
		const watcher = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting), { rootMargin: "300px" });
		watcher.observe(place.current);
		return () => watcher.disconnect();
	}, []);
	const query = { run: runs.map(({ uuid }) => uuid), name: names, buckets: isLarge ? FINE_BUCKETS : BUCKETS };
	const { value, error } = usePolled(isSeen ? loadSamples(target, query) : async (before) => before, [isSeen, JSON.stringify(query)]);
	held.current = value ?? held.current;
	const linesOf = (name) =>
		runs.flatMap((run) => {
			const series = held.current?.series.get(seriesKey(name, run.uuid));
			return series ? [{ run: run.uuid, label: run.name, slot: run.slot, start: Date.parse(run.date_created) / 1000, series }] : [];
		});
	return html`<div class="charts ${isLarge ? "large" : ""}" ref=${place}>
		${error && html`<p class="problem" role="alert">${error.message}</p>`}
		${names.map((name) => html`<${Chart} key=${name} target=${target} name=${name} lines=${linesOf(name)} settings=${settings} theme=${theme} height=${isLarge ? 300 : 190} />`)}
	</div>`;
}
