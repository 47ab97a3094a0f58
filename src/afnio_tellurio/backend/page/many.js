// One change of many runs: a request for each, with progress, and what fails stays selected. It goes on, and shows how far it is, in all views.

import {SignedOutError, UnreachableError} from "./backend.js";
import {counted, number} from "./format.js";
import {html, render, useEffect, useRef, useState} from "./preact.js";

// Requests in flight.
const AT_ONCE = 4;
// Runs that are named, at most.
const NAMED = 10;

/** @type {ManyWork | null} */
let work = null;
let isStopped = false;
const reports = new EventTarget();
// What is selected in a view is lost when it is left.
const owners = new Set();
const place = document.createElement("div");
const isBusy = () => work !== null && !work.isOver;
// Asks before the page is closed, which would stop the change.
const keepOpen = (/** @type {Event} */ event) => event.preventDefault();

/** @param {ManyWork | null} next */
function report(next) {
	work = next;
	// A move would take the focus from its buttons.
	if (!place.isConnected) document.body.append(place);
	render(html`<${Progress} />`, place);
	reports.dispatchEvent(new Event("change"));
}

/** @param {object} owner @param {ManyCall} call */
async function change(owner, ...[items, did, request, undo]) {
	isStopped = false;
	const done = /** @type {Set<string>} */ (new Set());
	/** @type {ManyWork["failed"]} */
	const failed = [];
	const tell = (isOver = false) => report({did, undo, owner, items, succeeded: done, failed, isOver});
	addEventListener("beforeunload", keepOpen);
	tell();
	const waiting = [...items];
	const worker = async () => {
		for (let item = waiting.shift(); item && !isStopped; item = waiting.shift()) {
			try {
				await request(item);
				done.add(item.uuid);
			} catch (error) {
				failed.push({name: item.name, message: /** @type {Error} */ (error).message});
				// The others would fail as well.
				if (error instanceof UnreachableError || error instanceof SignedOutError) isStopped = true;
			}
			tell();
		}
	};
	await Promise.all(Array.from({length: AT_ONCE}, worker));
	removeEventListener("beforeunload", keepOpen);
	tell(true);
	return done;
}

/** @type {(set: (change: (held: Set<string>) => Set<string>) => void) => {isBusy: boolean, start: (...call: ManyCall) => Promise<void>}} */
export function useMany(setPicked) {
	const [, update] = useState(0);
	const owner = useRef(null);
	useEffect(() => {
		const onChange = () => update(count => count + 1);
		reports.addEventListener("change", onChange);
		owners.add(owner);
		return () => {
			reports.removeEventListener("change", onChange);
			owners.delete(owner);
			report(work);
		};
	}, []);
	/** @param {ManyCall} call */
	const start = async (...call) => {
		// A second click comes before the buttons are disabled.
		if (isBusy() || !call[0].length) return;
		const done = await change(owner, ...call);
		setPicked(held => new Set([...held].filter(uuid => !done.has(uuid))));
	};
	return {isBusy: isBusy(), start};
}

function Progress() {
	if (!work) return "";
	const {did, items, succeeded, failed, isOver, owner, undo} = work;
	const [total, done] = [items.length, succeeded.size];
	const stop = () => {
		isStopped = true;
	};
	if (!isOver)
		return html`<div class="bar work" role="region" aria-label="Progress"><progress aria-label="Runs ${did}" max=${total} value=${done + failed.length}></progress>
			${number(done + failed.length)} of ${number(total)} <button onClick=${stop}>Stop</button></div>`;
	const left = total - done - failed.length;
	const more = failed.length - NAMED;
	return html`<div class="bar work" role="region" aria-label="Progress"><span role="status">${counted(done, "run")} ${did}.</span>
		${undo && done > 0 && html`<button onClick=${() => undo(items.filter(({uuid}) => succeeded.has(uuid)))}>Undo</button>`}
		<button onClick=${() => report(null)}>Close</button>
		${
			(failed.length > 0 || left > 0) &&
			html`<p class="problem" role="alert">
			${failed.length > 0 && html`${counted(failed.length, "run")} failed: ${failed.slice(0, NAMED).map(({name, message}, at) => html`${at > 0 && ", "}<bdi>${name}</bdi> (${message})`)}${more > 0 && `, and ${number(more)} more`}. `}
			${left > 0 && `Stopped before ${counted(left, "run")}. `}${owners.has(owner) && "What is not done is still selected."}</p>`
		}</div>`;
}

/** @type {(props: {label: string, all: string[], picked: Set<string>, setPicked: (picked: Set<string>) => void}) => VNode} */
export function PickAll({label, all, picked, setPicked}) {
	const count = all.filter(uuid => picked.has(uuid)).length;
	const isAll = all.length > 0 && count === all.length;
	return html`<label class="pick"><input type="checkbox" aria-label=${label} checked=${isAll} indeterminate=${count > 0 && !isAll}
		onChange=${() => setPicked(new Set(isAll ? [] : all))} /></label>`;
}

/** @type {(props: {run: {uuid: string, name: string}, picked: Set<string>, setPicked: (change: (held: Set<string>) => Set<string>) => void}) => VNode} */
export function Pick({run: {uuid, name}, picked, setPicked}) {
	const onChange = () =>
		setPicked(held => new Set(held.has(uuid) ? [...held].filter(other => other !== uuid) : [...held, uuid]));
	return html`<label class="pick"><input type="checkbox" aria-label="Select ${name}" checked=${picked.has(uuid)} onChange=${onChange} /></label>`;
}
