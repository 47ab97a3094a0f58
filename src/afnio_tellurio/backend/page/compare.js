// A comparison of runs: their facts and summaries side by side, and their curves.

import {Link, option, optionSetter, options} from "./address.js";
import {projectPath, running} from "./backend.js";
import {Curves} from "./curves.js";
import {capitalized, isNumber, Mark, number, Scroll} from "./format.js";
import {html} from "./preact.js";
import {FACTS, KINDS, RunLink} from "./runs.js";
import {MOST, numericNames, selection, useProject, useSummaries, useView, waiting} from "./views.js";

/** @type {Component} */
export function CompareView({route, name: project, theme, onError}) {
	const uuids = (options("run") ?? []).slice(0, MOST);
	const {list, metrics: listed} = useProject(route);
	useView(`Comparison, ${project}`, onError, list, listed);
	const shownRuns = list.value ? selection([], list.value.byId) : [];
	const names = (listed.value ?? []).map(({name}) => name).slice(0, MOST);
	const summaries = useSummaries(route, names, uuids, running(shownRuns));
	if (!list.value || !listed.value) return waiting(list, listed);
	if (shownRuns.length < 2)
		return html`<p>Select at least two runs of <${Link} to=${projectPath(route)}><bdi>${project}</bdi><//> to compare them.</p>`;
	const metrics = listed.value.filter(({name}) => shownRuns.some(run => summaries?.get(name)?.has(run.uuid)));
	return html`<h1>Comparison of ${shownRuns.length} runs</h1>
		<${Differences} route=${route} shownRuns=${shownRuns} metrics=${metrics} summaries=${summaries} />
		<${Curves} route=${route} names=${numericNames(metrics)} shownRuns=${shownRuns} theme=${theme} />`;
}

/** @type {Component} */
function Differences({route, shownRuns, metrics, summaries}) {
	const kind = KINDS.find(one => one === option("of")) ?? "last";
	const [base] = shownRuns;
	const value = (/** @type {string} */ name, /** @type {Run} */ run) => summaries?.get(name)?.get(run.uuid)?.[kind];
	return html`<div class="bar"><label>Value <select value=${kind} onChange=${optionSetter("of")}>${KINDS.map(one => html`<option value=${one}>${capitalized(one)}</option>`)}</select></label>
		<span class="quiet">Compared with <bdi>${base.name}</bdi></span></div>
	<${Scroll} label="Differences"><table>
		<thead><tr><td></td>${shownRuns.map(run => html`<th scope="col" key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} route=${route} run=${run} /></th>`)}</tr></thead>
		<tbody>
			${Object.values(FACTS).map(([label, show]) => html`<tr><th scope="row">${label}</th>${shownRuns.map(run => html`<td>${show(run)}</td>`)}</tr>`)}
			${metrics.map(
				({name}) =>
					html`<tr key=${name}><th scope="row"><bdi>${name}</bdi></th>${shownRuns.map(
						run => html`<td>
				${number(value(name, run), 40)} <small>${run !== base && difference(value(name, run), value(name, base))}</small></td>`
					)}</tr>`
			)}
		</tbody>
	</table><//>`;
}

/** @param {unknown} value @param {unknown} base */
function difference(value, base) {
	if (!isNumber(value) || !isNumber(base)) return "";
	if (value === base) return "=";
	const by = value - base;
	const sign = by > 0 ? "+" : "";
	return `${sign}${number(by)}${base ? ` (${sign}${((by / Math.abs(base)) * 100).toFixed(1)}%)` : ""}`;
}
