// All charts of a view: what is set for all of them, and their sections.

import {option, optionSetter, options, setOptions} from "./address.js";
import {AXES} from "./axes.js";
import {ChartPart} from "./chart.js";
import {capitalized, counted, groupsOf, number} from "./format.js";
import {html} from "./preact.js";
import {Loading} from "./views.js";

// Metrics in one request.
const PART = 12;
// The section of metrics without a prefix, if there are others.
const REST = "Other";
// Steps in which the weight of a value halves, by the positions of the slider.
const HALF_LIVES = [0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000, 30_000, 100_000];
// Charts from which on there is a field to search them.
const MANY = 4;

/** @returns {Settings} */
function chosenSettings() {
	const chosen = option("x");
	const x = Object.hasOwn(AXES, chosen) ? /** @type {Axis} */ (chosen) : "step";
	const halfLife = Number(option("smooth"));
	const isOn = (/** @type {string} */ name) => option(name) === "1";
	const [low, high] = options("zoom")?.map(Number) ?? [];
	return {
		x,
		logX: isOn("logx") && x !== "wall",
		logY: isOn("logy"),
		halfLife: Number.isFinite(halfLife) ? Math.max(0, halfLife) : 0,
		zoom: low < high ? [low, high] : null
	};
}

/** @type {Component} */
function CurveSettings({settings, names}) {
	/** @type {(name: string, label: string, isOn: boolean) => VNode} */
	const box = (name, label, isOn) =>
		html`<label><input type="checkbox" checked=${isOn} onChange=${optionSetter(name)} /> ${label}</label>`;
	const {halfLife} = settings;
	const position = HALF_LIVES.findLastIndex(steps => steps <= halfLife);
	const text = halfLife ? counted(halfLife, "step") : "Off";
	const onSmooth = (/** @type {FieldEvent} */ {target}) => setOptions({smooth: HALF_LIVES[Number(target.value)] || ""});
	return html`<div class="bar settings" role="group" aria-label="Charts">
		${(names.length >= MANY || option("m")) && html`<input type="search" placeholder="Search charts" aria-label="Search charts" value=${option("m")} onInput=${optionSetter("m")} />`}
		<label>X axis <select value=${settings.x} onChange=${(/** @type {FieldEvent} */ {target}) => setOptions({x: target.value, zoom: ""})}>
			${Object.entries(AXES).map(([axis, label]) => html`<option value=${axis}>${capitalized(label)}</option>`)}
		</select></label>
		${box("logx", "Log x", settings.logX)} ${box("logy", "Log y", settings.logY)}
		<label title="The weight of a value halves after these steps">Smoothing <input type="range" min="0" max=${HALF_LIVES.length - 1} step="1" value=${position} aria-valuetext=${text} onInput=${onSmooth} />
			<output>${text}</output></label>
		${settings.zoom && html`<button onClick=${() => setOptions({zoom: ""})}>Reset zoom</button>`}
	</div>`;
}

/** @type {(props: {group: string, label: string, count: number, children?: unknown}) => VNode} */
function Section({group, label, count, children}) {
	// No prefix has a slash.
	const key = group || "/";
	const closed = options("closed") ?? [];
	const isOpen = !closed.includes(key);
	const others = closed.filter(one => one !== key);
	const onClick = () => setOptions({closed: isOpen ? [...others, key] : others.length ? others : ""});
	return html`<section>
		${label && html`<h2><button class="plain" aria-expanded=${isOpen} onClick=${onClick}><span class="fold-mark" aria-hidden="true">▾</span> <bdi>${label}</bdi> <small>${number(count)}</small></button></h2>`}
		${(isOpen || !label) && children}</section>`;
}

/** @type {Component} */
export function Curves({route, names, isStale, shownRuns, theme}) {
	const settings = chosenSettings();
	const isLarge = names.length < 3;
	const parts = (/** @type {string[]} */ members) =>
		members.flatMap((_name, index) => (index % PART ? [] : [members.slice(index, index + PART)]));
	if (!names.length && isStale) return Loading();
	if (!names.length) return html`<p class="quiet">No numeric metrics yet.</p>`;
	const text = option("m").toLowerCase();
	const groups = groupsOf(names.filter(name => name.toLowerCase().includes(text)));
	return html`<${CurveSettings} settings=${settings} names=${names} />
		${!groups.length && html`<p class="quiet">No matching charts.</p>`}
		${groups.map(
			([
				group,
				members
			]) => html`<${Section} key=${group} group=${group} label=${group || (groups.length > 1 ? REST : "")} count=${members.length}>
			${parts(members).map(part => html`<${ChartPart} key=${part[0]} route=${route} names=${part} group=${group} shownRuns=${shownRuns} isStale=${isStale} settings=${settings} theme=${theme} isLarge=${isLarge} />`)}
		<//>`
		)}`;
}
