// How the results of runs depend on their configs: a scatter plot, and parallel coordinates.

import {navigate, option, options, setOptions} from "./address.js";
import {get, projectPath, running, runPath, usePolled} from "./backend.js";
import {chosenScale} from "./choices.js";
import {chosenColumns, configsOf} from "./columns.js";
import {counted, Head, Scroll} from "./format.js";
import {html, useMemo, useRef, useState} from "./preact.js";
import {KINDS, RunLink} from "./runs.js";
import {axisOf, columnFor, isAxis, isDrawn, lacking} from "./scales.js";
import {ScatterPlot} from "./scatter.js";
import {RunSearch, whereOf} from "./search.js";
import {Loading, lazy, numericNames, Problem} from "./views.js";

// Runs in one request, which are as many as a drawing can show.
const RUNS = 1000;
// Categories with a color of their own.
const HUES = 8;
// Of the config, unless others are chosen.
const AXES = 5;
const PLOTS = {"": "Scatter", parallel: "Parallel coordinates"};
// It needs more than the props of other parts, and gets all that are passed.
const ParallelCoordinates = lazy(
	() => import("./parallel.js"),
	module => /** @type {Component} */ (/** @type {unknown} */ (module.ParallelCoordinates))
);

// The cells of all columns, by the column's key, and the row of each run.
/** @type {(route: Route, columns: Column[], where: string, list: {current: Run[]}) => Load<Explored>} */
const loadCells = (route, columns, where, list) => async (before, signal) => {
	const updated = latest(list.current);
	if (before && before.updated === updated && !running(list.current).length) return before;
	if (!columns.length) return {rows: new Map(), cells: new Map(), updated, where};
	const query = {column: columns.map(({term}) => term), where: where || undefined, limit: RUNS};
	/** @type {{run_uuid: string[], columns: {cells: unknown[]}[]}} */
	const table = await get(`${projectPath(route)}table/`, query, signal);
	const rows = new Map(table.run_uuid.map((uuid, row) => [uuid, row]));
	const cells = new Map(columns.map(({key}, at) => [key, table.columns[at].cells]));
	return {rows, cells, updated, where, last: table.run_uuid.at(-1)};
};

/** @param {Run[]} runs */
const latest = runs => {
	const times = runs.map(run => run.date_updated).sort();
	return times[times.length - 1] ?? "";
};

// The color of each run, by an axis: a hue for each category, or a place between the ends of a scale.
/** @param {RunAxis | undefined} axis @param {number[]} rows @returns {(row: number) => string} */
function colorsOf(axis, rows) {
	if (!axis) return () => "var(--line-0)";
	const {places, names} = axis;
	const [start, end] = (axis.ends(rows) ?? []).map(value => axis.place(value) ?? 0);
	return row => {
		const place = places[row];
		if (place === null) return "var(--quiet)";
		if (names) {
			const at = Math.floor(place * names.length);
			return at < HUES ? `var(--line-${at})` : "var(--quiet)";
		}
		const along = end > start ? (place - start) / (end - start) : 0.5;
		const [low, share] = along < 0.5 ? [0, along * 2] : [1, along * 2 - 1];
		return `color-mix(in oklab, var(--ramp-${low}), var(--ramp-${low + 1}) ${(100 * share).toFixed(1)}%)`;
	};
}

/** @type {(props: {axis: RunAxis, rows: number[]}) => VNode} */
function Legend({axis: {column, names, ends, write, places, lacks}, rows}) {
	const without = rows.filter(row => places[row] === null).length;
	const hidden = (names?.length ?? 0) - HUES;
	const scale = ends(rows);
	return html`<div class="legend" role="group" aria-label="Colors"><bdi class="quiet">${column.name}</bdi>
		${
			names
				? html`${names.slice(0, HUES).map((name, index) => html`<span><i class="dot" style=${{background: `var(--line-${index})`}}></i> <bdi>${name}</bdi></span>`)}
			${hidden > 0 && html`<span><i class="dot"></i> ${counted(hidden, "other")}</span>`}`
				: scale && html`<span>${write(scale[0])} <i class="ramp"></i> ${write(scale[1])}</span>`
		}
		${without > 0 && html`<span><i class="dot"></i> ${counted(without, "run")} without a ${lacks}</span>`}</div>`;
}

/** @type {(props: {route: Route, runs: Run[], rows: number[], axes: RunAxis[]}) => VNode} */
const ValuesTable = ({route, runs, rows, axes}) => html`<${Scroll} label="Values of the runs"><table>
	<thead><tr>${Head("Name")}${axes.map(({column}) => html`<th scope="col"><bdi>${column.name}</bdi> <small>${KINDS.some(kind => kind === column.kind) && column.kind}</small></th>`)}</tr></thead>
	<tbody>${rows.map(
		row => html`<tr key=${runs[row].uuid}><th scope="row"><${RunLink} route=${route} run=${runs[row]} /></th>
		${axes.map(({cells, write}) => html`<td><bdi>${write(cells[row])}</bdi></td>`)}</tr>`
	)}</tbody></table><//>`;

