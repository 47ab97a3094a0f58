// One metric's curves: drawn by uPlot, with smoothing, zoom, a table, and a tip at the pointer.

import {loadSamples, seriesKey, usePolled} from "./backend.js";
import {
	capitalized,
	colorOf,
	counted,
	csv,
	elapsed,
	Head,
	hueOf,
	isNumber,
	Mark,
	number,
	patternOf,
	Scroll,
	save
} from "./format.js";
import {html, render, useEffect, useMemo, useRef, useState} from "./preact.js";
import {Problem} from "./views.js";

const BUCKETS = 150;
const FINE_BUCKETS = 1000;
/** @type {SampleCache} */
const NO_SAMPLES = {series: new Map()};
/** @type {Record<Axis, string>} */
export const AXES = {step: "step", relative: "time since start", wall: "wall time"};

// The points of one line: x, the index in its series, and what is drawn there.
/** @param {Line} line @param {Settings} settings @returns {Points} */
function pointsOf({series, start}, {x: axis, logX, logY, smooth}) {
	/** @type {Values} */
	const y = [];
	/** @type {Values[]} */
	const [raw, high, low] = [[], [], []];
	/** @type {number[]} */
	const x = [];
	/** @type {number[]} */
	const index = [];
	const drawable = (/** @type {unknown} */ value) => (isNumber(value) && (!logY || value > 0) ? value : null);
	let sum = 0;
	let weight = 0;
	let end = -1;
	series.step.forEach((step, at) => {
		const time = series.timestamp[at];
		const here = axis === "step" ? step : axis === "wall" ? time : time - start;
		// Clocks may go back; a curve cannot.
		if ((logX && here <= 0) || here < x[end]) return;
		const last = drawable(series.last[at]);
		if (last !== null) {
			sum = smooth * sum + (1 - smooth) * last;
			weight = smooth * weight + (1 - smooth);
		}
		if (here !== x[end]) end += 1;
		x[end] = here;
		index[end] = at;
		y[end] = last !== null && smooth ? sum / weight : last;
		raw[end] = last;
		low[end] = drawable(series.minimum[at]);
		high[end] = drawable(series.maximum[at]);
	});
	if (smooth) return {x, index, parts: {raw, y}};
	return {x, index, parts: series.count.some(count => count > 1) ? {high, low, y} : {y}};
}

// All lines over one x axis. Undefined where a line has no point, null where it is broken.
/** @param {Line[]} lines @param {Settings} settings @returns {Plot} */
function plotted(lines, settings) {
	const points = lines.map(line => pointsOf(line, settings));
	const every = Float64Array.from(points.flatMap(({x}) => x)).sort();
	const xs = every.filter((x, at) => x !== every[at - 1]);
	/** @type {Values[]} */
	const rows = [];
	/** @type {Plot["drawn"]} */
	const drawn = [{}];
	points.forEach(({x, parts}, line) => {
		for (const [part, values] of /** @type {[Part, Values][]} */ (Object.entries(parts))) {
			const row = x.length < xs.length ? Array(xs.length) : values;
			let column = 0;
			x.forEach((here, at) => {
				while (xs[column] < here) column += 1;
				row[column] = values[at];
			});
			rows.push(row);
			drawn.push({slot: lines[line].slot, part});
		}
	});
	return {points, data: [xs, ...rows], drawn};
}

/**
 * @param {Plot["drawn"]} drawn @param {Settings} settings @param {Zoom} zoom
 * @param {{width: number, height: number}} size @param {UPlotOptions["hooks"]} hooks @param {() => null} onReset
 * @returns {UPlotOptions}
 */
function drawing(drawn, settings, zoom, size, hooks, onReset) {
	const edge = {stroke: colorOf("--grid"), width: 1};
	const axis = {stroke: colorOf("--quiet"), grid: edge, ticks: edge};
	/** @type {(format: (value: number) => string) => (chart: UPlot, ticks: (number | null)[]) => string[]} */
	const written = format => (_chart, ticks) => ticks.map(tick => (tick === null ? "" : format(tick)));
	const distr = (/** @type {boolean} */ isLog) => (isLog ? 3 : 1);
	return {
		...size,
		hooks,
		legend: {show: false},
		series: drawn.map(({slot = 0, part}) => {
			const color = colorOf(hueOf(slot));
			if (part === "y") return {stroke: color, dash: patternOf(slot), width: 1.5, points: {size: 4}};
			return {stroke: part === "raw" ? `${color}55` : "transparent", points: {show: false}};
		}),
		bands: drawn.flatMap(({slot = 0, part}, index) =>
			part === "high" ? [{series: [index, index + 1], fill: `${colorOf(hueOf(slot))}26`}] : []
		),
		scales: {
			x: {
				time: settings.x === "wall",
				distr: distr(settings.logX),
				range: (_chart, low, high) =>
					zoom?.range ?? (low === null ? [1, 2] : low < high ? [low, high] : [low / 2, low * 2 || 1])
			},
			y: {distr: distr(settings.logY)}
		},
		axes: [
			{
				...axis,
				size: settings.x === "wall" ? 50 : 34,
				values: {relative: written(elapsed), step: written(number), wall: undefined}[settings.x]
			},
			{...axis, size: 60, values: written(number)}
		],
		cursor: {
			// The pointer is shared, a zoom is not.
			sync: {key: "curves", setSeries: false, filters: {pub: type => /mousemove|mouseleave/.test(type)}},
			drag: {x: true, y: false, setScale: false},
			y: false,
			points: {show: false},
			bind: {dblclick: () => () => onReset()}
		}
	};
}

