// The lines in which a text file of one version differs from that of another one.

import {artifactPath, get, getBytes, usePolled} from "./backend.js";
import {counted} from "./format.js";
import {html, useEffect, useMemo, useState} from "./preact.js";

// Of each file.
const MOST_BYTES = 256_000;
const VERSIONS = 200;
// Pairs of lines that are compared: a table of them is in memory.
const PAIRS = 4_000_000;
// Lines that are shown.
const MOST_LINES = 10_000;
// Equal lines that are shown beside a change.
const CONTEXT = 3;

/** @param {string[]} before @param {string[]} after @returns {Change[]} */
function changesBetween(before, after) {
	let start = 0;
	while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
	let end = 0;
	const most = Math.min(before.length, after.length) - start;
	while (end < most && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
	/** @type {(sign: Change["sign"]) => (text: string) => Change} */
	const as = sign => text => ({sign, text});
	const middle = changesOf(before.slice(start, before.length - end), after.slice(start, after.length - end));
	return [...before.slice(0, start).map(as(" ")), ...middle, ...before.slice(before.length - end).map(as(" "))];
}

// By their longest common subsequence; beyond a bound, all lines are replaced.
/** @param {string[]} before @param {string[]} after @returns {Change[]} */
function changesOf(before, after) {
	const isTooLong = before.length * after.length > PAIRS;
	const width = after.length + 1;
	const lengths = new Uint16Array(isTooLong ? 0 : (before.length + 1) * width);
	if (!isTooLong)
		for (let i = before.length - 1; i >= 0; i -= 1)
			for (let j = after.length - 1; j >= 0; j -= 1)
				lengths[i * width + j] =
					before[i] === after[j]
						? lengths[(i + 1) * width + j + 1] + 1
						: Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
	/** @type {Change[]} */
	const changes = [];
	let i = 0;
	let j = 0;
	while (i < before.length || j < after.length) {
		if (!isTooLong && i < before.length && j < after.length && before[i] === after[j]) {
			changes.push({sign: " ", text: before[i]});
			i += 1;
			j += 1;
		} else if (
			j >= after.length ||
			(i < before.length && (isTooLong || lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]))
		) {
			changes.push({sign: "-", text: before[i]});
			i += 1;
		} else {
			changes.push({sign: "+", text: after[j]});
			j += 1;
		}
	}
	return changes;
}

/** @param {Change[]} changes @returns {(Change | number)[]} The changes, and how many equal lines are left out. */
function withContext(changes) {
	const isNear = changes.map(() => false);
	for (const [index, {sign}] of changes.entries())
		if (sign !== " ") isNear.fill(true, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
	/** @type {(Change | number)[]} */
	const shown = [];
	for (const [index, change] of changes.entries()) {
		const last = shown.at(-1);
		if (isNear[index]) shown.push(change);
		else if (typeof last === "number") shown[shown.length - 1] = last + 1;
		else shown.push(1);
	}
	return shown;
}

/** @param {string} text */
const linesOf = text => text.split(/\r\n|\n|\r/);

/** @param {Route} route @param {ArtifactVersion} version @param {StoredFile} file @param {string} other @param {AbortSignal} signal */
async function compared(route, version, file, other, signal) {
	const versions = `${artifactPath(route, version.artifact)}versions/`;
	const {path} = file;
	// The path itself sorts before all longer ones.
	const [found] = await get(`${versions}${encodeURIComponent(other)}/files/`, {prefix: path, limit: 1}, signal);
	if (found?.path !== path) return `${other} does not have this file.`;
	if (found.digest === file.digest) return `The file is the same in ${other}.`;
	if (found.reference) return `${other} has only a reference to this file.`;
	if (Math.max(found.size, file.size ?? 0) > MOST_BYTES) return "The files are too large to compare.";
	const [before, after] = await Promise.all(
		[other, version.version].map(async one =>
			(await getBytes(`${versions}${encodeURIComponent(one)}/file/`, {path}, signal)).text()
		)
	);
	return withContext(changesBetween(linesOf(before), linesOf(after)));
}

/** @param {Change | number} change */
function line(change) {
	if (typeof change === "number") return html`<div class="quiet">… ${counted(change, "equal line")}</div>`;
	const tag = {"+": "ins", "-": "del", " ": "span"}[change.sign];
	return html`<${tag}>${change.sign} ${change.text}<//>`;
}

/** @type {(props: {changes: (Change | number)[], label: string}) => VNode} */
function Changes({changes, label}) {
	const hidden = changes.length - MOST_LINES;
	return html`<div class="diff scroll" tabindex="0" role="region" aria-label=${label}>${changes.slice(0, MOST_LINES).map(line)}</div>
		${hidden > 0 && html`<p class="quiet">${counted(hidden, "more line")} not shown.</p>`}`;
}

// In which lines a text differs from the one of an earlier step.
/** @type {Component} */
export function TextChanges({name, step, before, text}) {
	const changes = useMemo(() => {
		const [old, now] = [before, text].map(one => linesOf(one.slice(0, MOST_BYTES)));
		return withContext(changesBetween(old, now));
	}, [before, text]);
	if (before === text)
		return html`<p class="quiet">The same as at step ${step}.</p><pre class="text scroll" tabindex="0" role="region" aria-label="Value of ${name}">${text.slice(0, MOST_BYTES)}</pre>`;
	return html`<p class="quiet">Changes since step ${step}</p><${Changes} changes=${changes} label="Changes of ${name} since step ${step}" />`;
}

/** @type {(route: Route, name: string) => Load<ArtifactVersion[]>} */
const loadOthers = (route, name) => async (before, signal) =>
	before ?? get(`${artifactPath(route, name)}versions/`, {limit: VERSIONS}, signal);

/** @type {Component} */
export function Comparison({route, version, file}) {
	const others = usePolled(loadOthers(route, version.artifact), []);
	const [other, setOther] = useState("");
	const [result, setResult] = useState(/** @type {string | (Change | number)[]} */ (""));
	useEffect(() => {
		setResult("");
		if (!other) return;
		const controller = new AbortController();
		compared(route, version, file, other, controller.signal).then(
			setResult,
			error => controller.signal.aborted || setResult(error.message)
		);
		return () => controller.abort();
	}, [other]);
	const names = (others.value ?? []).map(one => one.version).filter(name => name !== version.version);
	if (!names.length) return "";
	return html`<div class="bar"><label>Changes since <select value=${other} onChange=${(/** @type {FieldEvent} */ {target}) => setOther(target.value)}>
			<option value="">No version</option>${names.map(name => html`<option value=${name}>${name}</option>`)}</select></label></div>
		${typeof result === "string" ? html`<p role="status">${result}</p>` : html`<${Changes} changes=${result} label="Changes of ${file.path} since ${other}" />`}`;
}
