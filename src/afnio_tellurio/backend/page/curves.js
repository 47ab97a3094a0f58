// All charts of a view: what is set for all of them, and their sections.

import {option, optionSetter} from "./address.js";
import {AXES, ChartPart} from "./chart.js";
import {capitalized, groupsOf} from "./format.js";
import {html} from "./preact.js";

// Metrics in one request.
const PART = 12;

/** @returns {Settings} */
function chosenSettings() {
	const chosen = option("x");
	const x = Object.hasOwn(AXES, chosen) ? /** @type {Axis} */ (chosen) : "step";
	const smooth = Number(option("smooth"));
	const isOn = (/** @type {string} */ name) => option(name) === "1";
	return {x, logX: isOn("logx") && x !== "wall", logY: isOn("logy"), smooth: smooth > 0 && smooth < 1 ? smooth : 0};
}

/** @type {Component} */
function CurveSettings({settings}) {
	/** @type {(name: string, label: string, isOn: boolean) => VNode} */
	const box = (name, label, isOn) =>
		html`<label><input type="checkbox" checked=${isOn} onChange=${optionSetter(name)} /> ${label}</label>`;
	return html`<div class="bar" role="group" aria-label="Charts">
		<label>X axis <select value=${settings.x} onChange=${optionSetter("x")}>
			${Object.entries(AXES).map(([axis, label]) => html`<option value=${axis}>${capitalized(label)}</option>`)}
		</select></label>
		${box("logx", "Log x", settings.logX)} ${box("logy", "Log y", settings.logY)}
		<label>Smoothing <input type="range" min="0" max="0.99" step="0.01" value=${settings.smooth} onInput=${optionSetter("smooth")} />
			<output>${settings.smooth.toFixed(2)}</output></label>
	</div>`;
}

/** @type {Component} */
export function Curves({route, names, shownRuns, theme}) {
	const settings = chosenSettings();
	const isLarge = names.length < 3;
	const parts = (/** @type {string[]} */ members) =>
		members.flatMap((_name, index) => (index % PART ? [] : [members.slice(index, index + PART)]));
	if (!names.length) return html`<p class="quiet">No numeric metrics yet.</p>`;
	return html`<${CurveSettings} settings=${settings} />
		${groupsOf(names).map(
			([group, members]) => html`<section key=${group}>
			${group && html`<h2><bdi>${group}</bdi></h2>`}
			${parts(members).map(part => html`<${ChartPart} key=${part[0]} route=${route} names=${part} shownRuns=${shownRuns} settings=${settings} theme=${theme} isLarge=${isLarge} />`)}
		</section>`
		)}`;
}
