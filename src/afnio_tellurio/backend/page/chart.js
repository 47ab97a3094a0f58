// One metric's curves: drawn by uPlot, with zoom, full screen, a table, and a tip at the pointer.

import {options, setOptions} from "./address.js";
import {AXES, drawing} from "./axes.js";
import {loadSamples, seriesKey, usePolled} from "./backend.js";
import {counted} from "./format.js";
import {icon} from "./icons.js";
import {keysOf, zoomOnDrag} from "./keys.js";
import {plotted, stepsBetween} from "./plotting.js";
import {html, useEffect, useLayoutEffect, useMemo, useRef, useState} from "./preact.js";
import {showTip} from "./tips.js";
import {Problem, useWidth} from "./views.js";

// Ranges of steps in a request: as many as the plot has pixels, so that a change of its width rarely needs another one.
const BUCKETS = 128;
const MOST_BUCKETS = 4096;
// Pixels around the window in which charts are loaded.
const MARGIN = 300;
/** @typedef {typeof import("./saving.js")} Saving */
/** @type {SampleCache} */
const NO_SAMPLES = {series: new Map()};
// What a chart in full screen has around its plot, in pixels.
const FULL_MARGIN = 80;

// Other views do not need it. It is a classic script.
await new Promise((resolve, reject) => {
	const script = document.createElement("script");
	Object.assign(script, {
		src: "/assets/uPlot.iife.min.js",
		onload: resolve,
		onerror: () => reject(new Error("The charts can't be loaded."))
	});
	document.head.append(script);
});

/** @param {Span | null} steps */
const bounds = steps => steps && {from_step: steps[0], to_step: steps[1]};

/** @param {number} width */
const bucketsFor = width => Math.min(MOST_BUCKETS, Math.ceil(width / BUCKETS) * BUCKETS);

/** @param {number} low @param {number} high */
const zoomTo = (low, high) => high > low && setOptions({zoom: [low, high].map(String)});
const resetZoom = () => {
	setOptions({zoom: ""});
	return null;
};

// The whole screen, while an element takes it.
/** @param {{current: HTMLElement | null}} element @returns {{width: number, height: number} | null} */
function useFullScreen(element) {
	const [size, setSize] = useState(/** @type {{width: number, height: number} | null} */ (null));
	useEffect(() => {
		const update = () => {
			const isFull = element.current && document.fullscreenElement === element.current;
			setSize(isFull ? {width: innerWidth, height: innerHeight} : null);
		};
		document.addEventListener("fullscreenchange", update);
		addEventListener("resize", update);
		return () => {
			document.removeEventListener("fullscreenchange", update);
			removeEventListener("resize", update);
		};
	}, []);
	return size;
}

// A series in place of a coarser one, which still leads up to it.
/** @param {SampleCache | undefined} cache @param {string} name @param {Line} line */
function finer(cache, name, {run, series}) {
	const found = cache?.series.get(seriesKey(name, run));
	return found && {series: found, lead: series};
}

// Finer values than the grid has, for the whole screen.
/** @param {Route} route @param {string} name @param {Line[]} lines @param {Span | null} steps @param {number} width */
function useFiner(route, name, lines, steps, width) {
	const query = width > 0 && {
		run: lines.map(({run}) => run),
		name: [name],
		buckets: bucketsFor(width),
		...bounds(steps)
	};
	const {value} = usePolled(query ? loadSamples(route, query) : async () => NO_SAMPLES, [JSON.stringify(query)]);
	if (!query || !value) return lines;
	return lines.map(line => ({...line, ...finer(value, name, line)}));
}

