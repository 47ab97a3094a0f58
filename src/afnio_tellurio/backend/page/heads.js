// The head of a project, with its tabs, and what is there before the first run.

import {Link, option, queryWith} from "./address.js";
import {artifactPath, projectPath, running} from "./backend.js";
import {ago, counted, number} from "./format.js";
import {html} from "./preact.js";

/** @type {(props: {namespace?: string, project?: string}) => VNode} */
export const FirstRun = ({
	namespace = "my-team",
	project = "My project"
}) => html`<div class="empty"><h1>No runs yet</h1>
	<p>Log your first run:</p>
	<pre tabindex="0">import afnio_tellurio as te
with te.init(${JSON.stringify(namespace)}, ${JSON.stringify(project)}) as run:
    run.log("loss", 0.5)</pre></div>`;

/** @param {number} total @param {number} live @param {number} crashed @param {string} updated */
const facts = (total, live, crashed, updated) =>
	[
		counted(total, "run"),
		live && `${number(live)} running`,
		crashed && `${number(crashed)} crashed`,
		// Logged values change no run.
		!live && `updated ${ago(updated)}`
	]
		.filter(Boolean)
		.join(" · ");

/** @param {Run[]} runs */
function factsOfRuns(runs) {
	const crashed = runs.filter(({status}) => status === "CRASHED").length;
	const updated = runs.map(run => run.date_updated).sort()[runs.length - 1];
	return facts(runs.length, running(runs).length, crashed, updated);
}

/** @param {Omit<Project, "namespace">} project */
function factsOf({run_counts: counts = {}, last_activity: updated}) {
	const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
	return updated && facts(total, counts.RUNNING ?? 0, counts.CRASHED ?? 0, updated);
}

/** @type {(props: {route: Route, name: string, runs?: Run[], project?: Omit<Project, "namespace"> | null}) => VNode} */
export function ProjectHead({route, name, runs = [], project}) {
	const view = route.view === "artifacts" ? "artifacts" : option("tab", "charts");
	const to = route.view === "artifacts" ? projectPath(route) : location.pathname;
	const query = (/** @type {string} */ tab) =>
		route.view === "artifacts" ? tab && `?tab=${tab}` : queryWith({tab, page: ""});
	/** @type {(to: string, label: string) => VNode} */
	const tab = (address, label) =>
		html`<${Link} class="tab" to=${address} aria-current=${view === label.toLowerCase() ? "page" : undefined}>${label}<//>`;
	return html`<div class="title"><h1><bdi>${name}</bdi></h1>
		<span class="quiet">${runs.length ? factsOfRuns(runs) : project && factsOf(project)}</span>
		<nav aria-label="Project">${tab(to + query(""), "Charts")}${tab(to + query("table"), "Table")}${tab(to + query("explore"), "Explore")}${tab(artifactPath(route), "Artifacts")}</nav></div>`;
}
