// A card for each name that has text, JSON, or files over steps: the newest one at or before a step. What is out of view is not asked for.

import {get, getBytes, projectPath, runPath} from "./backend.js";
import {Copy} from "./copy.js";
import {sourceOf} from "./files.js";
import {icon} from "./icons.js";
import {html, useEffect, useLayoutEffect, useRef, useState} from "./preact.js";
import {bytes, Download, isPlainText, Preview, useSeen} from "./previews.js";
import {Value} from "./values.js";
import {lazy} from "./views.js";

// Characters or bytes of a text that are shown.
const MOST = 256_000;
// Of one step.
const VALUES = 20;
// The slider passes many steps.
const PAUSE_MS = 60;

// In the place of the step of a card that shows none.
const NOTHING = -1;

const Changes = lazy(
	() => import("./differences.js"),
	module => module.TextChanges
);

// The newest step up to another one, without its values. A single range holds all of them.
/** @param {Route} route @param {Run} run @param {string} name @param {number} to @param {AbortSignal} signal @returns {Promise<number | undefined>} */
export async function stepUpTo(route, run, name, to, signal) {
	const query = {run: run.uuid, name, buckets: 1, to_step: to};
	/** @type {Samples} */
	const {series} = await get(`${projectPath(route)}metrics/sample/`, query, signal);
	return series[0]?.step.at(-1);
}

// A step may have several values, in the order in which they were logged.
/** @param {Route} route @param {Run} run @param {StepCard} card @param {number} to @param {AbortSignal} signal @returns {Promise<StepValues | null>} */
async function valuesUpTo(route, run, {name, last}, to, signal) {
	const step = to >= last ? last : await stepUpTo(route, run, name, to, signal);
	if (step === undefined) return null;
	const query = {name, after_step: step > 0 ? step - 1 : undefined, limit: VALUES + 1};
	/** @type {{step: number, value: unknown}[]} */
	const found = await get(`${runPath(route, run.uuid)}metrics/`, query, signal);
	return {step, values: found.filter(one => one.step === step).map(({value}) => value)};
}

// What is loaded by a key; what another key has stays until it is there.
/** @template T @param {string} key @param {(signal: AbortSignal) => Promise<T>} load */
function useLoaded(key, load) {
	const [state, setState] = useState(/** @type {{key: string, value?: T, error?: Error}} */ ({key: ""}));
	useEffect(() => {
		if (!key || (state.key === key && !state.error)) return;
		const controller = new AbortController();
		const timer = setTimeout(() => {
			load(controller.signal).then(
				value => setState({key, value}),
				error => controller.signal.aborted || setState({key, error})
			);
		}, PAUSE_MS);
		return () => {
			clearTimeout(timer);
			controller.abort();
		};
	}, [key]);
	return {...state, isCurrent: state.key === key};
}

/** @param {StepCard} card @param {Props["onSeen"]} onSeen @param {number | null} shown @returns {[{current: null}, boolean]} */
function useInView({key}, onSeen, shown) {
	const place = useRef(null);
	const isSeen = useSeen(place);
	// Before the frame that shows it: a key may be pressed then.
	useLayoutEffect(() => {
		onSeen(key, isSeen ? shown : null);
		return () => onSeen(key, null);
	}, [isSeen, shown]);
	return [place, isSeen];
}

/** @param {StepValues} found */
const textOf = ({values}) =>
	values.map(value => (typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? ""))).join("\n\n");

/** @type {(props: {name: string, value: unknown}) => VNode} */
function Shown({name, value}) {
	if (typeof value !== "string") return html`<${Value} name=${name} value=${value} />`;
	return html`<pre class="text scroll" tabindex="0" role="region" aria-label="Value of ${name}">${value.slice(0, MOST)}</pre>
		${value.length > MOST && html`<p class="quiet">Only the first ${bytes(MOST)} are shown. "Copy" copies all of it.</p>`}`;
}

