// The table of a project's runs: sorted by the backend, with columns of metrics and of the config.

import {option, options, setOptions} from "./address.js";
import {running} from "./backend.js";
import {capitalized, isNumber, number, Scroll} from "./format.js";
import {html, useState} from "./preact.js";
import {Pager, pageOf, RunPick, Selection} from "./project.js";
import {FACTS, KINDS, RunLink} from "./runs.js";
import {RunSearch} from "./search.js";
import {useSummaries} from "./views.js";

const NEWEST_FIRST = "-created";
/** @type {Record<string, string>} */
const TERMS = {last: "last", minimum: "min", maximum: "max"};
// Columns when none are chosen.
const CONFIGS = 2;
const METRICS = 3;
// Choices that are listed at once.
const LISTED = 200;

/** @param {string} text */
const quoted = text => `"${text.replace(/["\\]/g, "\\$&")}"`;

// A column is written "last:train/loss" or "config:optim.lr" in the address.
/** @param {string} key @returns {Column} */
function columnOf(key) {
	const kind = key.slice(0, key.indexOf(":"));
	const name = key.slice(kind.length + 1);
	const parts = name.split(".").map(part => (/^[A-Za-z_]\w*$/.test(part) ? part : quoted(part)));
	const term = kind === "config" ? `config.${parts.join(".")}` : `metric(${quoted(name)}).${TERMS[kind] ?? "last"}`;
	return {key, kind, name, term};
}

/** @type {(value: unknown) => value is Record<string, unknown>} */
const isGroup = value => value !== null && typeof value === "object" && !Array.isArray(value);

// The values of a config by their dotted names.
/** @param {Record<string, unknown>} fields @returns {[string, unknown][]} */
const flat = (fields, start = "") =>
	Object.entries(fields).flatMap(([name, value]) =>
		isGroup(value) ? flat(value, `${start}${name}.`) : [[start + name, value]]
	);

/** @param {Run[]} runs */
function configsOf(runs) {
	const rows = new Map(runs.map(run => [run.uuid, new Map(flat(run.config ?? {}))]));
	/** @type {Map<string, Set<string>>} */
	const values = new Map();
	for (const row of rows.values())
		for (const [name, value] of row) {
			if (!values.has(name)) values.set(name, new Set());
			values.get(name)?.add(JSON.stringify(value));
		}
	return {rows, values};
}

// The numbers that are read first: results on held-out data, then losses and scores.
/** @param {Metric} metric */
const rank = ({name}) =>
	(/\b(val|valid|validation|eval|test)\b/i.test(name) ? 2 : 0) +
	(/loss|acc|f1|auc|score|reward|bleu|perplexity/i.test(name) ? 1 : 0);

/** @param {Metric[]} metrics @param {Map<string, Set<string>>} values */
function chosenColumns(metrics, values) {
	const chosen = options("col");
	if (chosen) return chosen.map(columnOf);
	const common = metrics.filter(metric => metric.is_numeric).sort((a, b) => b.runs - a.runs || rank(b) - rank(a));
	// What differs between runs says more than what does not.
	const varied = [...values].filter(([, different]) => different.size > 1).map(([name]) => `config:${name}`);
	return [...varied.slice(0, CONFIGS), ...common.slice(0, METRICS).map(({name}) => `last:${name}`)].map(columnOf);
}

// Whether smaller values of a metric are better; null if its name does not say it.
/** @param {Column} column */
function isLowBest({name, kind}) {
	if (/loss|error|err\b|perplexity|ppl|latency|cost|time|seconds|_ms\b|mse|mae|wer\b|fid\b/i.test(name)) return true;
	if (/acc|f1|auc|score|reward|bleu|rouge|precision|recall|per_s|throughput|map\b|iou/i.test(name)) return false;
	return kind === "minimum" ? true : kind === "maximum" ? false : null;
}

// How the numbers of a column are written: with the same digits after the point.
/** @param {unknown[]} values @returns {(value: unknown) => string} */
export function written(values) {
	const numbers = values.filter(isNumber).map(Math.abs);
	const most = numbers.reduce((high, next) => Math.max(high, next), 0);
	if (numbers.every(Number.isInteger) || !(most >= 1e-3 && most < 1e7)) return value => number(value, 24);
	const digits = Math.min(5, Math.max(0, 4 - Math.max(0, Math.floor(Math.log10(most)) + 1)));
	const least = 10 ** -digits;
	return value => {
		if (!isNumber(value)) return number(value, 24);
		// Of a small one too few digits would be left.
		if (value !== 0 && Math.abs(value) < 10 * least) return number(Number(value.toPrecision(3)));
		return value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
	};
}