/** @type {Component} */
function Chart({route, name, label, lines: coarse, steps, settings: chosen, theme, height: small, isLoading}) {
	const figure = useRef(/** @type {HTMLElement | null} */ (null));
	const box = useRef(/** @type {HTMLElement | null} */ (null));
	const tip = useRef(/** @type {HTMLElement | null} */ (null));
	const made = useRef(/** @type {{chart: UPlot, data: Plot["data"]} | null} */ (null));
	const pointer = useRef(/** @type {{left: number, top: number, x: number} | null} */ (null));
	const [table, setTable] = useState(/** @type {Saving | null} */ (null));
	const [problem, setProblem] = useState(/** @type {Error | null} */ (null));
	const [spoken, setSpoken] = useState("");
	const width = useWidth(box);
	const full = useFullScreen(figure);
	const height = full ? full.height - FULL_MARGIN : small;
	const settings = {...chosen, logY: chosen.logY !== Boolean(options("log")?.includes(name))};
	const lines = useFiner(route, name, coarse, steps, full ? width : 0);
	const plot = useMemo(() => plotted(lines, settings), [...lines.map(({series}) => series), JSON.stringify(settings)]);
	const current = useRef({plot, lines});
	current.current = {plot, lines};
	useLayoutEffect(() => {
		const [plotBox, tipBox] = [box.current, tip.current];
		// Without a line there is nothing to draw, and the first one would have it all drawn again.
		if (!width || plot.isEmpty || !plotBox || !tipBox) return undefined;
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
		const hooks = {setSelect: [zoomOnDrag(zoomTo)], setCursor: [onCursor], ready: [onReady]};
		const chart = new window.uPlot(drawing(plot, settings, {width, height}, hooks, resetZoom), plot.data, plotBox);
		made.current = {chart, data: plot.data};
		return () => {
			made.current = null;
			chart.destroy();
		};
	}, [JSON.stringify([settings, theme, width, height, plot.drawn, plot.isEmpty, plot.bandWidth])]);
	useLayoutEffect(() => {
		if (!made.current || made.current.data === plot.data) return;
		made.current.data = plot.data;
		made.current.chart.setData(plot.data);
	}, [plot]);

	// The chart itself may be new, and get no event when the pointer leaves it.
	const onLeave = () => made.current?.chart.setCursor({left: -10, top: -10});
	/** @param {KeyboardEvent} event */
	const onKey = event => {
		const chart = made.current?.chart;
		if (!chart || !plot.data[0].length || event.target !== event.currentTarget) return;
		const act = keysOf(chart, {plot, lines, axis: settings.x}, {zoomTo, resetZoom, speak: setSpoken})[event.key];
		if (!act) return;
		event.preventDefault();
		act();
	};

	const toggled = options("log") ?? [];
	const onLog = () => {
		const others = toggled.filter(one => one !== name);
		const log = settings.logY === chosen.logY ? [...others, name] : others;
		setOptions({log: log.length ? log : ""});
	};
	/** @param {(saving: Saving) => void} act */
	const withSaving = act => () => void import("./saving.js").then(act).catch(setProblem);
	const onRows = withSaving(({saveRows}) => saveRows(name, lines));
	const onPicture = withSaving(({savePicture}) => made.current && savePicture(made.current.chart, name, lines));
	const onFull = () => (full ? document.exitFullscreen() : figure.current?.requestFullscreen());
	/** @type {(picture: Parameters<typeof icon>[0], text: string, onClick: () => void, others?: object) => VNode} */
	const tool = (picture, text, onClick, others) =>
		html`<button class="plain" title=${text} aria-label="${text}: ${name}" disabled=${plot.isEmpty} onClick=${onClick} ...${others}>${icon(picture)}</button>`;
	return html`<figure class="chart" data-metric=${name} ref=${figure}>
		<figcaption><bdi title=${name}>${full ? name : label}</bdi><span class="tools" role="group" aria-label="Tools for ${name}">
			${full && settings.zoom && tool("back", "Reset zoom", resetZoom)}
			${tool("log", "Logarithmic y axis", onLog, {"aria-pressed": settings.logY})}
			${tool("table", "Table", table ? () => setTable(null) : withSaving(setTable), {"aria-expanded": Boolean(table)})}
			${tool("rows", "Save as CSV", onRows)}
			${tool("picture", "Save as PNG", onPicture)}
			${document.fullscreenEnabled && tool(full ? "shrink" : "grow", full ? "Leave full screen" : "Full screen", onFull)}
		</span></figcaption>
		<div class="plot" ref=${box} style=${{height: `${height}px`}} tabindex="0" role="application" onKeyDown=${onKey} onMouseLeave=${onLeave}
			aria-label="${name} over ${AXES[settings.x]}, ${counted(lines.length, "run")}. Arrow keys move between points, + zooms in, Escape resets the zoom.">
			${plot.isEmpty && html`<p class="quiet none">${isLoading ? "Loading…" : lines.length ? "No numbers to draw." : "The selected runs have no values."}</p>`}
			<div class="tip" ref=${tip} hidden></div>
		</div>
		<div class="unseen" aria-live="polite">${spoken}</div>
		<${Problem} error=${problem} />
		${table && html`<${table.PointsTable} name=${name} lines=${lines} />`}
	</figure>`;
}

