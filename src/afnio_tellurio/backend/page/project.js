// A project: its runs in a column beside their charts, or in a table.

import {Link, option, options, queryWith, setOptions} from "./address.js";
import {comparePath} from "./backend.js";
import {counted, Mark} from "./format.js";
import {FirstRun, ProjectHead} from "./heads.js";
import {html, useEffect, useMemo, useState} from "./preact.js";
import {RunLink, Status} from "./runs.js";
import {RunSearch, useFound} from "./search.js";
import {Loading, lazy, MOST, numericNames, selection, useMetrics, useView, waiting, withStyles} from "./views.js";

const PAGE = 50;

/** @param {number} count @returns {{page: number, pages: number, first: number, end: number}} */
export function pageOf(count) {
	const pages = Math.max(1, Math.ceil(count / PAGE));
	const page = Math.min(pages, Math.max(1, Number(option("page")) || 1));
	const first = (page - 1) * PAGE;
	return {page, pages, first, end: Math.min(count, first + PAGE)};
}

// A page of runs without groups.
/** @type {Grouping["lay"]} */
export function inPages(found, item) {
	const {first, end} = pageOf(found.length);
	return {count: found.length, listed: found.slice(first, end).map(item)};
}

/** @type {(props: {count: number}) => VNode} */
export function Pager({count}) {
	const {page, pages, first, end} = pageOf(count);
	const total = counted(count, "run");
	/** @type {(label: string, to: number) => VNode} */
	const turn = (label, to) =>
		html`<button disabled=${to < 1 || to > pages} onClick=${() => setOptions({page: to})}>${label}</button>`;
	return html`<div class="bar"><span class="quiet">${!count ? "No matching runs." : pages > 1 ? `${first + 1}–${end} of ${total}` : total}</span>
		${pages > 1 && html`${turn("Previous", page - 1)} ${turn("Next", page + 1)}`}</div>`;
}

/** @param {ShownRun[]} shownRuns @returns {Props["onSelect"]} */
const selecting = shownRuns => (uuid, isShown) => {
	const others = shownRuns.map(run => run.uuid).filter(other => other !== uuid);
	setOptions({run: [...others, ...(isShown ? [uuid] : [])]});
};

const GroupChoice = lazy(
	() => import("./grouping.js"),
	module => module.GroupChoice
);

// The groups that the address asks for, once they are known.
/** @param {Run[] | undefined} runs @param {Props["onError"]} onError @returns {Grouping | null} */
function useGrouping(runs, onError) {
	const key = option("group");
	const [module, setModule] = useState(/** @type {{loaded: typeof import("./grouping.js")} | null} */ (null));
	useEffect(() => {
		if (key) import("./grouping.js").then(loaded => setModule({loaded}), onError);
	}, [Boolean(key)]);
	return useMemo(() => (key && module && runs ? module.loaded.groupingOf(runs, key) : null), [key, module, runs]);
}

