// What a run logged over steps beside numbers: values that are text or JSON, and files. One slider moves all of them.

import {option, optionSetter, setOptions} from "./address.js";
import {get, runPath, usePolled} from "./backend.js";
import {FileCard, stepUpTo, ValueCard} from "./cards.js";
import {loadFiles} from "./files.js";
import {counted, isNumber} from "./format.js";
import {html, useRef, useState} from "./preact.js";
import {loadValues} from "./summaries.js";
import {Loading, Problem} from "./views.js";

// Cards that are shown, and from which on there is a field to search them.
const MOST = 200;
const MANY = 12;
// Cards that are asked for their next step, if none is in view.
const ASKED = 8;

// As text, a list would be its only item, and an object with a field "toString" has none.
/** @param {unknown} value */
const isValue = value => !isNumber(value) && !["NaN", "Infinity", "-Infinity"].includes(/** @type {string} */ (value));

/** @param {Record<string, MetricSummary>} values @param {RunFile[]} files @returns {StepCard[]} */
function cardsOf(values, files) {
	const series = Map.groupBy(
		files.filter(({step}) => step != null),
		({path}) => path
	);
	return [
		...Object.entries(values)
			.filter(([, {last}]) => isValue(last))
			.map(([name, summary]) => ({
				key: `value:${name}`,
				name,
				first: Number(summary.first_step),
				last: Number(summary.last_step),
				summary
			})),
		...[...series].map(([name, members]) => {
			const sorted = members.sort((a, b) => Number(a.step) - Number(b.step));
			return {
				key: `file:${name}`,
				name,
				first: Number(sorted[0].step),
				last: Number(sorted[sorted.length - 1].step),
				files: sorted
			};
		})
	];
}

// The next or the previous step at which a card has something else. A value is asked for, since nothing lists its steps.
/** @param {Route} route @param {Run} run @param {StepCard} card @param {number} step @param {boolean} isNext */
async function stepBeside(route, run, {name, files}, step, isNext) {
	if (files) {
		const steps = files.map(file => Number(file.step));
		return isNext ? steps.find(one => one > step) : steps.findLast(one => one < step);
	}
	const {signal} = new AbortController();
	if (!isNext) return step > 0 ? stepUpTo(route, run, name, step - 1, signal) : undefined;
	const query = {name, after_step: step, limit: 1};
	return /** @type {number | undefined} */ ((await get(`${runPath(route, run.uuid)}metrics/`, query, signal))[0]?.step);
}

/** @type {(props: {low: number, high: number, step: number, onStep: (step: number) => void, onTurn: (isNext: boolean) => void}) => VNode} */
function Slider({low, high, step, onStep, onTurn}) {
	// By the steps that were logged: the next number may have nothing.
	const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
		const direction = /** @type {Record<string, boolean>} */ ({
			ArrowLeft: false,
			ArrowDown: false,
			ArrowRight: true,
			ArrowUp: true
		});
		if (!Object.hasOwn(direction, event.key)) return;
		event.preventDefault();
		onTurn(direction[event.key]);
	};
	/** @type {(label: string, sign: string, isEnd: boolean, onClick: () => void) => VNode} */
	const button = (label, sign, isEnd, onClick) =>
		html`<button aria-label=${label} title=${label} aria-disabled=${isEnd} onClick=${isEnd ? undefined : onClick}>${sign}</button>`;
	return html`<span class="turns">${button("First step", "«", step <= low, () => onStep(low))}${button("Previous step", "‹", step <= low, () => onTurn(false))}${button("Next step", "›", step >= high, () => onTurn(true))}${button("Last step", "»", step >= high, () => onStep(high))}</span>
		<label>Step <input type="range" min=${low} max=${high} value=${step} aria-valuetext="Step ${step}" onKeyDown=${onKeyDown}
			onInput=${(/** @type {FieldEvent} */ {target}) => onStep(Number(target.value))} /> <output>${step}</output></label>`;
}

/** @type {Component} */
export function RunSteps({route, run, onError}) {
	const values = usePolled(loadValues(route, run.uuid), []);
	const listed = usePolled(loadFiles(route, run), [run.status]);
	const [problem, setProblem] = useState(/** @type {Error | null} */ (null));
	// The cards in view, and the steps that they show.
	const seen = useRef(/** @type {Map<string, number>} */ (new Map()));
	const error = values.error ?? listed.error ?? problem;
	if (!values.value || !listed.value) return html`<${Problem} error=${error} />${error ? "" : Loading()}`;
	const cards = cardsOf(values.value, listed.value);
	if (!cards.length)
		return html`<${Problem} error=${error} /><div class="empty"><p>No text and no media yet. Log the first ones:</p><pre tabindex="0">run.log("prompt", "Answer briefly.")\nrun.log_image("samples", image, step=0)</pre></div>`;
	const low = cards.reduce((least, {first}) => Math.min(least, first), Infinity);
	const high = cards.reduce((most, {last}) => Math.max(most, last), 0);
	// The newest, until a step is chosen.
	const chosen = option("at") === "" ? Infinity : Number(option("at"));
	const step = Number.isNaN(chosen) ? high : Math.min(high, Math.max(low, chosen));
	const text = option("m");
	const found = cards.filter(({name}) => name.toLowerCase().includes(text.toLowerCase()));
	const shown = found.slice(0, MOST);
	const hasChanges = option("changes") !== "";
	const onStep = (/** @type {number} */ to) => setOptions({at: to >= high ? "" : to});
	/** @param {boolean} isNext */
	const onTurn = async isNext => {
		const inView = shown.filter(({key}) => seen.current.has(key));
		const asked = inView.length ? inView : shown.slice(0, ASKED);
		// Between two steps, the cards show the earlier one.
		const from = isNext ? step : Math.max(...asked.map(({key}) => seen.current.get(key) ?? step));
		try {
			const steps = await Promise.all(asked.map(card => stepBeside(route, run, card, from, isNext)));
			const known = steps.filter(isNumber);
			onStep(known.length ? (isNext ? Math.min(...known) : Math.max(...known)) : isNext ? high : low);
			setProblem(null);
		} catch (failure) {
			setProblem(/** @type {Error} */ (failure));
		}
	};
	/** @param {string} key @param {number | null} at */
	const onSeen = (key, at) => {
		if (at === null) seen.current.delete(key);
		else seen.current.set(key, at);
	};
	return html`<${Problem} error=${error} />
		<div class="bar steps">${low < high && html`<${Slider} low=${low} high=${high} step=${step} onStep=${onStep} onTurn=${onTurn} />`}
			${low < high && html`<label><input type="checkbox" checked=${hasChanges} onChange=${optionSetter("changes")} /> Changes of texts</label>`}
			${(cards.length > MANY || text) && html`<input type="search" placeholder="Search text & media" aria-label="Search text and media" value=${text} onInput=${optionSetter("m")} />`}</div>
		<div class="charts cards">${shown.map(card => html`<${card.files ? FileCard : ValueCard} key=${card.key} card=${card} route=${route} run=${run} step=${step} hasChanges=${hasChanges} onSeen=${onSeen} onError=${onError} />`)}</div>
		${!found.length && html`<p class="quiet">No matching text or media.</p>`}
		${found.length > MOST && html`<p class="quiet">${counted(found.length - MOST, "more card")} not shown.</p>`}`;
}