/** @type {Component} */
function Heading({sort, label, kind}) {
	const order = option("sort", NEWEST_FIRST);
	const [state, arrow] =
		order === sort ? ["ascending", "↑"] : order === `-${sort}` ? ["descending", "↓"] : ["none", ""];
	const onClick = () => setOptions({sort: state === "ascending" ? `-${sort}` : sort, page: ""});
	return html`<th scope="col" aria-sort=${state} class=${kind ? "number" : ""}><button class="plain" title=${label} onClick=${onClick}>
		<bdi>${label}</bdi> <small>${kind}</small> <span aria-hidden="true">${arrow}</span>
	</button></th>`;
}

/** @type {(props: {metrics: Metric[], configs: string[], columns: Column[]}) => VNode} */
function Columns({metrics, configs, columns}) {
	const [text, setText] = useState("");
	const isListed = (/** @type {string} */ name) => name.toLowerCase().includes(text.toLowerCase());
	const set = (/** @type {Column[]} */ removed, /** @type {string} */ key) => {
		const others = columns.filter(column => !removed.includes(column)).map(column => column.key);
		setOptions({col: key ? [...others, key] : others});
	};
	return html`<details class="menu"><summary>Columns</summary><div class="panel">
		<input type="search" placeholder="Search columns" aria-label="Search columns" value=${text} onInput=${(/** @type {FieldEvent} */ event) => setText(event.target.value)} />
		${configs
			.filter(isListed)
			.slice(0, LISTED)
			.map(name => {
				const held = columns.filter(column => column.key === `config:${name}`);
				return html`<label key=${`config:${name}`}><bdi>${name}</bdi><input type="checkbox" checked=${held.length > 0} onChange=${() => set(held, held.length ? "" : `config:${name}`)} /></label>`;
			})}
		${metrics
			.filter(({name}) => isListed(name))
			.slice(0, LISTED)
			.map(({name}) => {
				const held = columns.filter(column => column.name === name && column.kind !== "config");
				const onChange = (/** @type {FieldEvent} */ {target: {value}}) => set(held, value && `${value}:${name}`);
				return html`<label key=${name}><bdi>${name}</bdi><select value=${held[0]?.kind ?? ""} onChange=${onChange}>
					<option value="">Hidden</option>${KINDS.map(kind => html`<option value=${kind}>${capitalized(kind)}</option>`)}
				</select></label>`;
			})}
	</div></details>`;
}

/** @type {Component} */
export function RunTable({route, runs, found, shownRuns, metrics, problem, onSelect}) {
	const {rows, values} = configsOf(runs);
	const columns = chosenColumns(metrics, values);
	const names = columns.filter(({kind}) => kind !== "config").map(({name}) => name);
	const summaries = useSummaries(route, [...new Set(names)], null, running(runs));
	const {first, end} = pageOf(found.length);
	const slots = new Map(shownRuns.map(run => [run.uuid, run.slot]));
	const drawn = columns.map(column => {
		const read = (/** @type {Run} */ {uuid}) =>
			column.kind === "config"
				? rows.get(uuid)?.get(column.name)
				: summaries?.get(column.name)?.get(uuid)?.[/** @type {Kind} */ (column.kind)];
		const all = found.map(read);
		const numbers = all.filter(isNumber);
		const isLow = column.kind === "config" ? null : isLowBest(column);
		const best =
			numbers.length < 2 || isLow === null ? null : numbers.reduce((one, two) => (one < two === isLow ? one : two));
		return {column, read, best, write: written(all)};
	});
	return html`<div class="bar"><${RunSearch} problem=${problem} /><${Columns} metrics=${metrics} configs=${[...values.keys()]} columns=${columns} />
			<${Selection} route=${route} found=${found} shownRuns=${shownRuns} /></div>
		<${Scroll} label="Runs"><table class="runs-table">
			<thead><tr><th scope="col"><span class="unseen">In charts</span></th>
				<${Heading} sort="name" label="Name" />
				${Object.entries(FACTS).map(([key, [label]]) => (key === "tags" ? html`<th scope="col">${label}</th>` : html`<${Heading} sort=${key} label=${label} />`))}
				${columns.map(({key, name, kind, term}) => html`<${Heading} key=${key} sort=${term} label=${name} kind=${kind} />`)}
			</tr></thead>
			<tbody>${found.slice(first, end).map(
				run => html`<tr key=${run.uuid} data-status=${run.status}>
				<td><${RunPick} run=${run} slot=${slots.get(run.uuid)} onSelect=${onSelect} /></td>
				<th scope="row"><${RunLink} route=${route} run=${run} /></th>
				${Object.values(FACTS).map(([, show]) => html`<td>${show(run)}</td>`)}
				${drawn.map(({column: {key}, read, best, write}) => {
					const value = read(run);
					const isBest = best !== null && value === best;
					return html`<td key=${key} class="number">${isBest ? html`<b class="best" title="Best of these runs">${write(value)}</b>` : write(value)}</td>`;
				})}
			</tr>`
			)}</tbody>
		</table><//>
		<${Pager} count=${found.length} />`;
}
