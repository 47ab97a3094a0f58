// The table of a project's runs: sorted by the backend, with columns of metrics and of the config.

import {option, setOptions} from "./address.js";
import {running} from "./backend.js";
import {chosenColumns, configsOf, isLowBest, written} from "./columns.js";
import {capitalized, counted, isNumber, Scroll} from "./format.js";
import {html, useMemo, useState} from "./preact.js";
import {inPages, Pager, RunPick, Selection} from "./project.js";
import {FACTS, KINDS, RunLink} from "./runs.js";
import {RunSearch} from "./search.js";
import {useSummaries, withStyles} from "./views.js";

const NEWEST_FIRST = "-created";
// Choices that are listed at once.
const LISTED = 200;

/** @type {Component} */
function Heading({sort, label, kind}) {
	const order = option("sort", NEWEST_FIRST);
	const [state, arrow] =
		order === sort ? ["ascending", "↑"] : order === `-${sort}` ? ["descending", "↓"] : ["none", ""];
	const onClick = () => setOptions({sort: state === "ascending" ? `-${sort}` : sort, page: ""});
	return html`<th scope="col" aria-sort=${state} class=${kind ? "number" : ""}><button class="plain" title=${label} onClick=${onClick}>
		<bdi>${label}</bdi> <span aria-hidden="true">${arrow}</span> <small>${kind}</small>
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

// What a column has for a group: the value that all share, the best one if the name says what is better, or the mean.
/** @type {(column: Column, values: unknown[], write: (value: unknown) => string) => VNode | string} */
function summary(column, values, write) {
	const numbers = values.filter(isNumber);
	if (values.length && values.every(value => JSON.stringify(value) === JSON.stringify(values[0])))
		return html`<bdi>${write(values[0])}</bdi>`;
	if (!numbers.length) return "";
	const best = column.kind === "config" ? null : bestOf(column, numbers);
	const mean = numbers.reduce((sum, value) => sum + value / numbers.length, 0);
	return html`<small>${best === null ? "mean" : "best"}</small> ${write(best ?? mean)}`;
}

/** @param {Column} column @param {number[]} numbers */
function bestOf(column, numbers) {
	const isLow = isLowBest(column);
	return isLow === null ? null : numbers.reduce((one, two) => (one < two === isLow ? one : two));
}

const loadBulk = () => withStyles(import("./bulk.js"), "many.css");

/** @type {Component} */
export function RunTable({route, runs, found, shownRuns, groups, metrics, problem, setGone, onSelect, onError}) {
	const {rows, values} = useMemo(() => configsOf(runs), [runs]);
	const [bulk, setBulk] = useState(/** @type {Awaited<ReturnType<typeof loadBulk>> | null} */ (null));
	const [picked, setPicked] = useState(/** @type {Set<string>} */ (new Set()));
	const columns = chosenColumns(metrics, values);
	const names = columns.filter(({kind}) => kind !== "config").map(({name}) => name);
	const summaries = useSummaries(route, [...new Set(names)], null, running(runs));
	const slots = new Map(shownRuns.map(run => [run.uuid, run.slot]));
	const drawn = columns.map(column => {
		const read = (/** @type {Run} */ {uuid}) =>
			column.kind === "config"
				? rows.get(uuid)?.get(column.name)
				: summaries?.get(column.name)?.get(uuid)?.[/** @type {Kind} */ (column.kind)];
		const cells = found.map(read);
		const numbers = cells.filter(isNumber);
		const isTie = numbers.every(one => one === numbers[0]);
		const best = isTie || column.kind === "config" ? null : bestOf(column, numbers);
		return {column, read, best, write: written(cells)};
	});
	/** @param {Run} run */
	const item = run => html`<tr key=${run.uuid} data-status=${run.status}>
				<td>${bulk ? html`<${bulk.Pick} run=${run} picked=${picked} setPicked=${setPicked} />` : html`<${RunPick} run=${run} slot=${slots.get(run.uuid)} onSelect=${onSelect} />`}</td>
				<th scope="row"><${RunLink} route=${route} run=${run} /></th>
				${Object.values(FACTS).map(([, show]) => html`<td>${show(run)}</td>`)}
				${drawn.map(({column: {key}, read, best, write}) => {
					const value = read(run);
					const isBest = best !== null && value === best;
					return html`<td key=${key} class="number"><bdi class=${isBest ? "best" : ""} title=${isBest ? "Best of these runs" : ""}>${write(value)}</bdi></td>`;
				})}
			</tr>`;
	const onEdit = () => (bulk ? setBulk(null) : loadBulk().then(setBulk, onError));
	/** @type {(button: VNode, members: Run[], name: string) => VNode} */
	const head = (
		button,
		members,
		name
	) => html`<tr key=${name} class="group"><th scope="rowgroup" colspan=${2 + Object.keys(FACTS).length}>${button}</th>
		${drawn.map(({column, read, write}) => html`<td key=${column.key} class="number">${summary(column, members.map(read), write)}</td>`)}</tr>`;
	const {count, listed} = (groups?.lay ?? inPages)(found, item, head);
	return html`<div class="bar"><${RunSearch} problem=${problem} /><${Columns} metrics=${metrics} configs=${[...values.keys()]} columns=${columns} />
			<${Selection} route=${route} runs=${runs} found=${found} shownRuns=${shownRuns} onError=${onError} /><button aria-pressed=${Boolean(bulk)} onClick=${onEdit}>Edit</button></div>
		${bulk && html`<${bulk.BulkTools} route=${route} found=${found} picked=${picked} setPicked=${setPicked} setGone=${setGone} />`}
		<${Scroll} label="Runs"><table class="runs-table">
			<thead><tr><th scope="col">${bulk ? html`<${bulk.PickAll} label="Select all ${counted(found.length, "run")}" all=${found.map(({uuid}) => uuid)} picked=${picked} setPicked=${setPicked} />` : html`<span class="unseen">In charts</span>`}</th>
				<${Heading} sort="name" label="Name" />
				${Object.entries(FACTS).map(([key, [label]]) => (key === "tags" ? html`<th scope="col">${label}</th>` : html`<${Heading} sort=${key} label=${label} />`))}
				${columns.map(({key, name, kind, term}) => html`<${Heading} key=${key} sort=${term} label=${name} kind=${kind} />`)}
			</tr></thead>
			<tbody>${listed}</tbody>
		</table><//>
		${(count > 0 || !found.length) && html`<${Pager} count=${count} />`}`;
}