/** @type {Component} */
export function Selection({route, runs, found, shownRuns, onError}) {
	const group = option("group");
	const [isGrouping, setGrouping] = useState(false);
	const uuids = shownRuns.map(({uuid}) => uuid);
	return html`<div class="bar">
		<button onClick=${() => setOptions({run: found.slice(0, MOST).map(({uuid}) => uuid)})}>All</button>
		<button onClick=${() => setOptions({run: []})}>None</button>
		${options("run") && html`<button onClick=${() => setOptions({run: ""})}>Reset selection</button>`}
		${uuids.length > 1 && html`<${Link} class="button" to=${comparePath(route, uuids)}>Compare ${uuids.length} runs<//>`}
		${group || isGrouping ? html`<${GroupChoice} runs=${runs} name=${group} onError=${onError} />` : html`<button onClick=${() => setGrouping(true)}>Group</button>`}
	</div>`;
}

/** @type {Component} */
export function RunPick({run, slot, onSelect}) {
	return html`<label class="pick"><input type="checkbox" aria-label="Show ${run.name}" checked=${slot !== undefined}
		onChange=${(/** @type {FieldEvent} */ event) => onSelect(run.uuid, event.target.checked)} /><${Mark} slot=${slot} /></label>`;
}

/** @type {(name: string, runs: Run[]) => VNode} */
const only = (name, runs) =>
	html`<button class="only" aria-label="Show only ${name}" onClick=${() => setOptions({run: runs.slice(0, MOST).map(({uuid}) => uuid)})}>Only</button>`;

/** @type {Component} */
function RunColumn({route, runs, found, shownRuns, groups, problem, onError}) {
	// On a narrow screen the list would hide the charts.
	const [isOpen, setOpen] = useState(false);
	const slots = new Map(shownRuns.map(run => [run.uuid, run.slot]));
	const onSelect = selecting(shownRuns);
	const item = (/** @type {Run} */ run) => html`<li key=${run.uuid} data-status=${run.status}>
				<${RunPick} run=${run} slot=${slots.get(run.uuid)} onSelect=${onSelect} />
				<${Status} run=${run} isShort=${true} /><${RunLink} route=${route} run=${run} />
				${only(run.name, [run])}</li>`;
	const {count, listed} = (groups?.lay ?? inPages)(
		found,
		item,
		(button, all, name) =>
			html`<li key=${name} class="group">${button} ${only(`the runs of ${name.slice(1) || "no value"}`, all)}</li>`
	);
	return html`<section class="side" aria-label="Runs" data-open=${isOpen}>
		<button class="fold" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>Runs <small>${shownRuns.length} in charts</small></button>
		<${RunSearch} problem=${problem} />
		<${Selection} route=${route} runs=${runs} found=${found} shownRuns=${shownRuns} onError=${onError} />
		<ul class="runs">${listed}</ul>
		${(count > 0 || !found.length) && html`<${Pager} count=${count} />`}
	</section>`;
}

/** @type {Record<string, Component>} */
const TABS = {
	table: lazy(
		() => withStyles(import("./table.js"), "table.css"),
		module => module.RunTable
	),
	explore: lazy(
		() => withStyles(import("./explore.js"), "explore.css"),
		module => module.Explore
	),
	trash: lazy(
		() => withStyles(import("./trash.js"), "many.css"),
		module => module.Trash
	)
};
const loadCurves = () => import("./curves.js");
const Charts = lazy(loadCurves, module => module.Curves);

/** @type {Component} */
function NothingShown({found}) {
	if (found.length)
		return html`<div class="empty"><p>No runs are selected.</p><button onClick=${() => setOptions({run: ""})}>Reset selection</button></div>`;
	return html`<div class="empty"><p>No runs match.</p><button onClick=${() => setOptions({q: "", status: "", run: ""})}>Clear filter</button></div>`;
}

// A list without the runs that this page has deleted since, each with the number of that change.
/** @param {RunList | undefined} list @param {Map<string, number>} gone @returns {RunList | undefined} */
function without(list, gone) {
	const runs = list?.runs.filter(({uuid}) => !(Number(gone.get(uuid)) > list.changes)) ?? [];
	if (!list || runs.length === list.runs.length) return list;
	return {...list, runs, byId: new Map(runs.map(run => [run.uuid, run]))};
}

/** @type {Component} */
export function ProjectView({route, name, list: loaded, theme, onError}) {
	const [gone, setGone] = useState(/** @type {Map<string, number>} */ (new Map()));
	const list = {...loaded, value: without(loaded.value, gone)};
	const tab = Object.hasOwn(TABS, option("tab")) ? option("tab") : "";
	const {found, problem} = useFound(route, list.value);
	const groups = useGrouping(list.value?.runs, onError);
	const shownRuns = list.value && found ? selection(found, list.value.byId) : [];
	const uuids = shownRuns.length ? shownRuns.map(({uuid}) => uuid) : undefined;
	// Charts are of the runs that are selected.
	const listed = useMetrics(route, list.value, tab ? null : uuids);
	useView(name, onError, list, listed);
	// Beside the runs. What shows the charts reports what fails.
	useEffect(() => void (tab || loadCurves().catch(() => 0)), []);
	if (!list.value) return waiting(list);
	const {runs} = list.value;
	if (!runs.length && tab !== "trash")
		return html`<${ProjectHead} route=${route} name=${name} /><${FirstRun} namespace=${route.namespace} project=${name} /><p class="empty"><${Link} to=${queryWith({tab: "trash"})}>Deleted runs<//></p>`;
	const head = html`<${ProjectHead} route=${route} name=${name} runs=${runs} />`;
	if (!found) return html`${head}${Loading()}`;
	const colored = groups ? shownRuns.map(run => ({...run, slot: groups.slotOf(run)})) : shownRuns;
	const metrics = listed.value;
	const shared = {route, runs, found, shownRuns: colored, groups, problem, setGone, onError};
	// What it draws unless something else is chosen depends on the metrics.
	if (tab === "explore" && !metrics) return html`${head}${Loading()}`;
	if (tab) return html`${head}<${TABS[tab]} ...${shared} metrics=${metrics ?? []} onSelect=${selecting(colored)} />`;
	return html`${head}<div class="project"><${RunColumn} ...${shared} />
		<div class="main">${!shownRuns.length ? html`<${NothingShown} found=${found} />` : metrics ? html`<${Charts} onError=${onError} route=${route} names=${numericNames(metrics)} isStale=${String(metrics.uuids) !== String(uuids)} shownRuns=${colored} theme=${theme} />` : Loading()}</div></div>`;
}
