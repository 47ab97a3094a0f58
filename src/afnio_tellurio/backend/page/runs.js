// What a list and a table show of a run.

import {Link, listQuery} from "./address.js";
import {runPath} from "./backend.js";
import {Cut, capitalized, duration, secondsOf, Time} from "./format.js";
import {html, useEffect, useState} from "./preact.js";

/** @type {Record<string, string>} */
export const SIGNS = {RUNNING: "●", COMPLETED: "✓", CRASHED: "✕", FAILED: "!"};
/** @type {Kind[]} */
export const KINDS = ["last", "minimum", "maximum"];

/** @type {Component} */
export const RunLink = ({route, run}) =>
	html`<${Link} class="name" aria-label=${run.name} to=${runPath(route, run.uuid) + (route.view === "project" ? listQuery() : "")} title=${[run.name, run.description].filter(Boolean).join("\n")}><${Cut} text=${run.name} /><//>`;

/** @type {Component} */
export const Status = ({run: {status}, isShort}) =>
	html`<span class="status" data-status=${status} title=${capitalized(status)}><i aria-hidden="true">${Object.hasOwn(SIGNS, status) ? SIGNS[status] : "?"}</i> <span class=${isShort ? "unseen" : ""}>${capitalized(status)}</span></span>`;

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
	status: ["Status", run => html`<${Status} run=${run} />`],
	user: ["User", run => html`<bdi>${run.user?.username}</bdi>`],
	created: ["Started", run => html`<${Time} value=${run.date_created} />`],
	duration: ["Duration", run => html`<${Duration} run=${run} />`],
	tags: ["Tags", run => (run.tags?.length ? run.tags.map(tag => html`<bdi class="tag">${tag}</bdi> `) : "")]
};
