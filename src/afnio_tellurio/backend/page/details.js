// What a run is beside its metrics: why it ended, its notes, its children, its config and its environment.

import {get, projectPath, runPath, unlessSame, usePolled} from "./backend.js";
import {counted, number, Scroll} from "./format.js";
import {html} from "./preact.js";
import {RunLink, Status} from "./runs.js";
import {isObject} from "./values.js";

export {Value} from "./values.js";

// Rows that are shown without a click, and at most.
const FEW = 8;
const MOST = 1000;
const CHARACTERS = 1000;
const CHILDREN = 100;

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
	Object.entries(fields).flatMap(([key, value]) =>
		isObject(value) && !Array.isArray(value) && Object.keys(value).length
			? flattened(value, `${start}${key}.`)
			: [[start + key, value]]
	);

/** @type {Component} */
function Fields({label, fields, isOpen}) {
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
	return html`<section>${family.error && html`<p class="problem" role="alert">${family.error.message}</p>`}
		${facts.length > 0 && html`<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd class="text"><bdi>${fact}</bdi></dd></div>`)}</dl>`}
		${reason?.traceback && html`<details><summary>Traceback</summary><pre tabindex="0">${reason.traceback}</pre></details>`}
		<${Children} route=${route} runs=${family.value?.children ?? []} />
		<${Fields} label="Config" fields=${run.config ?? {}} isOpen=${true} />
		<${Fields} label="Environment" fields=${environment} />
		<${Fields} label=${counted(Object.keys(listed).length, "package")} fields=${listed} /></section>`;
}