/** @param {ArrayLike<number>} xs @param {number} x */
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

/** @param {number} x @param {Axis} axis */
function writtenX(x, axis) {
	if (axis === "step") return `step ${number(x)}`;
	return axis === "wall" ? new Date(x * 1000).toLocaleString() : elapsed(x);
}

// What each run has next to x.
/** @param {Plot} plot @param {Line[]} lines @param {number} x */
function valuesAt({points}, lines, x) {
	return lines.flatMap(({label, slot, series}, line) => {
		const index = points[line].index[nearest(points[line].x, x)];
		return index === undefined ? [] : [{label, slot, text: number(series.last[index])}];
	});
}

// By hand: it follows the pointer.
/** @param {UPlot} chart @param {HTMLElement} tip @param {{plot: Plot, lines: Line[]}} shown @param {Axis} axis */
function showTip(chart, tip, {plot, lines}, axis) {
	const {left = -1, top = 0} = chart.cursor;
	const box = /** @type {HTMLElement} */ (tip.parentElement);
	const xs = plot.data[0];
	// A chart that only follows another one's pointer shows the line alone.
	tip.hidden = left < 0 || !xs.length || !(box.matches(":hover") || box === document.activeElement);
	if (tip.hidden) return;
	const x = xs[nearest(xs, chart.posToVal(left, "x"))];
	const rows = valuesAt(plot, lines, x).map(
		({label, slot, text}) => html`<div><${Mark} slot=${slot} /> <bdi>${label}</bdi> <b>${text}</b></div>`
	);
	render(html`<div>${writtenX(x, axis)}</div>${rows}`, tip);
	const offset = chart.over.offsetLeft + left;
	const isRight = offset > box.clientWidth / 2;
	tip.style.left = isRight ? "" : `${offset + 14}px`;
	tip.style.right = isRight ? `${box.clientWidth - offset + 14}px` : "";
	tip.style.top = `${Math.max(0, top - 10)}px`;
}

// The steps of a range of x, which a finer zoom asks for.
/** @param {Plot} plot @param {Line[]} lines @param {[number, number]} range @param {Axis} axis */
function stepsBetween({points}, lines, [low, high], axis) {
	if (axis === "step") return [Math.max(0, Math.floor(low)), Math.ceil(high)];
	const steps = points.flatMap(({x, index}, line) =>
		index.filter((_index, at) => x[at] >= low && x[at] <= high).map(at => lines[line].series.step[at])
	);
	return steps.length ? [Math.min(...steps), Math.max(...steps)] : null;
}

/** @param {{current: HTMLElement | null}} element */
function useWidth(element) {
	const [width, setWidth] = useState(0);
	useEffect(() => {
		const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
		if (element.current) watcher.observe(element.current);
		return () => watcher.disconnect();
	}, []);
	return width;
}

/** @param {Route} route @param {string} name @param {Line[]} lines @param {Zoom} zoom */
function useZoomed(route, name, lines, zoom) {
	const query = zoom && {
		run: lines.map(({run}) => run),
		name: [name],
		buckets: FINE_BUCKETS,
		from_step: zoom.steps[0],
		to_step: zoom.steps[1]
	};
	const {value} = usePolled(query ? loadSamples(route, query) : async () => NO_SAMPLES, [JSON.stringify(query)]);
	if (!zoom || !value) return lines;
	return lines.map(line => ({...line, series: value.series.get(seriesKey(name, line.run)) ?? line.series}));
}