const Problem = (/** @type {Error | undefined} */ error) =>
	error && html`<p class="problem" role="alert">${error.message}</p>`;

/** @type {(props: {name: string, step: number | undefined, place: {current: null}, tools: unknown, children: unknown, first: number}) => VNode} */
function Card({name, step, place, tools, children, first}) {
	return html`<figure class="chart series" ref=${place}>
		<figcaption><bdi title=${name}>${name}</bdi> <small>${step === undefined ? "" : `step ${step}`}</small> <span class="tools">${tools}</span></figcaption>
		${step === undefined ? html`<p class="quiet">Nothing up to this step. The first is at step ${first}.</p>` : children}</figure>`;
}

/** @type {Component} */
export function ValueCard({card, route, run, step, hasChanges, onSeen, onError}) {
	const {name, first, last} = card;
	const [shown, setShown] = useState(/** @type {number | null} */ (null));
	const hasAny = step >= first;
	const [place, isSeen] = useInView(card, onSeen, hasAny ? (shown ?? step) : NOTHING);
	const asked = useLoaded(isSeen && hasAny ? `${Math.min(step, last)} ${card.summary?.count}` : "", signal =>
		valuesUpTo(route, run, card, step, signal)
	);
	const current = hasAny ? asked.value : null;
	useLayoutEffect(() => setShown(current ? current.step : null), [current?.step]);
	const before = useLoaded(isSeen && hasChanges && current && current.step > first ? `${current.step}` : "", signal =>
		valuesUpTo(route, run, card, Number(current?.step) - 1, signal)
	);
	const tools =
		current && html`<${Copy} isPlain=${true} label="Copy ${name}" text=${() => textOf(current)}>${icon("copy")}<//>`;
	/** @param {StepValues} found */
	const content = found =>
		hasChanges && before.isCurrent && before.value
			? html`<${Changes} name=${name} step=${before.value.step} before=${textOf(before.value)} text=${textOf(found)} onError=${onError} />`
			: html`${found.values.slice(0, VALUES).map(value => html`<${Shown} name=${name} value=${value} />`)}
				${found.values.length > VALUES && html`<p class="quiet">Only the first ${VALUES} values of this step are shown.</p>`}`;
	return html`<${Card} name=${name} step=${hasAny ? (current?.step ?? step) : undefined} first=${first} place=${place} tools=${tools}>
		<div aria-busy=${!asked.isCurrent}>${Problem(asked.error ?? before.error)}
		${current ? content(current) : !asked.error && html`<p class="quiet">Loading…</p>`}</div><//>`;
}

/** @type {Component} */
export function FileCard({card, route, run, step, hasChanges, onSeen, onError}) {
	const files = card.files ?? [];
	const index = files.findLastIndex(file => Number(file.step) <= step);
	const file = index >= 0 ? files[index] : files[0];
	const [place, isSeen] = useInView(card, onSeen, index < 0 ? NOTHING : Number(file.step));
	const source = sourceOf(route, run, file);
	const before = files[index - 1];
	const isDiff = hasChanges && before && isPlainText(file);
	const texts = useLoaded(isSeen && isDiff ? `${before.digest} ${file.digest}` : "", signal =>
		Promise.all(
			[before, file].map(async one =>
				(await getBytes(...sourceOf(route, run, one), signal, one.size > MOST ? [0, MOST] : undefined)).text()
			)
		)
	);
	const tools = index >= 0 && html`<${Download} key=${file.step} file=${file} source=${source} />`;
	return html`<${Card} name=${card.name} step=${index < 0 ? undefined : Number(file.step)} first=${card.first} place=${place} tools=${tools}>
		${Problem(isDiff ? texts.error : undefined)}
		${isDiff && texts.isCurrent && texts.value ? html`<${Changes} name=${card.name} step=${Number(before.step)} before=${texts.value[0]} text=${texts.value[1]} onError=${onError} />` : html`<${Preview} file=${file} source=${source} isSeen=${isSeen} />`}<//>`;
}
