// A comparison of runs: their facts and summaries side by side, and their curves.

import {Link, option, optionSetter} from "./address.js";
import {projectPath, running} from "./backend.js";
import {configsOf, isLowBest} from "./columns.js";
import {Curves} from "./curves.js";
import {capitalized, isNumber, Mark, number, Scroll} from "./format.js";
import {html, useEffect, useState} from "./preact.js";
import {FACTS, KINDS, RunLink} from "./runs.js";
import {lazy, numericNames, selection, useMetrics, useSummaries, useView, waiting, withStyles} from "./views.js";

// Rows of a section that are shown without a click: those of all sections fit in a small window.
const FEW = 8;
// In the place of a value that a run lacks.
const NONE = "–";
const Matrix = lazy(
	() => withStyles(import("./matrices.js"), "matrices.css"),
	module => /** @type {Component} */ (/** @type {unknown} */ (module.Matrix))
);

// Rows of numbers. JSON writes NaN and the infinities as texts.
/** @param {unknown} value */
const isMatrix = value =>
	Array.isArray(value) &&
	value.length > 0 &&
	value.every(
		row =>
			Array.isArray(row) &&
			row.length > 0 &&
			row.every(cell => isNumber(cell) || cell === null || /^(NaN|-?Infinity)$/.test(cell))
	);

/** @type {Component} */
export function CompareView({route, name: project, list, theme, onError}) {
	const shownRuns = list.value ? selection([], list.value.byId) : [];
	const uuids = shownRuns.map(({uuid}) => uuid);
	const isEnough = uuids.length > 1;
	const listed = useMetrics(route, list.value, isEnough ? uuids : undefined);
	useView(`Comparison, ${project}`, onError, list, listed);
	const names = isEnough ? (listed.value ?? []).map(({name}) => name) : [];
	const summaries = useSummaries(route, names, uuids, running(shownRuns));
	const [hasRows, setRows] = useState(false);
	// Charts are made after the frame that shows the rows.
	const isKnown = Boolean(summaries ?? (listed.value && !names.length));
	useEffect(() => setRows(isKnown), [isKnown]);
	if (!list.value) return waiting(list);
	if (!isEnough)
		return html`<p>Select at least two runs of <${Link} to=${projectPath(route)}><bdi>${project}</bdi><//> to compare them.</p>`;
	if (!listed.value) return waiting(listed);
	const metrics = listed.value.filter(({name}) => shownRuns.some(run => summaries?.get(name)?.has(run.uuid)));
	return html`<h1>Comparison of ${shownRuns.length} runs</h1>
		<${Differences} route=${route} shownRuns=${shownRuns} metrics=${metrics} summaries=${summaries} onError=${onError} />
		${hasRows && html`<${Curves} route=${route} names=${numericNames(metrics)} shownRuns=${shownRuns} theme=${theme} />`}`;
}

/** @param {ShownRun[]} shownRuns @param {Metric[]} metrics @param {Summaries | undefined} summaries @param {Kind} kind @returns {Record<string, ComparedRow[]>} */
function comparedRows(shownRuns, metrics, summaries, kind) {
	const {rows, values} = configsOf(shownRuns);
	/** @type {Record<string, ComparedRow["read"]>} */
	const plain = {status: run => run.status, user: run => run.user?.username, tags: run => run.tags ?? []};
	// Matrices take much room.
	const ordered = [...metrics].sort((a, b) => Number(b.is_numeric) - Number(a.is_numeric));
	return {
		"": Object.entries(FACTS).map(([key, [label, show]]) => ({
			key,
			label,
			show,
			// When a run started, and for how long it ran, differs by nature.
			read: plain[key] ?? (() => null)
		})),
		Metrics: ordered.map(({name}) => ({
			key: `${kind}:${name}`,
			label: name,
			isLow: isLowBest({name, kind}),
			read: (/** @type {Run} */ run) => summaries?.get(name)?.get(run.uuid)?.[kind]
		})),
		Config: [...values.keys()].map(name => ({
			key: `config:${name}`,
			label: name,
			read: (/** @type {Run} */ run) => rows.get(run.uuid)?.get(name)
		}))
	};
}