// What is drawn unless something else is chosen: what differs between runs, and the metric that is read first.
/** @param {Map<string, Set<string>>} values @param {Metric[]} metrics @param {number} count */
function usualColumns(values, metrics, count) {
	const numeric = metrics.filter(({is_numeric}) => is_numeric);
	const metric = chosenColumns(numeric, new Map()).find(({kind}) => kind !== "config")?.key ?? "duration";
	const varied = [...values].filter(([, different]) => different.size > 1);
	// A name or a path of each run says less.
	const isOwn = (/** @type {[string, Set<string>]} */ [, different]) =>
		different.size > 2 && different.size === count && [...different].every(text => text.startsWith('"'));
	const configs = varied.sort((a, b) => Number(isOwn(a)) - Number(isOwn(b))).map(([name]) => `config:${name}`);
	return {
		x: configs[0] ?? "created",
		y: metric,
		axes: [...(configs.length ? configs.slice(0, AXES) : ["created"]), metric]
	};
}

/** @type {(props: {axes: RunAxis[], rows: number[], missed: number}) => VNode | false} */
function Missing({axes, rows, missed}) {
	const drawn = rows.filter(row => isDrawn(axes, row)).length;
	const reasons = lacking(axes, rows).map(
		({count, lacks, name}) => html`<span>${counted(count, "run")} without a ${lacks} of <bdi>${name}</bdi></span>`
	);
	if (missed > 0) reasons.push(html`<span>${counted(missed, "older run")}: only the newest ${RUNS} are loaded</span>`);
	return reasons.length > 0 && html`<p class="quiet missing">${counted(drawn, "run")} drawn. Not drawn: ${reasons}</p>`;
}

/** @type {Component} */
export function Explore({route, runs, found, metrics, problem, onError}) {
	const [isTable, setTable] = useState(false);
	const {values} = useMemo(() => configsOf(runs), [runs]);
	const usual = useMemo(() => usualColumns(values, metrics, runs.length), [values, metrics]);
	const choices = {configs: [...values.keys()], metrics: numericNames(metrics)};
	const isParallel = option("plot") === "parallel";
	/** @type {(name: string, key?: string) => string} */
	const axisIn = (name, key = "") => (isAxis(option(name)) ? option(name) : key);
	const chosen = {x: axisIn("px", usual.x), y: axisIn("py", usual.y), color: axisIn("color")};
	const keys = isParallel
		? (options("axis")?.filter(isAxis) ?? usual.axes)
		: [chosen.x, chosen.y, ...(chosen.color ? [chosen.color] : [])];
	const columns = [...new Set(keys)].map(columnFor);
	const where = [whereOf(option("q")), option("status") && `status = ${option("status")}`].filter(Boolean);
	const filter = where.map(part => `(${part})`).join(" and ");
	const list = useRef(runs);
	list.current = runs;
	const {value, error} = usePolled(loadCells(route, columns, filter, list), [JSON.stringify([columns, filter])]);
	const head = html`<div class="bar"><${RunSearch} problem=${problem} />
		<div class="choice" role="group" aria-label="Plot">${Object.entries(PLOTS).map(([key, label]) => html`<button aria-pressed=${isParallel === Boolean(key)} onClick=${() => setOptions({plot: key})}>${label}</button>`)}</div>
		<button aria-pressed=${isTable} onClick=${() => setTable(!isTable)}>Table</button></div>`;
	const isLoaded = value && columns.every(({key}) => value.cells.has(key));
	const shown = isLoaded ? found.filter(({uuid}) => value.rows.has(uuid)) : [];
	const every = shown.map((_run, row) => row);
	/** @param {number[]} drawn */
	const axesFor = drawn =>
		columns.map(column => {
			const all = value?.cells.get(column.key) ?? [];
			const cells = shown.map(({uuid}) => all[value?.rows.get(uuid) ?? -1] ?? null);
			return axisOf(column, cells, chosenScale(column.key), drawn);
		});
	const isPlaced = (/** @type {RunAxis} */ {column: {key}}) => isParallel || key === chosen.x || key === chosen.y;
	const whole = axesFor(every);
	const rows = every.filter(row => isDrawn(whole.filter(isPlaced), row));
	// Runs that are not drawn need no room.
	const axes = rows.length && rows.length < every.length ? axesFor(rows) : whole;
	const byKey = new Map(axes.map(axis => [axis.column.key, axis]));
	const color = isParallel ? axes.at(-1) : byKey.get(chosen.color);
	const placed = axes.filter(isPlaced);
	// The newest are loaded. A run may have started since.
	const oldest = value?.where === filter ? (runs.find(({uuid}) => uuid === value.last)?.date_created ?? "") : "";
	const missed = found.filter(run => !value?.rows.has(run.uuid) && run.date_created < oldest).length;
	const shared = {
		onError,
		colorKey: chosen.color,
		runs: shown,
		rows,
		axes,
		byKey,
		choices,
		color: colorsOf(color, rows),
		onOpen: (/** @type {Run} */ run) => navigate(runPath(route, run.uuid))
	};
	const state = !found.length
		? html`<div class="empty"><p>No runs match.</p><button onClick=${() => setOptions({q: "", status: ""})}>Clear filter</button></div>`
		: !isLoaded && (error ? html`<p class="quiet nothing">The values can't be loaded.</p>` : Loading());
	const legend = color && html`<${Legend} axis=${color} rows=${rows} />`;
	const table = (/** @type {number[]} */ listed) =>
		isTable && html`<${ValuesTable} route=${route} runs=${shown} rows=${listed} axes=${axes} />`;
	const missing = html`<${Missing} axes=${placed} rows=${every} missed=${missed} />`;
	const Plot = isParallel ? ParallelCoordinates : ScatterPlot;
	return html`${head}<${Problem} error=${error} /><${Plot} ...${shared} x=${chosen.x} y=${chosen.y} state=${state} legend=${legend} missing=${missing} table=${table} />`;
}
