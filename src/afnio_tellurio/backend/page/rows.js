// The tables of a run, each with its first rows. Rows are loaded once they are to be seen.

import {get, runPath, unlessSame, usePolled} from "./backend.js";
import {counted} from "./format.js";
import {html, useState} from "./preact.js";
import {Value} from "./values.js";
import {Loading, Problem} from "./views.js";

const ROWS = 100;

/** @type {(route: Route, run: Run) => Load<Table[]>} */
const loadTables = (route, run) => async (before, signal) =>
	unlessSame(before, await get(`${runPath(route, run.uuid)}tables/`, {}, signal));

/** @type {(route: Route, run: Run, name: string, isOpen: boolean) => Load<TableRow[]>} */
const loadRows = (route, run, name, isOpen) => async (before, signal) =>
	isOpen
		? unlessSame(before, await get(`${runPath(route, run.uuid)}tables/rows/`, {name, limit: ROWS}, signal))
		: (before ?? []);

/** @type {Component} */
function TableOf({route, run, table: {name, count}}) {
	const [isOpen, setOpen] = useState(false);
	const rows = usePolled(loadRows(route, run, name, isOpen), [isOpen]);
	const values = rows.value?.map(row => row.value) ?? [];
	const toggle = (/** @type {any} */ event) => setOpen(event.currentTarget.open);
	return html`<details onToggle=${toggle}><summary><bdi>${name}</bdi>: ${counted(count, "row")}</summary>
		<${Problem} error=${rows.error} />
		${values.length > 0 && html`<${Value} name=${name} value=${values} />`}
		${values.length > 0 && count > values.length && html`<p>Only the first ${values.length} rows are shown.</p>`}</details>`;
}

/** @type {Component} */
export function RunTables({route, run}) {
	const {value, error} = usePolled(loadTables(route, run), []);
	if (!value) return html`<${Problem} error=${error} />${error ? "" : Loading()}`;
	if (!value.length)
		return html`<div class="empty"><p>No tables yet. Log the first rows:</p><pre tabindex="0">run.log_rows("answers", [{"question": "2 + 2?", "answer": "4"}])</pre></div>`;
	return html`<${Problem} error=${error} />${value.map(table => html`<${TableOf} key=${table.name} route=${route} run=${run} table=${table} />`)}`;
}
