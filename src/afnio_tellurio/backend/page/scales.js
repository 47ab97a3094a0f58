// The axes of runs that are drawn by their values: what has a place on an axis, and where.

import {linearTicks, logTicks, paddedRange, tickTexts} from "./axes.js";
import {columnOf, inOrder, isColumn, written} from "./columns.js";
import {capitalized, duration, elapsed, isNumber, number, when} from "./format.js";

// Values of a run that no config and no metric has.
/** @type {Record<string, string>} */
export const RUN_VALUES = {
	created: "Started",
	duration: "Duration",
	status: "Status",
	group: "Group",
	job_type: "Job type",
	user: "User"
};
export const SCALES = /** @type {const} */ (["linear", "log", "category"]);
const DAY = 86_400;
const TIME_STEPS = [
	1,
	5,
	15,
	60,
	300,
	900,
	3600,
	10_800,
	21_600,
	43_200,
	...[1, 2, 7, 14, 30, 90, 365].map(days => days * DAY)
];
// From such a share of its values on, a number of the config is usually varied in orders of magnitude.
const WIDE = 100;
const INFINITE = ["NaN", "Infinity", "-Infinity"];
// Characters of a category on an axis.
const SHORT = 16;

/** @param {string} key */
export const isAxis = key => Object.hasOwn(RUN_VALUES, key) || isColumn(key);

/** @param {string} key @returns {Column} */
export const columnFor = key =>
	Object.hasOwn(RUN_VALUES, key) ? {key, kind: "run", name: RUN_VALUES[key], term: key} : columnOf(key);

/** @param {Column} column @param {unknown} cell */
function readable({key}, cell) {
	if (typeof cell !== "string") return cell;
	return key === "created" ? Date.parse(cell) / 1000 : key === "status" ? capitalized(cell) : cell;
}

/** @param {unknown} value */
const textOf = value => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {number} low @param {number} high @param {number} most */
function timeTicks(low, high, most) {
	const least = (high - low) / Math.max(1, most);
	const step = TIME_STEPS.find(size => size >= least) ?? least;
	// Days start at midnight here.
	const offset = new Date(low * 1000).getTimezoneOffset() * 60;
	const first = Math.ceil((low - offset) / step) * step + offset;
	/** @type {Intl.DateTimeFormatOptions} */
	const day = {month: "short", day: "numeric"};
	/** @type {Intl.DateTimeFormatOptions} */
	const time = {hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 && {second: "2-digit"})};
	const written = new Intl.DateTimeFormat("en", step >= DAY ? day : high - low > DAY ? {...day, ...time} : time);
	const count = Math.max(0, Math.floor((high - first) / step) + 1);
	return Array.from({length: count}, (_item, index) => first + index * step).map(at => ({
		at,
		text: written.format(at * 1000)
	}));
}

// An axis of a column: a place from 0 to 1 for each cell, or null for a run that has none on this scale.
/** @param {Column} column @param {unknown[]} cells @param {string} chosen @param {number[]} drawn Rows that need room. @returns {RunAxis} */
export function axisOf(column, cells, chosen, drawn) {
	const values = cells.map(cell => readable(column, cell));
	const known = values.filter(value => value !== null && !INFINITE.includes(/** @type {string} */ (value)));
	const numbers = known.filter(isNumber);
	const isNumeric = numbers.length === known.length;
	const positive = numbers.filter(value => value > 0);
	const [least, most] = [Math.min(...positive), Math.max(...positive)];
	const isWide = column.kind === "config" && positive.length === numbers.length && most / least >= WIDE;
	const scale = SCALES.find(one => one === chosen) ?? (!isNumeric ? "category" : isWide ? "log" : "linear");
	return {
		column,
		cells,
		scale,
		...(scale === "category" ? categories(column, values) : numeric(column, values, scale === "log", drawn))
	};
}

