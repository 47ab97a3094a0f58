// The files of a run: series over steps, and single files. And the artifacts that it used and created.

import {Link, option, optionSetter} from "./address.js";
import {artifactPath, runPath} from "./backend.js";
import {counted} from "./format.js";
import {html, useRef} from "./preact.js";
import {bytes, Download, FileItem, Preview, useSeen} from "./previews.js";

const FILES = 1000;

/** @type {(route: Route, run: Run, file: RunFile) => Source} */
const sourceOf = (route, run, {path, step}) => [`${runPath(route, run.uuid)}file/`, {path, step}];

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
export function RunFiles({route, run, files}) {
	const series = Map.groupBy(
		files.filter((/** @type {RunFile} */ {step}) => step != null),
		(/** @type {RunFile} */ {path}) => path
	);
	const single = files.filter((/** @type {RunFile} */ {step}) => step == null);
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
	const hidden = single.length - FILES;
	return html`<h2>Files</h2>
		${steps.length > 1 && html`<div class="bar steps"><label>Step <input type="range" min="0" max=${steps.length - 1} value=${index} aria-valuetext="Step ${steps[index]}" onInput=${onInput} /> <output>${steps[index]}</output></label></div>`}
		<div class="charts">${[...series].map(([path, members]) => html`<${Series} key=${path} route=${route} run=${run} files=${members} step=${steps[index]} />`)}</div>
		${single.length > 0 && html`<ul class="files">${single.slice(0, FILES).map((/** @type {RunFile} */ file) => html`<${FileItem} key=${file.path} file=${file} source=${sourceOf(route, run, file)} />`)}</ul>`}
		${hidden > 0 && html`<p>${counted(hidden, "more file")} not shown.</p>`}`;
}

/** @type {Component} */
export function RunArtifacts({route, links}) {
	/** @type {(label: string, direction: string) => unknown} */
	const list = (label, direction) => {
		const chosen = links.filter(link => link.direction === direction);
		return (
			chosen.length > 0 &&
			html`<h3>${label}</h3><ul class="files">${chosen.map(
				({artifact, version, type, size}) =>
					html`<li><${Link} to=${artifactPath(route, artifact, version)}><bdi>${artifact}:${version}</bdi><//> <small><bdi>${type}</bdi> · ${bytes(size)}</small></li>`
			)}</ul>`
		);
	};
	return html`<h2>Artifacts</h2>${list("Inputs", "input")}${list("Outputs", "output")}`;
}