// Takes the room of a chart that was not in view yet: a project may have hundreds.
/** @type {Component} */
const Outline = ({name, label, height}) =>
	html`<figure class="chart" data-metric=${name}><figcaption><bdi>${label}</bdi></figcaption><div class="plot" style=${{height: `${height}px`}}></div></figure>`;

// A part of a grid of charts: loads its values in one request, while it is in view.
/** @type {Component} */
export function ChartPart({route, names, group, shownRuns, settings, theme, isLarge}) {
	const grid = useRef(/** @type {HTMLElement | null} */ (null));
	const held = useRef(/** @type {SampleCache | undefined} */ (undefined));
	const [isSeen, setSeen] = useState(false);
	const wasSeen = useRef(false);
	wasSeen.current ||= isSeen;
	const [buckets, setBuckets] = useState(0);
	useLayoutEffect(() => {
		if (!grid.current) return undefined;
		// An observer would answer a frame later.
		const {top, bottom} = grid.current.getBoundingClientRect();
		setSeen(top < innerHeight + MARGIN && bottom > -MARGIN);
		const rootMargin = `${MARGIN}px`;
		const watcher = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting), {rootMargin});
		watcher.observe(grid.current);
		return () => watcher.disconnect();
	}, []);
	useLayoutEffect(() => {
		const plot = grid.current?.querySelector(".plot");
		if (!isSeen || !plot) return undefined;
		const update = () => {
			const wanted = bucketsFor(plot.clientWidth);
			// A little less than is loaded will do.
			setBuckets(held => (wanted > held || 2 * wanted < held ? wanted : held));
		};
		update();
		const watcher = new ResizeObserver(update);
		watcher.observe(plot);
		return () => watcher.disconnect();
	}, [isSeen, names[0]]);
	const query = {run: shownRuns.map(({uuid}) => uuid), name: names, buckets};
	const {value, error} = usePolled(isSeen && buckets ? loadSamples(route, query) : async before => before, [
		isSeen && buckets > 0,
		JSON.stringify(query)
	]);
	held.current = value ?? held.current;
	/** @param {string} name @returns {Line[]} */
	const wholeOf = name =>
		shownRuns.flatMap(({uuid, name: label, slot, date_created}) => {
			const series = held.current?.series.get(seriesKey(name, uuid));
			return series ? [{run: uuid, label, slot, start: Date.parse(date_created) / 1000, series}] : [];
		});
	const steps = settings.zoom && stepsBetween(names.flatMap(wholeOf), settings.zoom, settings.x);
	const part = isSeen && buckets && steps ? {...query, ...bounds(steps)} : null;
	const zoomed = usePolled(part ? loadSamples(route, part) : async () => NO_SAMPLES, [JSON.stringify(part)]);
	/** @param {string} name */
	const linesOf = name => {
		const lines = wholeOf(name);
		return steps ? lines.map(line => ({...line, ...finer(zoomed.value, name, line)})) : lines;
	};
	return html`<div class="charts ${isLarge ? "large" : ""}" ref=${grid}>
		<${Problem} error=${error ?? zoomed.error} />
		${names.map(
			name =>
				html`<${wasSeen.current ? Chart : Outline} key=${name} route=${route} name=${name} label=${group ? name.slice(group.length + 1) : name} isLoading=${!held.current} lines=${linesOf(name)} steps=${steps} settings=${settings} theme=${theme} height=${isLarge ? 300 : 190} />`
		)}
	</div>`;
}