// What differs comes first, and more rows than fit are shown on request.
/** @type {(props: {label: string, rows: ComparedRow[], isSame: (row: ComparedRow) => boolean, count: number, line: (row: ComparedRow) => VNode}) => VNode | false} */
function Rows({label, rows, isSame, count, line}) {
	const [isOpen, setOpen] = useState(false);
	const isLong = rows.length > FEW + 2;
	const few = () => [...rows.filter(row => !isSame(row)), ...rows.filter(isSame)].slice(0, FEW);
	return (
		rows.length > 0 &&
		html`<tbody>${label && html`<tr><th scope="rowgroup" colspan=${count}>${label} ${isLong && html`<button aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? `Show ${FEW}` : `Show all ${number(rows.length)}`}</button>`}</th></tr>`}
		${(label && isLong && !isOpen ? few() : rows).map(line)}</tbody>`
	);
}

/** @type {Component} */
function Differences({route, shownRuns, metrics, summaries, onError}) {
	const kind = KINDS.find(one => one === option("of")) ?? "last";
	const base = shownRuns.find(({uuid}) => uuid === option("base")) ?? shownRuns[0];
	const isSame = (/** @type {ComparedRow} */ {read}) => {
		const text = JSON.stringify(read(base));
		return shownRuns.every(run => JSON.stringify(read(run)) === text);
	};
	const sections = Object.entries(comparedRows(shownRuns, metrics, summaries, kind)).map(
		([label, rows]) => /** @type {const} */ ([label, option("diff") ? rows.filter(row => !isSame(row)) : rows])
	);
	const line = (/** @type {ComparedRow} */ row) =>
		html`<tr key=${row.key}><th scope="row"><bdi>${row.label}</bdi></th>${shownRuns.map(run => html`<td>${cell(row, run)}</td>`)}</tr>`;
	/** @param {ComparedRow} row @param {Run} run */
	const cell = ({read, show, key, label, isLow}, run) => {
		if (show) return show(run) || NONE;
		const [value, other] = [read(run), read(base)];
		if (isMatrix(value))
			return html`<${Matrix} name=${label} value=${value} base=${run !== base && isMatrix(other) ? other : null} onError=${onError} />`;
		const change = key.startsWith("config:") || run === base ? "" : difference(value, other);
		const isBetter =
			isLow === null || isLow === undefined || !isNumber(value) || !isNumber(other) || value === other
				? undefined
				: value < other === isLow;
		return html`<bdi>${number(value, 40) || NONE}</bdi> ${change && html`<small data-better=${isBetter === undefined ? undefined : String(isBetter)}>${change}${isBetter !== undefined && html`<span class="unseen">, ${isBetter ? "better" : "worse"}</span>`}</small>`}`;
	};
	return html`<div class="bar"><label>Value <select value=${kind} onChange=${optionSetter("of")}>${KINDS.map(one => html`<option value=${one}>${capitalized(one)}</option>`)}</select></label>
		<label>Compared with <select value=${base.uuid} onChange=${optionSetter("base")}>${shownRuns.map(run => html`<option value=${run.uuid}>${run.name}</option>`)}</select></label>
		<label><input type="checkbox" checked=${option("diff")} onChange=${optionSetter("diff")} /> Only differences</label></div>
	<${Scroll} label="Differences"><table class="compared">
		<thead><tr><td></td>${shownRuns.map(run => html`<th scope="col" key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} route=${route} run=${run} /></th>`)}</tr></thead>
		${sections.map(([label, rows]) => html`<${Rows} key=${label} label=${label} rows=${rows} isSame=${isSame} count=${shownRuns.length + 1} line=${line} />`)}
	</table><//>
	${sections.every(([, rows]) => !rows.length) && html`<p class="quiet">These runs do not differ.</p>`}`;
}

/** @param {unknown} value @param {unknown} base */
function difference(value, base) {
	if (!isNumber(value) || !isNumber(base)) return "";
	if (value === base) return "=";
	const by = value - base;
	const sign = by > 0 ? "+" : "";
	const share = (by / Math.abs(base)) * 100;
	// A large share says no more than the difference.
	return `${sign}${number(by)}${Math.abs(share) < 1000 ? ` (${sign}${share.toFixed(1)}%)` : ""}`;
}
