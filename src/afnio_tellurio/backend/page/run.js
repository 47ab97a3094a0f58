// A run: its facts, curves and values, and what it has stored.

import {get, projectPath, runPath, unlessSame, usePolled} from "./backend.js";
import {Curves} from "./curves.js";
import {RunDetails, RunStore, Value} from "./details.js";
import {RunEditor} from "./editing.js";
import {isNumber, number} from "./format.js";
import {html} from "./preact.js";
import {FACTS, Status} from "./runs.js";
import {useView, waiting} from "./views.js";

/** @param {unknown} value */
const isValue = value => !isNumber(value) && !["NaN", "Infinity", "-Infinity"].includes(String(value));

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

/** @type {(route: Route, run: string) => Load<Record<string, MetricSummary>>} */
const loadValues = (route, run) => async (before, signal) =>
	unlessSame(before, await get(`${runPath(route, run)}metrics/summary/`, {}, signal));

/** @type {Component} */
export function RunView({route, theme, onError}) {
	const loaded = usePolled(loadRun(route), []);
	const run = loaded.value;
	const values = usePolled(run ? loadValues(route, run.uuid) : async before => before, [run?.uuid]);
	useView(run?.name ?? route.run, onError, loaded, values);
	if (!run) return waiting(loaded);
	const entries = Object.entries(values.value ?? {});
	const curves = entries.filter(([, {minimum, last}]) => minimum !== null || last === "NaN").map(([name]) => name);
	const count = entries.reduce((sum, [, summary]) => sum + summary.count, 0);
	const facts = [
		...Object.values(FACTS)
			.slice(1)
			.map(([label, show]) => [label, show(run)])
			.filter(([, fact]) => fact),
		["Metrics", number(entries.length)],
		["Values", number(count)],
		["UUID", html`<code>${run.uuid}</code>`]
	];
	return html`<div class="title"><h1><bdi>${run.name}</bdi> <${Status} run=${run} /></h1><${RunEditor} route=${route} run=${run} /></div>
		${run.description && html`<p><bdi>${run.description}</bdi></p>`}
		<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd>${fact}</dd></div>`)}</dl>
		<${RunDetails} route=${route} run=${run} />
		${values.value && html`<${Curves} route=${route} names=${curves} shownRuns=${[{...run, slot: 0}]} theme=${theme} />`}
		${entries
			.filter(([, {last}]) => isValue(last))
			.map(
				([name, {last, last_step}]) =>
					html`<section key=${name}><h2><bdi>${name}</bdi> <small>step ${last_step}</small></h2><${Value} name=${name} value=${last} /></section>`
			)}
		<${RunStore} route=${route} run=${run} />`;
}
