// The table of a project's runs: sorted, filtered, with columns of metrics.
import { html, useEffect, useMemo, useState } from "./preact.js";
import { choose, chooser, Link, option, options } from "./address.js";
import { runPath } from "./backend.js";
import { duration, isNumber, Mark, number, Scroll, secondsOf, when } from "./format.js";

const PAGE = 50;
const SIGNS = { __proto__: null, RUNNING: "●", COMPLETED: "✓", CRASHED: "✕", FAILED: "!" };
export const KINDS = ["last", "minimum", "maximum"];

export const RunLink = ({ place, run }) =>
	html`<${Link} to=${runPath(place, run.uuid)} title=${run.description}><bdi>${run.name}</bdi><//>`;

export const Status = ({ run: { status } }) =>
	html`<span class="status" data-status=${status}><i aria-hidden="true">${SIGNS[status] ?? "?"}</i> ${status.toLowerCase()}</span>`;

function Duration({ run }) {
	const [, tick] = useState(0);
	const isRunning = run.status === "RUNNING";
	useEffect(() => {
		const timer = isRunning && setInterval(() => tick((count) => count + 1), 1000);
		return () => clearInterval(timer);
	}, [isRunning]);
	return duration(secondsOf(run));
}

// What each run has: its label, what it is sorted by, and how it is shown.
export const FACTS = {
	status: ["Status", (run) => run.status, (run) => html`<${Status} run=${run} />`],
	user: ["User", (run) => run.user?.username, (run) => html`<bdi>${run.user?.username}</bdi>`],
	started: ["Started", (run) => run.date_created, (run) => when(run.date_created)],
	duration: ["Duration", secondsOf, (run) => html`<${Duration} run=${run} />`],
};

// A column of a metric is written "last:train/loss" in the address.
export function chosenColumns(names) {
	const common = names.filter((one) => one.is_numeric).sort((a, b) => b.runs - a.runs);
	const words = options("col") ?? common.slice(0, 3).map(({ name }) => `last:${name}`);
	return words.map((word) => ({ word, kind: word.slice(0, word.indexOf(":")), name: word.slice(word.indexOf(":") + 1) }));
}

export function filtered(runs) {
	const text = option("q");
	const status = option("status");
	let problem = null;
	let matches = (word) => word.toLowerCase().includes(text.toLowerCase());
	if (option("regex")) {
		try {
			const pattern = new RegExp(text, "iu");
			matches = (word) => pattern.test(word);
		} catch (error) {
			problem = error.message;
		}
	}
	const words = (run) => [run.name, run.user?.username ?? "", run.description ?? ""];
	return { found: runs.filter((run) => (!status || run.status === status) && words(run).some(matches)), problem };
}

function sorted(runs, order, columns, summaries) {
	const key = order.replace(/^-/, "");
	const column = columns.find(({ word }) => word === key);
	const fact = key === "name" ? (run) => run.name : FACTS[key]?.[1];
	const value = column ? (run) => summaries?.get(column.name)?.get(run.uuid)?.[column.kind] : fact;
	if (!value) return runs;
	const lacks = (one) => one == null || (column && !isNumber(one));
	return runs
		.map((run) => [value(run), run])
		.sort(([a], [b]) => {
			// What a run lacks comes last, either way.
			if (lacks(a) || lacks(b)) return lacks(a) - lacks(b);
			return ((a > b) - (a < b)) * (key === order ? 1 : -1);
		})
		.map(([, run]) => run);
}

function Heading({ sort, label, kind }) {
	const order = option("sort", "-started");
	const state = { [sort]: "ascending", [`-${sort}`]: "descending" }[order] ?? "none";
	const onClick = () => choose({ sort: state === "ascending" ? `-${sort}` : sort, page: "" });
	return html`<th scope="col" aria-sort=${state}><button class="plain" onClick=${onClick}>
		<bdi>${label}</bdi> <small>${kind}</small><span aria-hidden="true">${{ ascending: " ↑", descending: " ↓" }[state]}</span>
	</button></th>`;
}

