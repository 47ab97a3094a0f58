// One metric's curves: drawn by uPlot, with zoom, full screen, a table, and a tip at the pointer.

import {options, setOptions} from "./address.js";
import {loadSamples, seriesKey, usePolled} from "./backend.js";
import {useChart} from "./charting.js";
import {icon} from "./icons.js";
import {stepsBetween} from "./plotting.js";
import {html, useEffect, useLayoutEffect, useRef, useState} from "./preact.js";
import {useTurn} from "./turns.js";
import {Problem, RETRY_MS} from "./views.js";
import {useWidth} from "./widths.js";

// Ranges of steps in a request: as many as the plot has pixels, so that a change of its width rarely needs another one.
const BUCKETS = 128;
const MOST_BUCKETS = 4096;
// Pixels around the window in which charts are loaded.
const MARGIN = 300;
/** @typedef {typeof import("./saving.js")} Saving */
/** @type {SampleCache} */
const NO_SAMPLES = {series: new Map()};
// Around a plot in full screen, in pixels.
const FULL_MARGIN = 80;

// Other views do not need it. It is a classic script.
const loadScript = () =>
	new Promise(resolve => {
		const script = document.createElement("script");
		Object.assign(script, {
			src: "/assets/uPlot.iife.min.js",
			onload: () => resolve(true),
			onerror: () => setTimeout(resolve, RETRY_MS, false)
		});
		document.head.append(script);
	});

// A module that has failed would never run again.
while (!(await loadScript()));

/** @param {Span | null} steps */
const bounds = steps => steps && {from_step: steps[0], to_step: steps[1]};

/** @param {number} width */
const bucketsFor = width => Math.min(MOST_BUCKETS, Math.ceil(width / BUCKETS) * BUCKETS);

/** @param {Span | null} zoom */
const onZoom = zoom => setOptions({zoom: zoom?.map(String) ?? ""});

// The height of the whole screen, while an element takes it, or 0.
/** @param {{current: Box}} element */
function useFullScreen(element) {
	const [height, setHeight] = useState(0);
	useEffect(() => {
		const update = () => setHeight(document.fullscreenElement === element.current ? innerHeight : 0);
		document.addEventListener("fullscreenchange", update);
		addEventListener("resize", update);
		return () => {
			document.removeEventListener("fullscreenchange", update);
			removeEventListener("resize", update);
		};
	}, []);
	return height;
}

// A series in place of a coarser one, which still leads up to it.
/** @param {SampleCache} cache @param {string} name @param {Line} line */
function finer(cache, name, {run, series}) {
	const found = cache.series.get(seriesKey(name, run));
	return found && {series: found, lead: series};
}

// Finer values. Those of another zoom would be in the wrong place; of the same one they may be shown until there are newer ones.
/** @param {Route} route @param {({run: string[], name: string[]} & Query) | null} query @param {Span | null} zoom */
function useFiner(route, query, zoom) {
	const wanted = JSON.stringify(zoom);
	/** @type {Load<SampleCache>} */
	const load = async (before, signal) =>
		query ? Object.assign(await loadSamples(route, query)(before, signal), {wanted}) : NO_SAMPLES;
	const {value, error} = usePolled(load, [JSON.stringify([query, zoom])]);
	const cache = query && value?.wanted === wanted ? value : undefined;
	return {
		error,
		/** @param {string} name @param {Line[]} lines */
		linesOf: (name, lines) => (cache ? lines.map(line => ({...line, ...finer(cache, name, line)})) : lines)
	};
}

/** @type {Component} */
function Chart({
	route,
	name,
	label,
	lines: coarse,
	steps,
	settings: chosen,
	theme,
	height: small,
	width: known,
	isAnswered
}) {
	const figure = useRef(/** @type {Box} */ (null));
	const box = useRef(/** @type {Box} */ (null));
	const [table, setTable] = useState(/** @type {Saving | null} */ (null));
	const [problem, setProblem] = useState(/** @type {Error | null} */ (null));
	const width = useWidth(box, known);
	const full = useFullScreen(figure);
	const height = full ? full - FULL_MARGIN : small;
	const settings = {...chosen, logY: chosen.logY !== Boolean(options("log")?.includes(name))};
	const query =
		full && width
			? {run: coarse.map(({run}) => run), name: [name], buckets: bucketsFor(width), ...bounds(steps)}
			: null;
	const lines = useFiner(route, query, settings.zoom).linesOf(name, coarse);
	const {plot, made, view} = useChart({
		name,
		lines,
		settings,
		theme,
		box,
		width,
		height,
		empty: isAnswered ? `No ${settings.logY ? "positive " : ""}numbers to draw.` : "Loading…",
		onZoom
	});

	const toggled = options("log") ?? [];
	const onLog = () => {
		const others = toggled.filter(one => one !== name);
		const log = settings.logY === chosen.logY ? [...others, name] : others;
		setOptions({log: log.length ? log : ""});
	};
	/** @param {(saving: Saving) => void} act */
	const withSaving = act => () => void import("./saving.js").then(act).catch(setProblem);
	const onFull = () => (full ? document.exitFullscreen() : figure.current?.requestFullscreen());
	/** @type {(picture: Parameters<typeof icon>[0], text: string, onClick: () => void, others?: object) => VNode} */
	const tool = (picture, text, onClick, others) =>
		html`<button class="plain" title=${text} aria-label="${text}: ${name}" disabled=${plot.isEmpty} onClick=${onClick} ...${others}>${icon(picture)}</button>`;
	return html`<figure class="chart" data-metric=${name} ref=${figure}>
		<figcaption><bdi title=${name}>${full ? name : label}</bdi><span class="tools" role="group" aria-label="Tools for ${name}">
			${full > 0 && settings.zoom && tool("back", "Reset zoom", () => onZoom(null))}
			${tool("log", "Logarithmic y axis", onLog, {"aria-pressed": settings.logY})}
			${tool("table", "Table", table ? () => setTable(null) : withSaving(setTable), {"aria-expanded": Boolean(table)})}
			${tool(
				"rows",
				"Save as CSV",
				withSaving(({saveRows}) => saveRows(name, lines))
			)}
			${tool(
				"picture",
				"Save as PNG",
				withSaving(({savePicture}) => made.current && savePicture(made.current, name, lines))
			)}
			${document.fullscreenEnabled && tool(full ? "shrink" : "grow", full ? "Leave full screen" : "Full screen", onFull)}
		</span></figcaption>
		${view}
		<${Problem} error=${problem} />
		${table && html`<${table.PointsTable} name=${name} lines=${lines} />`}
	</figure>`;
}

