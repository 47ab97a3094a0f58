// A run: what is said of it, and its tabs. The code of a tab, and what it shows, is loaded when it is open.

import {Link, option, queryWith} from "./address.js";
import {get, projectPath, runPath, send, unlessSame, usePolled} from "./backend.js";
import {RunDetails} from "./details.js";
import {counted} from "./format.js";
import {html, useEffect, useState} from "./preact.js";
import {Status} from "./runs.js";
import {loadValues} from "./summaries.js";
import {knownRun, Loading, lazy, Problem, useView, waiting, withStyles} from "./views.js";

const loadCurves = () => import("./curves.js");
const Curves = lazy(loadCurves, module => module.Curves);
const Editor = lazy(
	() => withStyles(import("./editing.js"), "forms.css"),
	module => module.RunEditor
);

const Neighbors = lazy(
	() => import("./neighbors.js"),
	module => module.Neighbors
);

/** @type {Component} */
function Charts({route, run, theme, onError}) {
	const {value, error} = usePolled(loadValues(route, run.uuid), []);
	if (!value) return html`<${Problem} error=${error} />${error ? "" : Loading()}`;
	const entries = Object.entries(value);
	const names = entries.filter(([, {minimum, last}]) => minimum !== null || last === "NaN").map(([name]) => name);
	const count = entries.reduce((sum, [, summary]) => sum + summary.count, 0);
	return html`<${Curves} route=${route} names=${names} shownRuns=${[{...run, slot: 0}]} theme=${theme} onError=${onError} />
		${entries.length > 0 && html`<p class="quiet">${counted(entries.length, "metric")}, ${counted(count, "value")}</p>`}`;
}

/** @type {Record<string, [string, Component]>} */
const TABS = {
	"": ["Charts", Charts],
	media: [
		"Text & media",
		lazy(
			() => withStyles(import("./steps.js"), "stored.css"),
			module => module.RunSteps
		)
	],
	tables: [
		"Tables",
		lazy(
			() => withStyles(import("./rows.js"), "stored.css"),
			module => module.RunTables
		)
	],
	files: [
		"Files",
		lazy(
			() => withStyles(import("./files.js"), "stored.css"),
			module => module.RunStore
		)
	],
	config: [
		"Config",
		lazy(
			() => withStyles(import("./config.js"), "stored.css"),
			module => module.RunConfig
		)
	]
};

const Gone = lazy(
	() => withStyles(import("./gone.js"), "forms.css"),
	module => module.Gone
);

/** @type {Component} */
function Actions({route, run, isGone, onError}) {
	const [state, setState] = useState("");
	const [error, setError] = useState(/** @type {Error | null} */ (null));
	// From the next poll on, the run itself is not found. Others may restore it.
	const forget = () => setState(held => (held === "deleted" ? "" : held));
	useEffect(forget, [isGone]);
	const close = () => setState("");
	const remove = () =>
		send("DELETE", runPath(route, run.uuid)).then(() => {
			setError(null);
			setState("deleted");
		}, setError);
	const hasGone = isGone || state === "deleted";
	const gone = hasGone && html`<${Gone} route=${route} run=${run} onError=${onError} onDone=${forget} />`;
	if (state === "edited")
		return html`${gone}<${Editor} route=${route} run=${run} onError=${onError} onDone=${close} />`;
	return (
		gone ||
		html`<div class="bar"><${Neighbors} route=${route} run=${run} onError=${onError} /><button onClick=${() => setState("edited")}>Edit</button>
		<button onClick=${remove}>Delete</button></div><${Problem} error=${error} />`
	);
}

// A run's address has its UUID; its name works as well.
/** @param {Route} route @param {AbortSignal} signal @returns {Promise<string>} */
async function uuidOf(route, signal) {
	const isUuid = /^[0-9a-f-]{36}$/i.test(route.run);
	if (isUuid) return route.run;
	const [named] = await get(`${projectPath(route)}runs/`, {name: route.run, limit: 1}, signal);
	if (!named) throw Object.assign(new Error(`Run ${route.run} not found in this project.`), {status: 404});
	return named.uuid;
}

/** @type {(route: Route) => Load<Run>} */
const loadRun = route => async (before, signal) => {
	const uuid = before?.uuid ?? (await uuidOf(route, signal));
	// Lists leave out the environment.
	return unlessSame(before, await get(runPath(route, uuid), {}, signal));
};

/** @type {Component} */
export function RunView({route, theme, onError}) {
	const [known] = useState(() => knownRun(route));
	const loaded = usePolled(loadRun(route), [], known);
	const run = loaded.value;
	// Beside the run itself. The tab reports what fails.
	useEffect(() => void (option("tab") || loadCurves().catch(() => 0)), []);
	useView(run?.name ?? route.run, onError, loaded);
	const problem = /** @type {Error & {status?: number} | null} */ (loaded.error);
	const isGone = problem?.status === 404;
	if (!run)
		return isGone
			? html`<${Gone} route=${route} message=${problem.message} onError=${onError} onDone=${() => 0} />`
			: waiting(loaded);
	const tab = Object.hasOwn(TABS, option("tab")) ? option("tab") : "";
	const [, Shown] = TABS[tab];
	return html`<div class="title bare"><h1><bdi>${run.name}</bdi> <${Status} run=${run} /></h1><${Actions} route=${route} run=${run} isGone=${isGone} onError=${onError} /></div>
		<${RunDetails} route=${route} run=${run} />
		<nav class="tabs" aria-label="Run">${Object.entries(TABS).map(([name, [label]]) => html`<${Link} class="tab" to=${location.pathname + queryWith({tab: name})} aria-current=${name === tab ? "page" : undefined}>${label}<//>`)}</nav>
		<${Shown} key=${tab} route=${route} run=${run} theme=${theme} onError=${onError} />`;
}