/** @param {Column} column @param {unknown[]} values */
function categories(column, values) {
	const present = values.filter(value => value !== null);
	const names = [...new Set(present.map(textOf))].sort(inOrder);
	const index = new Map(names.map((name, at) => [name, at]));
	/** @param {unknown} value */
	const place = value => {
		const at = value === null ? undefined : index.get(textOf(readable(column, value)));
		return at === undefined ? null : (at + 0.5) / names.length;
	};
	return {
		places: values.map(place),
		lacks: "value",
		names,
		ends: () => null,
		place,
		// The category at a place.
		at: (/** @type {number} */ share) =>
			names[Math.min(names.length - 1, Math.max(0, Math.floor(share * names.length)))],
		write: (/** @type {unknown} */ cell) => (cell === null ? "" : textOf(readable(column, cell))),
		ticks: (/** @type {number} */ room) => {
			const every = Math.ceil(names.length / Math.max(1, room));
			return names.flatMap((name, at) =>
				at % every ? [] : [{place: (at + 0.5) / names.length, text: number(name, SHORT)}]
			);
		}
	};
}

/** @param {Column} column @param {unknown[]} values @param {boolean} isLog @param {number[]} drawn */
function numeric({key}, values, isLog, drawn) {
	const isTime = key === "created";
	const drawable = drawn
		.map(row => values[row])
		.filter(isNumber)
		.filter(value => !isLog || value > 0);
	const least = drawable.reduce((low, next) => Math.min(low, next), Infinity);
	const most = drawable.reduce((high, next) => Math.max(high, next), -Infinity);
	const [low, high] = drawable.length ? paddedRange(least, most, isLog) : paddedRange(null, null, isLog);
	// The difference of the largest numbers is infinite, that of their halves is not.
	const part = high - low < Infinity ? 1 : 0.5;
	const scaled = isLog ? Math.log : (/** @type {number} */ value) => value * part;
	const [start, end] = [scaled(low), scaled(high)];
	/** @param {unknown} value */
	const place = value => (isNumber(value) && (!isLog || value > 0) ? (scaled(value) - start) / (end - start) : null);
	const write = isTime || key === "duration" ? null : written(drawable);
	const kind = key === "duration" ? "seconds" : drawable.every(Number.isInteger) ? "whole" : "any";
	return {
		places: values.map(place),
		lacks: isLog ? "positive number" : "number",
		names: null,
		ends: (/** @type {number[]} */ rows) => {
			const own = rows.filter(row => place(values[row]) !== null).map(row => /** @type {number} */ (values[row]));
			return own.length
				? [own.reduce((low, next) => Math.min(low, next)), own.reduce((high, next) => Math.max(high, next))]
				: null;
		},
		place,
		at: (/** @type {number} */ share) => {
			const value = start + share * (end - start);
			return Number((isLog ? Math.exp(value) : value / part).toPrecision(isTime ? 12 : 4));
		},
		write: (/** @type {unknown} */ cell) => {
			if (isTime) return when(isNumber(cell) ? new Date(cell * 1000).toISOString() : /** @type {string} */ (cell));
			return write?.(cell) ?? (isNumber(cell) ? duration(cell) : "");
		},
		ticks: (/** @type {number} */ room) => {
			if (isTime) return timeTicks(low, high, room).map(({at, text}) => ({place: place(at) ?? 0, text}));
			const ticks = (isLog ? logTicks : linearTicks)(low, high, room, kind);
			const texts =
				key === "duration" ? ticks.map(tick => elapsed(tick).replace(/ 0 \w+$/, "")) : tickTexts(ticks, isLog);
			return ticks.map((tick, index) => ({place: place(tick) ?? 0, text: texts[index]}));
		}
	};
}

// Whether a run has a place on all axes.
/** @param {RunAxis[]} axes @param {number} row */
export const isDrawn = (axes, row) => axes.every(({places}) => places[row] !== null);

// What runs lack that are not drawn, in words.
/** @param {RunAxis[]} axes @param {number[]} rows */
export function lacking(axes, rows) {
	return axes.flatMap(({column, places, lacks}) => {
		const count = rows.filter(row => places[row] === null).length;
		return count ? [{count, lacks, name: column.name}] : [];
	});
}