function Columns({ names, columns }) {
	const [text, setText] = useState("");
	const shown = names.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase())).slice(0, 200);
	const set = (name, kind) => {
		const others = columns.filter((column) => column.name !== name).map(({ word }) => word);
		choose({ col: kind ? [...others, `${kind}:${name}`] : others });
	};
	return html`<details class="menu"><summary>Columns</summary><div class="panel">
		<input type="search" placeholder="Find a metric" aria-label="Find a metric" value=${text} onInput=${(event) => setText(event.target.value)} />
		${shown.map(({ name }) => html`<label key=${name}><bdi>${name}</bdi>
			<select value=${columns.find((column) => column.name === name)?.kind ?? ""} onChange=${(event) => set(name, event.target.value)}>
				<option value="">not shown</option>${KINDS.map((kind) => html`<option value=${kind}>${kind}</option>`)}
			</select></label>`)}
	</div></details>`;
}

export function RunFilter({ names, columns, problem }) {
	return html`<div class="bar" role="search">
		<input id="filter" type="search" placeholder="Filter runs ( / )" aria-label="Filter runs" value=${option("q")} onInput=${chooser("q")} />
		<label><input type="checkbox" checked=${option("regex")} onChange=${chooser("regex")} /> regular expression</label>
		<select aria-label="Status" value=${option("status")} onChange=${chooser("status")}>
			<option value="">any status</option>${Object.keys(SIGNS).map((status) => html`<option value=${status}>${status.toLowerCase()}</option>`)}
		</select>
		<${Columns} names=${names} columns=${columns} />
		<span class="problem" role="alert">${problem}</span>
	</div>`;
}

export function RunTable({ place, runs, columns, summaries, selected, onSelect }) {
	const order = option("sort", "-started");
	const ordered = useMemo(() => sorted(runs, order, columns, summaries), [runs, order, summaries, columns.map(({ word }) => word).join("\n")]);
	const pages = Math.max(1, Math.ceil(ordered.length / PAGE));
	const page = Math.min(pages, Math.max(1, Number(option("page")) || 1));
	const first = (page - 1) * PAGE;
	const shown = ordered.slice(first, first + PAGE);
	const slots = new Map(selected.map((run) => [run.uuid, run.slot]));
	const turn = (label, to) => html`<button disabled=${to < 1 || to > pages} onClick=${() => choose({ page: to })}>${label}</button>`;
	return html`<${Scroll} label="Runs"><table>
			<thead><tr><th scope="col"><span class="unseen">In the curves</span></th>
				<${Heading} sort="name" label="Name" />
				${Object.entries(FACTS).map(([key, [label]]) => html`<${Heading} sort=${key} label=${label} />`)}
				${columns.map(({ word, name, kind }) => html`<${Heading} key=${word} sort=${word} label=${name} kind=${kind} />`)}
			</tr></thead>
			<tbody>${shown.map((run) => html`<tr key=${run.uuid} data-status=${run.status}>
				<td><label class="pick"><input type="checkbox" aria-label="Show ${run.name}" checked=${slots.has(run.uuid)} onChange=${(event) => onSelect(run.uuid, event.target.checked)} />
					<${Mark} slot=${slots.get(run.uuid)} /></label></td>
				<th scope="row"><${RunLink} place=${place} run=${run} /></th>
				${Object.values(FACTS).map(([, , show]) => html`<td>${show(run)}</td>`)}
				${columns.map(({ word, name, kind }) => html`<td key=${word}>${number(summaries?.get(name)?.get(run.uuid)?.[kind], 24)}</td>`)}
			</tr>`)}</tbody>
		</table><//>
		<div class="bar">
			<span>${shown.length ? `${first + 1}-${first + shown.length} of ${number(ordered.length)} runs` : "No run matches."}</span>
			${pages > 1 && html`${turn("Previous", page - 1)} ${turn("Next", page + 1)}`}
		</div>`;
}
