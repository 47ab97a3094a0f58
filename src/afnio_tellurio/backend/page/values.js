// JSON values of metrics: a confusion matrix or a list of records as a table.

import {counted, Head, isNumber, number, Scroll} from "./format.js";
import {html} from "./preact.js";

const ROWS = 100;
const CHARACTERS = 2000;
const SHORT = 60;

/** @type {(value: unknown) => value is object} */
export const isObject = value => value !== null && typeof value === "object";

// Any value as rows of cells, or null if it is a single one.
/** @param {unknown} value @returns {[string, Record<string, unknown>][] | null} */
function rowsOf(value) {
	if (!isObject(value)) return null;
	const rows = Object.entries(value);
	const isTable = rows.length && rows.every(([, row]) => isObject(row));
	return isTable ? rows : rows.map(([name, cell]) => [name, {value: cell}]);
}

/** @param {unknown} value */
const written = value => number(value, CHARACTERS);

// A cell that has room for its lines.
/** @param {unknown} value */
const isLong = value => typeof value === "string" && (value.length > SHORT || value.includes("\n"));

/** @type {Component} */
export function Value({name, value}) {
	const rows = rowsOf(value);
	if (!rows?.length) return html`<p class="scroll"><bdi>${written(value)}</bdi></p>`;
	const shown = rows.slice(0, ROWS);
	const head = [...new Set(shown.flatMap(([, row]) => Object.keys(row)))].slice(0, ROWS);
	const numbers = shown.flatMap(([, row]) => Object.values(row)).filter(isNumber);
	const low = numbers.reduce((least, next) => Math.min(least, next), Infinity);
	const high = numbers.reduce((most, next) => Math.max(most, next), -Infinity);
	const share = (/** @type {unknown} */ cell) => (isNumber(cell) && high > low ? (cell - low) / (high - low) : 0);
	const hidden = rows.length - shown.length;
	return html`<${Scroll} label="Value of ${name}"><table>
		<thead><tr><td></td>${head.map(Head)}</tr></thead>
		<tbody>${shown.map(
			([label, row]) =>
				html`<tr><th scope="row"><bdi>${label}</bdi></th>${head.map(key => {
					const cell = Object.hasOwn(row, key) ? row[key] : null;
					return html`<td class="heat ${isLong(cell) ? "text" : ""}" style=${{"--share": share(cell)}}><bdi>${written(cell)}</bdi></td>`;
				})}</tr>`
		)}</tbody>
	</table><//>${hidden > 0 && html`<p>${counted(hidden, "more row")} not shown.</p>`}`;
}
