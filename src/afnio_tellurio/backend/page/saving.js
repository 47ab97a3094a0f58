// A chart's values as a table and as files.

import {capitalized, colorOf, csv, Head, hueOf, number, patternOf, Scroll, save, withDigits} from "./format.js";
import {html} from "./preact.js";

// The column of the steps.
const STEP = 2;

// What is drawn, as rows for a table or a file.
/** @param {string} name @param {Line[]} lines */
function rowsOf(name, lines) {
	const columns = /** @type {const} */ (["last", "minimum", "maximum", "count"]);
	const rows = lines.flatMap(({label, series}) =>
		series.step.map((step, index) => {
			const time = new Date(series.timestamp[index] * 1000).toISOString();
			return [label, name, step, time, ...columns.map(column => series[column][index])];
		})
	);
	return [["run", "metric", "step", "time", ...columns], ...rows];
}

/** @param {string} name @param {Line[]} lines */
export const saveRows = (name, lines) => save(new Blob([csv(rowsOf(name, lines))]), `${name}.csv`);

/** @type {Component} */
export function PointsTable({name, lines}) {
	const [head, ...rows] = rowsOf(name, lines);
	return html`<${Scroll} label="Values of ${name}"><table>
		<thead><tr>${head.map(label => Head(capitalized(String(label))))}</tr></thead>
		<tbody>${rows.map(row => html`<tr>${row.map((value, at) => html`<td><bdi>${at === STEP ? withDigits(Number(value), 0) : number(value)}</bdi></td>`)}</tr>`)}</tbody>
	</table><//>`;
}

/** @param {UPlot} chart @param {string} name @param {Line[]} lines */
export function savePicture(chart, name, lines) {
	const source = chart.ctx.canvas;
	const row = 18 * devicePixelRatio;
	const canvas = document.createElement("canvas");
	const ink = canvas.getContext("2d");
	if (!ink) return;
	canvas.width = source.width;
	canvas.height = source.height + row * (lines.length + 2);
	ink.fillStyle = colorOf("--card");
	ink.fillRect(0, 0, canvas.width, canvas.height);
	ink.fillStyle = colorOf("--ink");
	ink.font = `${row * 0.7}px system-ui`;
	ink.fillText(name, row / 2, row);
	ink.drawImage(source, 0, row * 1.5);
	lines.forEach(({label, slot}, index) => {
		const y = source.height + row * (index + 2);
		ink.strokeStyle = colorOf(hueOf(slot));
		ink.lineWidth = row / 9;
		ink.setLineDash(patternOf(slot).map(length => length * devicePixelRatio));
		ink.beginPath();
		ink.moveTo(row / 2, y - row / 4);
		ink.lineTo(row * 2, y - row / 4);
		ink.stroke();
		ink.fillText(label, row * 2.4, y);
	});
	canvas.toBlob(blob => blob && save(blob, `${name}.png`));
}