// Takes the room of a chart that is not made yet: a project may have hundreds.
/** @type {Component} */
const Outline = ({name, label, height, isSeen}) =>
	html`<figure class="chart" data-metric=${name}><figcaption><bdi>${label}</bdi></figcaption>
		<div class="plot" style=${{height: `${height}px`}}>${isSeen && html`<p class="quiet none">Loading…</p>`}</div></figure>`;

/** @type {Component} */
const ChartSlot = props =>
	html`<${useTurn(props.isAnswered || props.lines.length > 0) ? Chart : Outline} ...${props} />`;

// A part of a grid of charts: loads its values in one request, while it is in view.
/** @type {Component} */
export function ChartPart({route, names, group, shownRuns, isStale, settings, theme, isLarge}) {
	const grid = useRef(/** @type {Box} */ (null));
	const held = useRef(/** @type {SampleCache | undefined} */ (undefined));
	// Of each plot: a chart that measured its own would be drawn a frame later.
	const width = useRef(0);
	const [isSeen, setSeen] = useState(false);
	const [buckets, setBuckets] = useState(0);
	const measure = () => {
		width.current = Math.floor(grid.current?.querySelector(".plot")?.getBoundingClientRect().width ?? 0);
		const wanted = bucketsFor(width.current);
		// A little less than is loaded will do.
		setBuckets(held => (wanted > held || 2 * wanted < held ? wanted : held));
	};
	useLayoutEffect(() => {
		if (!grid.current) return undefined;
		// An observer would answer a frame later; measured after the next change, the view would be laid out once more.
		const {top, bottom} = grid.current.getBoundingClientRect();
		measure();
		setSeen(top < innerHeight + MARGIN && bottom > -MARGIN);
		const rootMargin = `${MARGIN}px`;
		const watcher = new IntersectionObserver(
			// A busy browser reports several changes at once.
			entries => setSeen(entries[entries.length - 1].isIntersecting),
			{rootMargin}
		);
		watcher.observe(grid.current);
		return () => watcher.disconnect();
	}, []);
	useLayoutEffect(() => {
		if (!isSeen || !grid.current) return undefined;
		const watcher = new ResizeObserver(measure);
		watcher.observe(grid.current);
		return () => watcher.disconnect();
	}, [isSeen]);
	const query = {run: shownRuns.map(({uuid}) => uuid), name: names, buckets};
	// What the lines are of, however fine they are.
	const wanted = JSON.stringify([query.run, names]);
	/** @type {Load<SampleCache | undefined>} */
	const load = async (before, signal) =>
		isSeen && buckets ? Object.assign(await loadSamples(route, query)(before, signal), {wanted}) : before;
	const {value, error} = usePolled(load, [isSeen && buckets > 0, JSON.stringify(query)]);
	held.current = value ?? held.current;
	const isAnswered = !isStale && held.current?.wanted === wanted;
	/** @param {string} name @returns {Line[]} */
	const wholeOf = name =>
		shownRuns.flatMap(({uuid, name: label, slot, date_created}) => {
			const series = held.current?.series.get(seriesKey(name, uuid));
			return series ? [{run: uuid, label, slot, start: Date.parse(date_created) / 1000, series}] : [];
		});
	const steps = settings.zoom && stepsBetween(names.flatMap(wholeOf), settings.zoom, settings.x);
	const part = isSeen && buckets && steps ? {...query, ...bounds(steps)} : null;
	const zoomed = useFiner(route, part, settings.zoom);
	return html`<div class="charts ${isLarge ? "large" : ""}" ref=${grid}>
		<${Problem} error=${error ?? zoomed.error} />
		${names.map(
			name =>
				html`<${ChartSlot} key=${name} route=${route} name=${name} label=${group ? name.slice(group.length + 1) : name} isSeen=${isSeen} width=${width.current} isAnswered=${isAnswered} lines=${zoomed.linesOf(name, wholeOf(name))} steps=${steps} settings=${settings} theme=${theme} height=${isLarge ? 300 : 190} />`
		)}
	</div>`;
}
