// What a chart shows at the pointer.

import {elapsed, Mark, withDigits} from "./format.js";
import {nearest, valuesAt} from "./plotting.js";
import {html, render} from "./preact.js";

// Rows of a tip, at most: those next to the pointer.
const ROWS = 15;
export const LINE_WIDTH = 1.5;
const NEAR_WIDTH = 3;

/** @param {number} x @param {Axis} axis */
export function writtenX(x, axis) {
	if (axis === "step") return `step ${withDigits(x, 0)}`;
	return axis === "wall" ? new Date(x * 1000).toLocaleString() : elapsed(x);
}

// Draws one line stronger.
/** @param {UPlot} chart @param {Plot} plot @param {number} line Or -1. */
function highlight(chart, plot, line) {
	let isChanged = false;
	plot.drawn.forEach(({part, line: of}, index) => {
		const width = part === "y" && of === line ? NEAR_WIDTH : LINE_WIDTH;
		const series = chart.series[index];
		// A chart that is about to be drawn again may lack a line.
		if (part !== "y" || !series || series.width === width) return;
		series.width = width;
		isChanged = true;
	});
	if (isChanged) chart.redraw(false, false);
}

// By hand: it follows the pointer.
/** @param {UPlot} chart @param {HTMLElement} tip @param {{plot: Plot, lines: Line[]}} shown @param {Axis} axis */
export function showTip(chart, tip, {plot, lines}, axis) {
	const {left = -1, top = 0} = chart.cursor;
	const box = /** @type {HTMLElement} */ (tip.parentElement);
	const xs = plot.data[0];
	// A chart that only follows another one's pointer shows the line alone.
	tip.hidden = left < 0 || !xs.length || !(box.matches(":hover") || box === document.activeElement);
	if (tip.hidden) return highlight(chart, plot, -1);
	const x = xs[nearest(xs, chart.posToVal(left, "x"))];
	const values = valuesAt(plot, lines, x);
	const distance = (/** @type {ValueAt} */ {drawn}) =>
		drawn === null ? Infinity : Math.abs(chart.valToPos(drawn, "y") - top);
	const closest = [...values].sort((a, b) => distance(a) - distance(b)).slice(0, ROWS);
	const near = closest.length > 1 && Number.isFinite(distance(closest[0])) ? closest[0] : undefined;
	const rows = values
		.filter(value => closest.includes(value))
		.map(
			value =>
				html`<div data-near=${value === near}><${Mark} slot=${value.slot} /> <bdi>${value.label}</bdi> <b>${value.text}</b></div>`
		);
	const hidden = values.length - rows.length;
	render(html`<div>${writtenX(x, axis)}</div>${rows}${hidden > 0 && html`<div>${hidden} more</div>`}`, tip);
	highlight(chart, plot, near ? near.line : -1);
	const offset = chart.over.offsetLeft + left;
	const isRight = offset > box.clientWidth / 2;
	tip.style.left = isRight ? "" : `${offset + 14}px`;
	tip.style.right = isRight ? `${box.clientWidth - offset + 14}px` : "";
	tip.style.top = `${Math.max(0, top - 10)}px`;
}
