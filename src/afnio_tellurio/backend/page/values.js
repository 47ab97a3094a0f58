// JSON values of metrics: a confusion matrix or a list of records as a table.
import { html } from "./preact.js";
import { Head, isNumber, number, Scroll } from "./format.js";

const MOST = 100;

const isObject = (value) => value !== null && typeof value === "object";

// Any value as rows of cells: [[name, {column: cell}]], or null where it is a single one.
function rowsOf(value) {
	if (!isObject(value)) return null;
	const rows = Object.entries(value);
	const isTable = rows.length && rows.every(([, row]) => isObject(row));
	return isTable ? rows : rows.map(([name, cell]) => [name, { value: cell }]);
}

function written(value) {
	return isObject(value) ? JSON.stringify(value) : number(value);
}

export function Value({ name, value }) {
	const rows = rowsOf(value)?.slice(0, MOST);
	if (!rows?.length) return html`<p class="scroll"><bdi>${written(value)}</bdi></p>`;
	const head = [...new Set(rows.flatMap(([, row]) => Object.keys(row)))].slice(0, MOST);
	const numbers = rows.flatMap(([, row]) => Object.values(row)).filter(isNumber);
	const low = numbers.reduce((least, one) => Math.min(least, one), Infinity);
	const high = numbers.reduce((most, one) => Math.max(most, one), -Infinity);
	const of = (row, one) => (Object.hasOwn(row, one) ? row[one] : null);
	const share = (cell) => (isNumber(cell) && high > low ? (cell - low) / (high - low) : 0);
	const all = Object.keys(value).length;
	return html`<${Scroll} label="Value of ${name}"><table>
		<thead><tr><td></td>${head.map(Head)}</tr></thead>
		<tbody>${rows.map(
			([label, row]) => html`<tr><th scope="row"><bdi>${label}</bdi></th>${head.map(
				(one) => html`<td class="heat" style=${{ "--share": share(of(row, one)) }}><bdi>${written(of(row, one))}</bdi></td>`,
			)}</tr>`,
		)}</tbody>
	</table><//>${all > MOST && html`<p>${all - MOST} more rows are not shown.</p>`}`;
}