/** @type {Component} */
function Chart({route, name, lines: coarse, settings, theme, height}) {
	const box = useRef(/** @type {HTMLElement | null} */ (null));
	const tip = useRef(/** @type {HTMLElement | null} */ (null));
	const made = useRef(/** @type {{chart: UPlot, data: Plot["data"]} | null} */ (null));
	const pointer = useRef(/** @type {{left: number, top: number, x: number} | null} */ (null));
	const [zoom, setZoom] = useState(/** @type {Zoom} */ (null));
	const [isTable, setTable] = useState(false);
	const [spoken, setSpoken] = useState("");
	const width = useWidth(box);
	const lines = useZoomed(route, name, coarse, zoom);
	const plot = useMemo(() => plotted(lines, settings), [...lines.map(({series}) => series), JSON.stringify(settings)]);
	const current = useRef({plot, lines});
	current.current = {plot, lines};
	const reset = () => {
		setZoom(null);
		return null;
	};
	/** @param {[number, number]} range */
	const zoomTo = range => {
		const steps = stepsBetween(current.current.plot, current.current.lines, range, settings.x);
		if (steps && range[1] > range[0]) setZoom({range, steps: [steps[0], steps[1]]});
	};
	useEffect(() => setZoom(null), [settings.x]);
	useEffect(() => {
		const [plotBox, tipBox] = [box.current, tip.current];
		// Without a line there is nothing to draw, and the first one would have it all drawn again.
		if (!width || plot.drawn.length < 2 || !plotBox || !tipBox) return undefined;
		/** @param {UPlot} chart */
		const onSelect = chart => {
			const {left, width: wide} = chart.select;
			if (wide > 3) zoomTo([chart.posToVal(left, "x"), chart.posToVal(left + wide, "x")]);
			chart.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
		};
		/** @param {UPlot} chart */
		const onCursor = chart => {
			const {left = -1, top = 0} = chart.cursor;
			pointer.current = left < 0 ? null : {left, top, x: chart.posToVal(left, "x")};
			showTip(chart, tipBox, current.current, settings.x);
		};
		// A chart that is drawn again under a pointer at rest gets no event: it keeps the pointer's place, or else
		// the point that was reached by keys or in another chart.
		const held = pointer.current;
		/** @param {UPlot} chart */
		const onReady = chart => {
			if (!held) return;
			const left = plotBox.matches(":hover") ? held.left : chart.valToPos(held.x, "x");
			if (left >= 0 && left <= chart.over.clientWidth) chart.setCursor({left, top: held.top});
		};
		const hooks = {setSelect: [onSelect], setCursor: [onCursor], ready: [onReady]};
		const options = drawing(plot.drawn, settings, zoom, {width, height}, hooks, reset);
		const chart = new window.uPlot(options, plot.data, plotBox);
		made.current = {chart, data: plot.data};
		return () => {
			made.current = null;
			chart.destroy();
		};
	}, [JSON.stringify([settings, zoom?.range, theme, width, height, plot.drawn])]);
	useEffect(() => {
		if (!made.current || made.current.data === plot.data) return;
		made.current.data = plot.data;
		made.current.chart.setData(plot.data);
	}, [plot]);

	/** @param {KeyboardEvent} event */
	const onKey = event => {
		const chart = made.current?.chart;
		const xs = plot.data[0];
		if (!chart || !xs.length || event.target !== event.currentTarget) return;
		const {min = 0, max = 0} = chart.scales.x;
		const {left = -1} = chart.cursor;
		const x = left >= 0 ? chart.posToVal(left, "x") : min;
		const moveBy = (/** @type {number} */ by) => {
			const next = xs[Math.min(xs.length - 1, Math.max(0, nearest(xs, x) + by))];
			chart.setCursor({left: chart.valToPos(next, "x"), top: 10});
			const values = valuesAt(plot, lines, next).map(({label, text}) => `${label} ${text}`);
			setSpoken(`${writtenX(next, settings.x)}: ${values.join(", ")}`);
		};
		const quarter = (max - min) / 4;
		const zoomIn = () => zoomTo([Math.max(min, x - quarter), Math.min(max, x + quarter)]);
		/** @type {Record<string, () => void>} */
		const actions = {
			ArrowLeft: () => moveBy(-1),
			ArrowRight: () => moveBy(1),
			"+": zoomIn,
			"-": reset,
			Escape: reset
		};
		if (!actions[event.key]) return;
		event.preventDefault();
		actions[event.key]();
	};

	/** @type {(label: string, text: string, onClick: () => void, others?: object) => VNode} */
	const button = (label, text, onClick, others) =>
		html`<button aria-label=${text} disabled=${!lines.length} onClick=${onClick} ...${others}>${label}</button>`;
	return html`<figure class="chart" data-metric=${name}>
		<figcaption><bdi title=${name}>${name}</bdi><span class="tools">
			${zoom && html`<button onClick=${reset}>Reset zoom</button>`}
			${button("Table", `Table of ${name}`, () => setTable(!isTable), {"aria-expanded": isTable})}
			${button("PNG", `Save ${name} as PNG`, () => made.current && savePicture(made.current.chart, name, lines))}
			${button("CSV", `Save ${name} as CSV`, () => save(new Blob([csv(rowsOf(name, lines))]), `${name}.csv`))}
		</span></figcaption>
		<div class="plot" ref=${box} style=${{height: `${height}px`}} tabindex="0" role="application" onKeyDown=${onKey}
			aria-label="${name} over ${AXES[settings.x]}, ${counted(lines.length, "run")}. Arrow keys move between points, + zooms in, Escape resets the zoom.">
			<div class="tip" ref=${tip} hidden></div>
		</div>
		<div class="unseen" aria-live="polite">${spoken}</div>
		${isTable && html`<${PointsTable} name=${name} lines=${lines} />`}
	</figure>`;
}

