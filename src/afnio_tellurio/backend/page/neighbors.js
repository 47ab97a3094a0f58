// The runs beside one in the list that a person came from, and a menu to compare it with one of them.

import {Link, option} from "./address.js";
import {comparePath, pagesOf, projectPath, runPath, usePolled} from "./backend.js";
import {html, useState} from "./preact.js";
import {Status} from "./runs.js";
import {knownRuns, Problem} from "./views.js";

const PAGE = 200;
// The pages in which the run is sought.
const PAGES = 25;
const LISTED = 30;

// Words are searched for here, as in the list itself.
async function listed() {
	const text = option("q").trim();
	const {isFilter, matching} = text ? await import("./search.js") : {isFilter: () => false, matching: () => () => true};
	const where = isFilter(text) ? text : undefined;
	const query = {where, sort: option("sort") || undefined, status: option("status") || undefined, limit: PAGE};
	return {query, isMatch: where ? () => true : matching(text)};
}

// The list up to the page that has the run and the one after it. It is loaded once.
/** @type {(route: Route, run: Run) => Load<Run[]>} */
const loadList = (route, run) => async (before, signal) => {
	if (before) return before;
	const {query, isMatch} = await listed();
	const known = knownRuns(route);
	// In the order of the list, unless the backend filters or sorts it.
	if (known?.some(({uuid}) => uuid === run.uuid) && !query.where && !query.sort)
		return known.filter(one => isMatch(one) && (!query.status || one.status === query.status));
	/** @type {Run[]} */
	const runs = [];
	let pages = 0;
	for await (const page of pagesOf(`${projectPath(route)}runs/`, query, signal)) {
		runs.push(...page.filter(isMatch));
		const place = runs.findIndex(({uuid}) => uuid === run.uuid);
		pages += 1;
		if ((place >= 0 && place < runs.length - 1) || pages === PAGES) break;
	}
	return runs;
};

/** @type {Component} */
function Compare({route, run, runs}) {
	const [text, setText] = useState("");
	const sought = text.toLowerCase();
	const others = runs.filter(one => one.uuid !== run.uuid);
	const found = others.filter(({name}) => name.toLowerCase().includes(sought));
	if (!others.length) return "";
	return html`<details class="menu"><summary>Compare</summary><div class="panel">
		<input type="search" placeholder="Search runs" aria-label="Search runs to compare" value=${text} onInput=${(/** @type {FieldEvent} */ {target}) => setText(target.value)} />
		${found.slice(0, LISTED).map(one => html`<${Link} class="option" key=${one.uuid} to=${comparePath(route, [run.uuid, one.uuid])} aria-label="Compare with ${one.name}"><${Status} run=${one} isShort=${true} /> <bdi>${one.name}</bdi><//>`)}
		${!found.length && html`<p class="quiet">No matching runs.</p>`}
		${found.length > LISTED && html`<p class="quiet">Only the first ${LISTED} are shown.</p>`}
	</div></details>`;
}

/** @type {Component} */
export function Neighbors({route, run}) {
	const {value: runs = [], error} = usePolled(loadList(route, run), []);
	const place = runs.findIndex(({uuid}) => uuid === run.uuid);
	/** @type {(label: string, sign: string, other: Run | undefined) => VNode} */
	const turn = (label, sign, other) =>
		other && place >= 0
			? html`<${Link} class="button" to=${runPath(route, other.uuid) + location.search} aria-label="${label}: ${other.name}" title="${label}: ${other.name}">${sign}<//>`
			: html`<button disabled aria-label=${label}>${sign}</button>`;
	return html`<${Problem} error=${error} />
		<span class="turns">${turn("Previous run", "‹", runs[place - 1])}${turn("Next run", "›", runs[place + 1])}</span>
		<${Compare} route=${route} run=${run} runs=${runs} />`;
}
