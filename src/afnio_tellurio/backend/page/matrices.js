// Matrices of a comparison, such as confusion matrices, and how they differ from that of the base.

import {written} from "./columns.js";
import {isNumber} from "./format.js";
import {html} from "./preact.js";

// Rows and columns that are shown.
const MOST = 20;

/** @param {unknown[][]} rows */
const sizeOf = rows => [rows.length, rows.reduce((most, row) => Math.max(most, row.length), 0)];

/** @type {(props: {name: string, value: unknown[][], base: unknown[][] | null}) => VNode} */
export function Matrix({name, value: rows, base: others}) {
	const [height, width] = sizeOf(rows);
	const size = `${height} × ${width}`;
	const isLike = others && String(sizeOf(others)) === String([height, width]);
	const isEqual = isLike && JSON.stringify(rows) === JSON.stringify(others);
	const shown = rows.slice(0, MOST).map(row => row.slice(0, MOST));
	const numbers = shown.flat().filter(isNumber);
	const low = numbers.reduce((least, next) => Math.min(least, next), Infinity);
	const high = numbers.reduce((most, next) => Math.max(most, next), -Infinity);
	const write = written(numbers);
	const share = (/** @type {unknown} */ cell) => (isNumber(cell) && high > low ? (cell - low) / (high - low) : 0);
	/** @param {unknown} cell @param {unknown} other */
	const change = (cell, other) => {
		if (!isLike || cell === other) return "";
		const by = isNumber(cell) && isNumber(other) ? cell - other : null;
		return html` <small>${by === null ? "changed" : `${by > 0 ? "+" : ""}${write(by)}`}</small>`;
	};
	return html`<table class="matrix" aria-label="${name}, ${size}"><tbody>${shown.map(
		(row, at) =>
			html`<tr>${row.map((cell, index) => html`<td style=${{"--share": share(cell)}}>${write(cell)}${change(cell, others?.[at]?.[index])}</td>`)}</tr>`
	)}</tbody></table>
	${isEqual && html`<small>=</small>`}${others && !isLike && html`<small>${size}, not ${sizeOf(others).join(" × ")}</small>`}
	${Math.max(height, width) > MOST && html`<small>The first ${MOST} rows and columns of ${size}.</small>`}`;
}
