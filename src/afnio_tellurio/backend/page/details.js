// What is said of a run above its tabs: why it ended, its facts and notes, and its family.

import {get, projectPath, runPath, unlessSame, usePolled} from "./backend.js";
import {Copy} from "./copy.js";
import {Scroll} from "./format.js";
import {icon} from "./icons.js";
import {html} from "./preact.js";
import {FACTS, RunLink, Status} from "./runs.js";
import {Problem} from "./views.js";

const CHILDREN = 100;
// Those that are listed without a click.
const FEW = 8;
// Of a text that is shown at once.
const CHARACTERS = 20_000;
const LINES = 8;

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

/** @param {string} text */
const part = text => (text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)}…` : text);

// As the command line writes it.
/** @param {EndReason} reason */
const sentence = ({kind, type, message, signal}) =>
	signal ? `signal ${signal}` : type ? (message ? `${type}: ${message}` : type) : message || kind;

/** @type {Component} */
function Children({route, runs}) {
	if (!runs.length) return "";
	const count = runs.length > CHILDREN ? `${CHILDREN}+` : runs.length;
	return html`<details open=${runs.length <= FEW}><summary>Children <small>${count}</small></summary><ul class="legend">${runs
		.slice(0, CHILDREN)
		.map(run => html`<li key=${run.uuid}><${RunLink} route=${route} run=${run} /> <${Status} run=${run} /></li>`)}</ul>
		${runs.length > CHILDREN && html`<p class="quiet">Only the newest ${CHILDREN} are shown.</p>`}</details>`;
}

/** @param {string} text */
function notes(text) {
	const shown = html`<bdi>${part(text)}</bdi>`;
	const isLong = text.length > 100 * LINES || text.split("\n", LINES + 1).length > LINES;
	return isLong ? html`<${Scroll} label="Notes">${shown}<//>` : shown;
}

/** @param {string | null | undefined} text */
export function fieldsIn(text) {
	if (!text?.trimStart().startsWith("{")) return null;
	try {
		return /** @type {object} */ (JSON.parse(text));
	} catch {
		return null;
	}
}

// The reference is what the command line takes.
/** @param {Route} route @param {Run} run */
const identity = ({namespace, project}, {uuid}) =>
	html`<code>${uuid}</code> <${Copy} isPlain=${true} label="Copy UUID" text=${() => uuid}>${icon("copy")}<//>
		<${Copy} isPlain=${true} label="Copy reference" text=${() => `${namespace}/${project}/${uuid}`}>${icon("link")}<//>`;

/** @type {Component} */
export function RunDetails({route, run}) {
	const family = usePolled(loadFamily(route, run), []);
	const {ended_because: reason, parent_uuid: parent} = run;
	const known = family.value?.parent ?? (parent && {uuid: parent, name: parent});
	/** @type {[string, unknown, string?][]} */
	const facts = [
		...Object.values(FACTS)
			.slice(1)
			.map(([label, show]) => /** @type {[string, unknown]} */ ([label, show(run)])),
		["Group", run.group && html`<bdi>${run.group}</bdi>`],
		["Job type", run.job_type && html`<bdi>${run.job_type}</bdi>`],
		["Parent", parent && html`<${RunLink} route=${route} run=${known} />`],
		["UUID", identity(route, run), "minor"],
		["Notes", run.notes && notes(run.notes), "wide text"]
	];
	// Fields are in the tab of the config.
	const lead = fieldsIn(run.description) ? "" : run.description;
	return html`<${Problem} error=${family.error} />
		${lead && html`<p class="lead quiet text"><bdi>${part(lead)}</bdi></p>`}
		${
			reason &&
			html`<div class="notice reason"><dl class="facts"><div><dt>Ended because</dt><dd class="text"><bdi>${part(sentence(reason))}</bdi></dd></div></dl>
			${reason.traceback && html`<details><summary>Traceback</summary><pre class="scroll" tabindex="0">${reason.traceback}</pre></details>`}</div>`
		}
		<dl class="facts">${facts.filter(([, fact]) => fact).map(([label, fact, kind]) => html`<div class=${kind}><dt>${label}</dt><dd>${fact}</dd></div>`)}</dl>
		<${Children} route=${route} runs=${family.value?.children ?? []} />`;
}
