// The points of a chart's lines, from what the backend has sampled.

import {isNumber, number} from "./format.js";

// The points of a line whose series can be drawn as it is: a live chart is plotted with each poll, and copies of all of its
// values would fill the memory until it is collected.
/** @param {Line} line @param {Settings} settings @returns {Points | null} */
function seriesAsPoints({series}, {x, logX, logY, halfLife}) {
	if (x !== "step" || logX || logY || halfLife) return null;
	const {step, last: y, minimum: low, maximum: high, count} = series;
	if (!areNumbers(y) || !areNumbers(low) || !areNumbers(high)) return null;
	return {x: step, index: null, parts: count.some(isRange) ? {high, low, y} : {y}};
}

// A loop, since a function of each value would make an object of it.
/** @param {unknown[]} values @returns {values is number[]} */
function areNumbers(values) {
	for (let at = 0; at < values.length; at += 1) if (typeof values[at] !== "number") return false;
	return true;
}

const isRange = (/** @type {number} */ count) => count > 1;

// The points of one line: x, the index in its series unless it is the same, and what is drawn there.
/** @param {Line} line @param {Settings} settings @returns {Points} */
function pointsOf({series, start, lead}, {x: axis, logX, logY, halfLife}) {
	/** @type {Values[]} */
	const [y, raw, high, low] = [[], [], [], []];
	/** @type {number[][]} */
	const [x, index] = [[], []];
	const drawable = (/** @type {unknown} */ value) => (isNumber(value) && (!logY || value > 0) ? value : null);
	const average = averaging(halfLife, series.width);
	// An average over a part of the steps begins with those before it.
	if (halfLife)
		lead?.step.forEach((step, at) => {
			const last = drawable(lead.last[at]);
			if (step < series.step[0] && last !== null) average(step, last);
		});
	let end = -1;
	series.step.forEach((step, at) => {
		const time = series.timestamp[at];
		const here = axis === "step" ? step : axis === "wall" ? time : time - start;
		// Clocks may go back; a curve cannot.
		if ((logX && here <= 0) || here < x[end]) return;
		const last = drawable(series.last[at]);
		if (here !== x[end]) end += 1;
		x[end] = here;
		index[end] = at;
		y[end] = last !== null && halfLife ? average(step, last) : last;
		raw[end] = last;
		low[end] = drawable(series.minimum[at]);
		high[end] = drawable(series.maximum[at]);
	});
	if (halfLife) return {x, index, parts: {raw, y}};
	return {x, index, parts: series.count.some(isRange) ? {high, low, y} : {y}};
}

// A moving average in which a value's weight halves after some steps, however many of them have a point.
/** @param {number} halfLife @param {number} width Of the first point, in steps. */
export function averaging(halfLife, width) {
	let sum = 0;
	let weight = 0;
	/** @type {number | undefined} */
	let before;
	return (/** @type {number} */ step, /** @type {number} */ value) => {
		const kept = 0.5 ** ((before === undefined ? width : step - before) / halfLife);
		before = step;
		sum = kept * sum + (1 - kept) * value;
		weight = kept * weight + (1 - kept);
		return sum / weight;
	};
}

// The places of all lines, in order. Most often, one line has those of the others: runs take the same steps.
/** @param {number[][]} places */
function allOf(places) {
	const longest = places.reduce((most, xs) => (xs.length > most.length ? xs : most), []);
	if (places.every(xs => beginsWith(longest, xs))) return Float64Array.from(longest);
	const every = Float64Array.from(places.flat()).sort();
	return every.filter((x, at) => x !== every[at - 1]);
}

/** @param {ArrayLike<number>} all @param {number[]} xs */
function beginsWith(all, xs) {
	for (let at = 0; at < xs.length; at += 1) if (xs[at] !== all[at]) return false;
	return true;
}

// The values of a line at the places of all lines.
/** @param {Values} values @param {number[]} x @param {Float64Array} xs @returns {Values} */
function spread(values, x, xs) {
	const row = Array(xs.length);
	let column = 0;
	x.forEach((here, at) => {
		while (xs[column] < here) column += 1;
		row[column] = values[at];
	});
	return row;
}

// All lines over one x axis. Undefined where a line has no point, null where it is broken.
/** @param {Line[]} lines @param {Settings} settings @returns {Plot} */
export function plotted(lines, settings) {
	const points = lines.map(line => seriesAsPoints(line, settings) ?? pointsOf(line, settings));
	const xs = allOf(points.map(({x}) => x));
	/** @type {Values[]} */
	const rows = [];
	/** @type {Plot["drawn"]} */
	const drawn = [{}];
	points.forEach(({x, parts}, line) => {
		for (const [part, values] of /** @type {[Part, Values][]} */ (Object.entries(parts))) {
			// After the last point of a line there is nothing.
			rows.push(beginsWith(xs, x) ? values : spread(values, x, xs));
			drawn.push({slot: lines[line].slot, part, line});
		}
	});
	const isEmpty = !points.some(({parts}) => parts.y?.some(isNumber));
	const widths = lines.filter((_line, at) => points[at].parts.high).map(({series}) => series.width);
	return {points, data: [xs, ...rows], drawn, isEmpty, bandWidth: Math.max(0, ...widths)};
}

/** @param {ArrayLike<number>} xs @param {number} x */
export function nearest(xs, x) {
	let low = 0;
	let high = xs.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (xs[middle] < x) low = middle + 1;
		else high = middle;
	}
	return low && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}

// What each run has next to x, the greatest first. A run that has not begun there, or has ended, has nothing.
/** @param {Plot} plot @param {Line[]} lines @param {number} x @returns {ValueAt[]} */
export function valuesAt({points}, lines, x) {
	const values = lines.flatMap(({label, slot, series}, line) => {
		const {x: xs, index, parts} = points[line];
		if (!xs.length || x < xs[0] || x > xs[xs.length - 1]) return [];
		const at = nearest(xs, x);
		return [{label, slot, line, drawn: parts.y?.[at] ?? null, text: number(series.last[index ? index[at] : at])}];
	});
	return values.sort((a, b) => (b.drawn ?? -Infinity) - (a.drawn ?? -Infinity) || a.line - b.line);
}

// An address can have any number, but a step has 63 bits.
const asStep = (/** @type {number} */ x) => Math.min(2 ** 63 - 1024, Math.max(0, x));

// The steps of a range of x, whose values a zoom asks for: up to the points beside it, since there may be others between.
/** @param {Line[]} lines @param {Span} range @param {Axis} axis @returns {Span | null} */
export function stepsBetween(lines, [low, high], axis) {
	if (axis === "step") return [asStep(Math.floor(low)), asStep(Math.ceil(high))];
	let [first, last] = [Infinity, -1];
	for (const {series, start} of lines) {
		const times = series.timestamp;
		const origin = axis === "wall" ? 0 : start;
		series.step.forEach((step, at) => {
			const x = times[at] - origin;
			if ((x < low && !(times[at + 1] - origin >= low)) || (x > high && !(times[at - 1] - origin <= high))) return;
			first = Math.min(first, step);
			last = Math.max(last, step);
		});
	}
	return last < 0 ? null : [first, last];
}
