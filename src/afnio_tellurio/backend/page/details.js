// What a run is beside its metrics: why it ended, its notes, its children, its config, its environment and its tables.

import {get, getAll, projectPath, runPath, unlessSame, usePolled} from "./backend.js";
import {counted, number, Scroll} from "./format.js";
import {html, useEffect, useState} from "./preact.js";
import {RunLink, Status} from "./runs.js";
import {isObject, Value} from "./values.js";
import {Problem} from "./views.js";

export {Value} from "./values.js";

// Rows that are shown without a click, and at most.
const FEW = 8;
const MOST = 1000;
const CHARACTERS = 1000;
const CHILDREN = 100;
const ROWS = 100;

// A run's parent, which need not exist, and its newest children.
/** @type {(route: Route, run: Run) => Load<Family>} */
const loadFamily = (route, run) => async (before, signal) => {
	const query = {parent_uuid: run.uuid, limit: CHILDREN + 1};
	const children = await get(`${projectPath(route)}runs/`, query, signal);
	if (before || !run.parent_uuid) return unlessSame(before, {parent: before?.parent, children});
	const parent = await get(runPath(route, run.parent_uuid), {}, signal).catch(error => {
		if (error.status !== 404) throw error;
	});
	return {parent, children};
};

// The values of nested fields by their dotted paths.
/** @param {object} fields @returns {[string, unknown][]} */
const flattened = (fields, start = "") =>
	Object.entries(fields).flatMap(([name, value]) => {
		const key = name.includes(".") ? `"${name}"` : name;
		return isObject(value) && !Array.isArray(value) && Object.keys(value).length
			? flattened(value, `${start}${key}.`)
			: [[start + key, value]];
	});

/** @type {Component} */
export function Fields({label, fields, isOpen}) {
	const rows = flattened(fields);
	const hidden = rows.length - MOST;
	if (!rows.length) return "";
	return html`<details open=${isOpen && rows.length <= FEW}><summary>${label}</summary>
		<${Scroll} label=${label}><table><tbody>${rows
			.slice(0, MOST)
			.map(
				([path, value]) =>
					html`<tr><th scope="row"><bdi>${path}</bdi></th><td><bdi>${number(JSON.stringify(value), CHARACTERS)}</bdi></td></tr>`
			)}</tbody></table><//>
		${hidden > 0 && html`<p>${counted(hidden, "more value")} not shown.</p>`}
	</details>`;
}

// As the command line writes it.
/** @param {EndReason} reason */
const sentence = ({kind, type, message, signal}) =>
	signal ? `signal ${signal}` : type ? (message ? `${type}: ${message}` : type) : message || kind;

/** @type {Component} */
function Children({route, runs}) {
	if (!runs.length) return "";
	return html`<h2>Children</h2><ul class="legend">${runs
		.slice(0, CHILDREN)
		.map(run => html`<li key=${run.uuid}><${RunLink} route=${route} run=${run} /> <${Status} run=${run} /></li>`)}</ul>
		${runs.length > CHILDREN && html`<p>Only the newest ${CHILDREN} are shown.</p>`}`;
}

/** @type {(route: Route, run: Run) => Load<Table[]>} */
const loadTables = (route, run) => async (before, signal) =>
	unlessSame(before, await get(`${runPath(route, run.uuid)}tables/`, {}, signal));

// Rows are loaded once they are to be seen.
/** @type {(route: Route, run: Run, name: string, isOpen: boolean) => Load<TableRow[]>} */
const loadRows = (route, run, name, isOpen) => async (before, signal) =>
	isOpen
		? unlessSame(before, await get(`${runPath(route, run.uuid)}tables/rows/`, {name, limit: ROWS}, signal))
		: (before ?? []);

/** @type {Component} */
function TableOf({route, run, table: {name, count}}) {
	const [isOpen, setOpen] = useState(false);
	const rows = usePolled(loadRows(route, run, name, isOpen), [isOpen]);
	const values = rows.value?.map(row => row.value) ?? [];
	const toggle = (/** @type {any} */ event) => setOpen(event.currentTarget.open);
	return html`<details onToggle=${toggle}><summary><bdi>${name}</bdi>: ${counted(count, "row")}</summary>
		<${Problem} error=${rows.error} />
		${values.length > 0 && html`<${Value} name=${name} value=${values} />`}
		${values.length > 0 && count > values.length && html`<p>Only the first ${values.length} rows are shown.</p>`}</details>`;
}

/** @type {Component} */
function Tables({route, run}) {
	const tables = usePolled(loadTables(route, run), []);
	if (!tables.value?.length) return "";
	return html`<h2>Tables</h2>${tables.value.map(table => html`<${TableOf} key=${table.name} route=${route} run=${run} table=${table} />`)}`;
}

// Files are listed again only while the run can log more.
/** @type {(route: Route, run: Run) => Load<RunStore>} */
const loadStore = (route, run) => async (before, signal) => {
	if (before && run.status !== "RUNNING") return before;
	const path = runPath(route, run.uuid);
	const [files, links] = await Promise.all([
		getAll(`${path}files/`, {limit: 10_000}, signal),
		getAll(`${path}artifacts/`, {limit: 1000}, signal)
	]);
	return unlessSame(before, {files, links});
};

// What the run has stored, if anything. Other runs do not need the code for it.
/** @type {Component} */
export function RunStore({route, run}) {
	const [parts, setParts] = useState(/** @type {typeof import("./files.js") | null} */ (null));
	const [problem, setProblem] = useState(/** @type {Error | null} */ (null));
	const store = usePolled(loadStore(route, run), [run.status]);
	const {files, links} = store.value ?? {files: [], links: []};
	const hasAny = files.length + links.length > 0;
	useEffect(() => void (hasAny && import("./files.js").then(setParts, setProblem)), [hasAny]);
	const error = store.error ?? problem;
	return html`<${Problem} error=${error} />
		${parts && files.length > 0 && html`<${parts.RunFiles} route=${route} run=${run} files=${files} />`}
		${parts && links.length > 0 && html`<${parts.RunArtifacts} route=${route} links=${links} />`}`;
}

/** @type {Component} */
export function RunDetails({route, run}) {
	const family = usePolled(loadFamily(route, run), []);
	const {ended_because: reason, parent_uuid: parent} = run;
	const known = family.value?.parent ?? {uuid: parent, name: parent};
	const facts = [
		["Group", run.group],
		["Job type", run.job_type],
		["Parent", parent && html`<${RunLink} route=${route} run=${known} />`],
		["Ended because", reason && sentence(reason)],
		["Notes", run.notes]
	].filter(([, fact]) => fact);
	const {packages, ...environment} = run.environment ?? {};
	const listed = isObject(packages) ? packages : {};
	return html`<section><${Problem} error=${family.error} />
		${facts.length > 0 && html`<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd class="text"><bdi>${fact}</bdi></dd></div>`)}</dl>`}
		${reason?.traceback && html`<details><summary>Traceback</summary><pre tabindex="0">${reason.traceback}</pre></details>`}
		<${Children} route=${route} runs=${family.value?.children ?? []} />
		<${Fields} label="Config" fields=${run.config ?? {}} isOpen=${true} />
		<${Fields} label="Environment" fields=${environment} />
		<${Fields} label=${counted(Object.keys(listed).length, "package")} fields=${listed} />
		<${Tables} route=${route} run=${run} /></section>`;
}
