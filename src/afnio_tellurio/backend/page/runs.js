// The table of a project's runs: sorted, filtered, with columns of metrics.

import {Link, option, optionSetter, options, setOptions} from "./address.js";
import {runPath} from "./backend.js";
import {capitalized, counted, duration, isNumber, Mark, number, Scroll, secondsOf, when} from "./format.js";
import {html, useEffect, useMemo, useState} from "./preact.js";

const PAGE = 50;
// The time that a regular expression may take.
const MATCH_MS = 2000;
const NEWEST_FIRST = "-started";
/** @type {Record<string, string>} */
const SIGNS = {RUNNING: "●", COMPLETED: "✓", CRASHED: "✕", FAILED: "!"};
/** @type {Kind[]} */
export const KINDS = ["last", "minimum", "maximum"];

/** @type {Component} */
export const RunLink = ({route, run}) =>
	html`<${Link} to=${runPath(route, run.uuid)} title=${run.description}><bdi>${run.name}</bdi><//>`;

/** @type {Component} */
export const Status = ({run: {status}}) =>
	html`<span class="status" data-status=${status}><i aria-hidden="true">${Object.hasOwn(SIGNS, status) ? SIGNS[status] : "?"}</i> ${capitalized(status)}</span>`;

/** @type {Component} */
function Duration({run}) {
	const [, tick] = useState(0);
	const isRunning = run.status === "RUNNING";
	useEffect(() => {
		const timer = isRunning ? setInterval(() => tick(count => count + 1), 1000) : 0;
		return () => clearInterval(timer);
	}, [isRunning]);
	return duration(secondsOf(run));
}

/** @type {Record<string, Fact>} */
export const FACTS = {
	status: ["Status", run => run.status, run => html`<${Status} run=${run} />`],
	user: ["User", run => run.user?.username, run => html`<bdi>${run.user?.username}</bdi>`],
	started: ["Started", run => run.date_created, run => when(run.date_created)],
	duration: ["Duration", secondsOf, run => html`<${Duration} run=${run} />`],
	tags: [
		"Tags",
		run => run.tags?.join("\n") || undefined,
		run => (run.tags?.length ? run.tags.map(tag => html`<bdi class="tag">${tag}</bdi> `) : "")
	]
};

// A column of a metric is written "last:train/loss" in the address.
/** @param {Metric[]} metrics @returns {Column[]} */
export function chosenColumns(metrics) {
	const common = metrics.filter(metric => metric.is_numeric).sort((a, b) => b.runs - a.runs);
	const keys = options("col") ?? common.slice(0, 3).map(({name}) => `last:${name}`);
	return keys.map(key => ({key, kind: key.slice(0, key.indexOf(":")), name: key.slice(key.indexOf(":") + 1)}));
}

/** @param {Run} run */
const textsOf = ({name, user, description, tags = []}) => [name, user?.username ?? "", description ?? "", ...tags];

// A regular expression can take forever, and a link can contain one. So it runs in a worker.
/** @param {Run[]} runs @param {string} pattern */
function useMatches(runs, pattern) {
	const [matches, setMatches] = useState(/** @type {Matches} */ ({uuids: new Set(), problem: null}));
	useEffect(() => {
		if (!pattern) return;
		const worker = new Worker("/assets/matching.js");
		let timer = 0;
		const end = () => {
			clearTimeout(timer);
			worker.terminate();
		};
		/** @param {Matches} result */
		const finish = result => {
			end();
			setMatches(result);
		};
		worker.onmessage = ({data}) => {
			if (data) return finish(data);
			const problem = "This regular expression takes too long.";
			timer = setTimeout(() => finish({uuids: new Set(), problem}), MATCH_MS);
			worker.postMessage({pattern, texts: runs.map(run => [run.uuid, textsOf(run)])});
		};
		return end;
	}, [runs, pattern]);
	return matches;
}

/** @param {Run[]} runs */
export function useFiltered(runs) {
	const text = option("q");
	const part = text.toLowerCase();
	const pattern = option("regex") && text;
	const status = option("status");
	const {uuids, problem} = useMatches(runs, pattern);
	const isMatch = (/** @type {Run} */ run) =>
		pattern ? uuids.has(run.uuid) : textsOf(run).some(word => word.toLowerCase().includes(part));
	const found = runs.filter(run => (!status || run.status === status) && isMatch(run));
	return {found, problem: pattern ? problem : null};
}

/** @param {Run[]} runs @param {string} order @param {Column[]} columns @param {Summaries | undefined} summaries */
function sorted(runs, order, columns, summaries) {
	const key = order.replace(/^-/, "");
	const column = columns.find(column => column.key === key);
	/** @type {((run: Run) => any) | undefined} */
	const fact = key === "name" ? run => run.name : FACTS[key]?.[1];
	const value = column
		? (/** @type {Run} */ run) => summaries?.get(column.name)?.get(run.uuid)?.[/** @type {Kind} */ (column.kind)]
		: fact;
	if (!value) return runs;
	const isMissing = (/** @type {unknown} */ item) => item == null || (column && !isNumber(item));
	return runs
		.map(run => ({run, item: value(run)}))
		.sort(({item: a}, {item: b}) => {
			// Runs without the value come last, either way.
			if (isMissing(a) || isMissing(b)) return Number(isMissing(a)) - Number(isMissing(b));
			return (Number(a > b) - Number(a < b)) * (key === order ? 1 : -1);
		})
		.map(({run}) => run);
}

