// One change of many runs: a request for each, with progress, and what fails stays selected.

import {SignedOutError, UnreachableError} from "./backend.js";
import {counted, number} from "./format.js";
import {html, useRef, useState} from "./preact.js";

// Requests in flight.
const AT_ONCE = 4;
// Runs that are named, at most.
const NAMED = 10;

/** @type {(set: (change: (held: Set<string>) => Set<string>) => void) => {work: ManyWork | null, start: ManyStart, stop: () => void}} */
export function useMany(setPicked) {
	const [work, setWork] = useState(/** @type {ManyWork | null} */ (null));
	// A second click comes before the buttons are disabled.
	const isBusy = useRef(false);
	const isStopped = useRef(false);
	/** @type {ManyStart} */
	const start = async (items, did, request) => {
		if (isBusy.current || !items.length) return;
		isBusy.current = true;
		isStopped.current = false;
		const done = /** @type {Set<string>} */ (new Set());
		/** @type {ManyWork["failed"]} */
		const failed = [];
		const report = (isOver = false) =>
			setWork({
				did,
				total: items.length,
				done: done.size,
				succeeded: new Set(done),
				failed: [...failed],
				isOver,
				items
			});
		report();
		const waiting = [...items];
		const worker = async () => {
			for (let item = waiting.shift(); item && !isStopped.current; item = waiting.shift()) {
				try {
					await request(item);
					done.add(item.uuid);
				} catch (error) {
					failed.push({name: item.name, message: /** @type {Error} */ (error).message});
					// The others would fail as well.
					if (error instanceof UnreachableError || error instanceof SignedOutError) isStopped.current = true;
				}
				report();
			}
		};
		await Promise.all(Array.from({length: AT_ONCE}, worker));
		isBusy.current = false;
		setPicked(held => new Set([...held].filter(uuid => !done.has(uuid))));
		report(true);
	};
	const stop = () => {
		isStopped.current = true;
	};
	return {work, start, stop};
}

/** @type {(props: {work: ManyWork | null, stop: () => void}) => VNode | ""} */
export function Progress({work, stop}) {
	if (!work) return "";
	const {did, total, done, failed, isOver} = work;
	if (!isOver)
		return html`<span class="bar" role="group" aria-label="Progress"><progress aria-label="Runs ${did}" max=${total} value=${done + failed.length}></progress>
			${number(done + failed.length)} of ${number(total)} <button onClick=${stop}>Stop</button></span>`;
	const left = total - done - failed.length;
	const more = failed.length - NAMED;
	return html`<span role="status">${counted(done, "run")} ${did}.</span>
		${
			(failed.length > 0 || left > 0) &&
			html`<p class="problem" role="alert">
			${failed.length > 0 && html`${counted(failed.length, "run")} failed: ${failed.slice(0, NAMED).map(({name, message}, at) => html`${at > 0 && ", "}<bdi>${name}</bdi> (${message})`)}${more > 0 && `, and ${number(more)} more`}. `}
			${left > 0 && `Stopped before ${counted(left, "run")}. `}What is not done is still selected.</p>`
		}`;
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