// What is drawn, as rows for a table or a file.
/** @param {string} name @param {Line[]} lines */
function rowsOf(name, lines) {
	const columns = /** @type {const} */ (["last", "minimum", "maximum", "count"]);
	const rows = lines.flatMap(({label, series}) =>
		series.step.map((step, index) => {
			const time = new Date(series.timestamp[index] * 1000).toISOString();
			return [label, name, step, time, ...columns.map(column => series[column][index])];
		})
	);
	return [["run", "metric", "step", "time", ...columns], ...rows];
}

/** @type {Component} */
function PointsTable({name, lines}) {
	const [head, ...rows] = rowsOf(name, lines);
	return html`<${Scroll} label="Values of ${name}"><table>
		<thead><tr>${head.map(label => Head(capitalized(String(label))))}</tr></thead>
		<tbody>${rows.map(row => html`<tr>${row.map(value => html`<td><bdi>${number(value)}</bdi></td>`)}</tr>`)}</tbody>
	</table><//>`;
}

/** @param {UPlot} chart @param {string} name @param {Line[]} lines */
function savePicture(chart, name, lines) {
	const source = chart.ctx.canvas;
	const row = 18 * devicePixelRatio;
	const canvas = document.createElement("canvas");
	const ink = canvas.getContext("2d");
	if (!ink) return;
	canvas.width = source.width;
	canvas.height = source.height + row * (lines.length + 2);
	ink.fillStyle = colorOf("--card");
	ink.fillRect(0, 0, canvas.width, canvas.height);
	ink.fillStyle = colorOf("--ink");
	ink.font = `${row * 0.7}px system-ui`;
	ink.fillText(name, row / 2, row);
	ink.drawImage(source, 0, row * 1.5);
	lines.forEach(({label, slot}, index) => {
		const y = source.height + row * (index + 2);
		ink.strokeStyle = colorOf(hueOf(slot));
		ink.lineWidth = row / 9;
		ink.setLineDash(patternOf(slot).map(length => length * devicePixelRatio));
		ink.beginPath();
		ink.moveTo(row / 2, y - row / 4);
		ink.lineTo(row * 2, y - row / 4);
		ink.stroke();
		ink.fillText(label, row * 2.4, y);
	});
	canvas.toBlob(blob => blob && save(blob, `${name}.png`));
}

// A part of a grid of charts: loads its values in one request, while it is in view.
/** @type {Component} */
export function ChartPart({route, names, shownRuns, settings, theme, isLarge}) {
	const grid = useRef(/** @type {HTMLElement | null} */ (null));
	const held = useRef(/** @type {SampleCache | undefined} */ (undefined));
	const [isSeen, setSeen] = useState(false);
	useEffect(() => {
		const watcher = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting), {rootMargin: "300px"});
		if (grid.current) watcher.observe(grid.current);
		return () => watcher.disconnect();
	}, []);
	const query = {run: shownRuns.map(({uuid}) => uuid), name: names, buckets: isLarge ? FINE_BUCKETS : BUCKETS};
	const {value, error} = usePolled(isSeen ? loadSamples(route, query) : async before => before, [
		isSeen,
		JSON.stringify(query)
	]);
	held.current = value ?? held.current;
	/** @param {string} name @returns {Line[]} */
	const linesOf = name =>
		shownRuns.flatMap(({uuid, name: label, slot, date_created}) => {
			const series = held.current?.series.get(seriesKey(name, uuid));
			return series ? [{run: uuid, label, slot, start: Date.parse(date_created) / 1000, series}] : [];
		});
	return html`<div class="charts ${isLarge ? "large" : ""}" ref=${grid}>
		<${Problem} error=${error} />
		${names.map(
			name =>
				html`<${Chart} key=${name} route=${route} name=${name} lines=${linesOf(name)} settings=${settings} theme=${theme} height=${isLarge ? 300 : 190} />`
		)}
	</div>`;
}