/** @type {Component} */
function Heading({sort, label, kind}) {
	const order = option("sort", NEWEST_FIRST);
	const [state, arrow] =
		order === sort ? ["ascending", " ↑"] : order === `-${sort}` ? ["descending", " ↓"] : ["none", ""];
	const onClick = () => setOptions({sort: state === "ascending" ? `-${sort}` : sort, page: ""});
	return html`<th scope="col" aria-sort=${state}><button class="plain" onClick=${onClick}>
		<bdi>${label}</bdi> <small>${kind}</small><span aria-hidden="true">${arrow}</span>
	</button></th>`;
}

/** @type {Component} */
function Columns({metrics, columns}) {
	const [text, setText] = useState("");
	const shown = metrics.filter(({name}) => name.toLowerCase().includes(text.toLowerCase())).slice(0, 200);
	const set = (/** @type {string} */ name, /** @type {string} */ kind) => {
		const others = columns.filter(column => column.name !== name).map(({key}) => key);
		setOptions({col: kind ? [...others, `${kind}:${name}`] : others});
	};
	return html`<details class="menu"><summary>Columns</summary><div class="panel">
		<input type="search" placeholder="Search metrics" aria-label="Search metrics" value=${text} onInput=${(/** @type {FieldEvent} */ event) => setText(event.target.value)} />
		${shown.map(
			({name}) => html`<label key=${name}><bdi>${name}</bdi>
			<select value=${columns.find(column => column.name === name)?.kind ?? ""} onChange=${(/** @type {FieldEvent} */ event) => set(name, event.target.value)}>
				<option value="">Hidden</option>${KINDS.map(kind => html`<option value=${kind}>${capitalized(kind)}</option>`)}
			</select></label>`
		)}
	</div></details>`;
}

/** @type {Component} */
export function RunFilter({metrics, columns, problem}) {
	return html`<div class="bar" role="search">
		<input id="filter" type="search" placeholder="Filter runs (/)" aria-label="Filter runs" value=${option("q")} onInput=${optionSetter("q")} />
		<label><input type="checkbox" checked=${option("regex")} onChange=${optionSetter("regex")} /> Regex</label>
		<select aria-label="Status" value=${option("status")} onChange=${optionSetter("status")}>
			<option value="">Any status</option>${Object.keys(SIGNS).map(status => html`<option value=${status}>${capitalized(status)}</option>`)}
		</select>
		<${Columns} metrics=${metrics} columns=${columns} />
		<span class="problem" role="alert">${problem}</span>
	</div>`;
}

/** @type {Component} */
export function RunTable({route, runs, columns, summaries, shownRuns, onSelect}) {
	const order = option("sort", NEWEST_FIRST);
	const ordered = useMemo(
		() => sorted(runs, order, columns, summaries),
		[runs, order, summaries, columns.map(({key}) => key).join("\n")]
	);
	const pages = Math.max(1, Math.ceil(ordered.length / PAGE));
	const page = Math.min(pages, Math.max(1, Number(option("page")) || 1));
	const first = (page - 1) * PAGE;
	const shown = ordered.slice(first, first + PAGE);
	const slots = new Map(shownRuns.map(run => [run.uuid, run.slot]));
	const total = counted(ordered.length, "run");
	/** @type {(label: string, to: number) => VNode} */
	const turn = (label, to) =>
		html`<button disabled=${to < 1 || to > pages} onClick=${() => setOptions({page: to})}>${label}</button>`;
	return html`<${Scroll} label="Runs"><table>
			<thead><tr><th scope="col"><span class="unseen">In charts</span></th>
				<${Heading} sort="name" label="Name" />
				${Object.entries(FACTS).map(([key, [label]]) => html`<${Heading} sort=${key} label=${label} />`)}
				${columns.map(({key, name, kind}) => html`<${Heading} key=${key} sort=${key} label=${name} kind=${kind} />`)}
			</tr></thead>
			<tbody>${shown.map(
				run => html`<tr key=${run.uuid} data-status=${run.status}>
				<td><label class="pick"><input type="checkbox" aria-label="Show ${run.name}" checked=${slots.has(run.uuid)} onChange=${(/** @type {FieldEvent} */ event) => onSelect(run.uuid, event.target.checked)} />
					<${Mark} slot=${slots.get(run.uuid)} /></label></td>
				<th scope="row"><${RunLink} route=${route} run=${run} /></th>
				${Object.values(FACTS).map(([, , show]) => html`<td>${show(run)}</td>`)}
				${columns.map(({key, name, kind}) => html`<td key=${key}>${number(summaries?.get(name)?.get(run.uuid)?.[/** @type {Kind} */ (kind)], 24)}</td>`)}
			</tr>`
			)}</tbody>
		</table><//>
		<div class="bar">
			<span>${!shown.length ? "No matching runs." : pages > 1 ? `${first + 1}–${first + shown.length} of ${total}` : total}</span>
			${pages > 1 && html`${turn("Previous", page - 1)} ${turn("Next", page + 1)}`}
		</div>`;
}
