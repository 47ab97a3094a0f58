// What a run logged over steps beside numbers: values that are text or JSON, and files. One slider moves all of them.

import {option, optionSetter} from "./address.js";
import {loadValues, usePolled} from "./backend.js";
import {loadFiles, sourceOf} from "./files.js";
import {isNumber} from "./format.js";
import {html, useRef} from "./preact.js";
import {Download, Preview, useSeen} from "./previews.js";
import {Value} from "./values.js";
import {Loading, Problem} from "./views.js";

/** @param {unknown} value */
const isValue = value => !isNumber(value) && !["NaN", "Infinity", "-Infinity"].includes(String(value));

// The file at a step, or at the nearest one.
/** @param {RunFile[]} files @param {number} step */
function nearest(files, step) {
	const distance = (/** @type {RunFile} */ file) => Math.abs(Number(file.step) - step);
	return files.reduce((best, file) => (distance(file) <= distance(best) ? file : best));
}

/** @type {Component} */
function Series({route, run, files, step}) {
	const place = useRef(null);
	const isSeen = useSeen(place);
	const file = nearest(files, step);
	const source = sourceOf(route, run, file);
	return html`<figure class="chart series" ref=${place}>
		<figcaption><bdi>${file.path}</bdi> <span class="tools"><small>step ${file.step}</small> <${Download} key=${file.step} file=${file} source=${source} /></span></figcaption>
		<${Preview} file=${file} source=${source} isSeen=${isSeen} /></figure>`;
}

/** @type {Component} */
export function RunSteps({route, run}) {
	const values = usePolled(loadValues(route, run.uuid), []);
	const listed = usePolled(loadFiles(route, run), [run.status]);
	const error = values.error ?? listed.error;
	if (!values.value || !listed.value) return html`<${Problem} error=${error} />${error ? "" : Loading()}`;
	const entries = Object.entries(values.value).filter(([, {last}]) => isValue(last));
	const series = Map.groupBy(
		listed.value.filter(({step}) => step != null),
		({path}) => path
	);
	const steps = [...new Set([...series.values()].flat().map(({step}) => Number(step)))].sort((a, b) => a - b);
	// The last one, until another one is chosen.
	const chosen = option("at") === "" ? Infinity : Number(option("at"));
	const index = Math.max(
		0,
		steps.findLastIndex(step => step <= chosen)
	);
	const onInput = (/** @type {FieldEvent} */ {target}) => {
		const step = steps[Number(target.value)];
		optionSetter("at")(/** @type {any} */ ({target: {value: step === steps.at(-1) ? "" : String(step)}}));
	};
	return html`<${Problem} error=${error} />
		${steps.length > 1 && html`<div class="bar steps"><label>Step <input type="range" min="0" max=${steps.length - 1} value=${index} aria-valuetext="Step ${steps[index]}" onInput=${onInput} /> <output>${steps[index]}</output></label></div>`}
		${entries.map(
			([name, {last, last_step}]) =>
				html`<section key=${name}><h2><bdi>${name}</bdi> <small>step ${last_step}</small></h2><${Value} name=${name} value=${last} /></section>`
		)}
		<div class="charts">${[...series].map(([path, members]) => html`<${Series} key=${path} route=${route} run=${run} files=${members} step=${steps[index]} />`)}</div>
		${!entries.length && !series.size && html`<div class="empty"><p>No text and no media yet. Log the first ones:</p><pre tabindex="0">run.log("prompt", "Answer briefly.")\nrun.log_image("samples", image, step=0)</pre></div>`}`;
}
