// How numbers, times and runs are written and told apart.
import {html, useEffect, useState} from "./preact.js";

/** @type {[string, number][]} */
const UNITS = [
	["d", 86400],
	["h", 3600],
	["min", 60],
	["s", 1]
];
// Without the properties of all objects: names are free text.
/** @type {Record<string, string>} */
const INFINITIES = Object.assign(Object.create(null), {Infinity: "∞", "-Infinity": "−∞"});

/** @type {(value: unknown) => value is number} */
export const isNumber = value => typeof value === "number";

// Made when needed, and kept: making one takes longer than drawing an axis.
/** @type {Intl.NumberFormat[]} */
const fixed = [];

// With as many digits after the point.
/** @param {number} value @param {number} digits */
export function withDigits(value, digits) {
	fixed[digits] ??= new Intl.NumberFormat("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
	return fixed[digits].format(value);
}

/** @param {unknown} value */
export function number(value, length = Infinity) {
	if (!isNumber(value)) {
		const text = value == null ? "" : typeof value === "string" ? (INFINITIES[value] ?? value) : JSON.stringify(value);
		return text.length > length ? `${text.slice(0, length - 1)}…` : text;
	}
	const size = Math.abs(value);
	if (Number.isInteger(value) && size < 1e7) return size < 1000 ? String(value) : withDigits(value, 0);
	return size >= 1e-4 && size < 1e7
		? String(Number(value.toPrecision(5)))
		: Number(value.toPrecision(4)).toExponential();
}

/** @param {number} count @param {string} noun */
export const counted = (count, noun) => `${withDigits(count, 0)} ${noun}${count === 1 ? "" : "s"}`;

/** @param {string} word */
export const capitalized = word => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();

// As the command line writes it: tests/durations.json.
/** @param {number} seconds */
export function duration(seconds) {
	if (!(seconds >= 0)) return "";
	const tenths = seconds.toFixed(1);
	if (Number(tenths) < 60) return `${tenths} s`;
	const whole = Math.round(seconds);
	const first = UNITS.findIndex(([, size]) => whole >= size);
	const [[unit, size], [smaller, part]] = UNITS.slice(first);
	return `${Math.floor(whole / size)} ${unit} ${Math.floor((whole % size) / part)} ${smaller}`;
}

// A position on an axis, which may be far finer.
/** @param {number} seconds */
export const elapsed = seconds => (seconds < 60 ? `${number(seconds)} s` : duration(seconds));

/** @type {Intl.DateTimeFormat | undefined} */
let clock;

/** @param {string | null | undefined} time */
export function when(time) {
	clock ??= new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "short"});
	return time ? clock.format(new Date(time)) : "";
}

// The largest unit alone.
/** @param {string} time */
export function ago(time) {
	const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
	const unit = UNITS.find(([, size]) => seconds >= size && size > 1);
	return unit ? `${Math.floor(seconds / unit[1])} ${unit[0]} ago` : "just now";
}

// Longer ago than this, a date says more.
const RECENT_S = 30 * 86400;

/** @type {(props: {value: string | null | undefined}) => VNode | string} */
export function Time({value}) {
	const [, tick] = useState(0);
	useEffect(() => {
		const timer = setInterval(() => tick(count => count + 1), 30_000);
		return () => clearInterval(timer);
	}, []);
	if (!value) return "";
	const isRecent = Date.now() - Date.parse(value) < RECENT_S * 1000;
	return html`<time datetime=${value} title=${when(value)}>${isRecent ? ago(value) : when(value)}</time>`;
}

/** @param {Run} run */
export function secondsOf(run) {
	const end = run.status === "RUNNING" ? Date.now() : Date.parse(run.date_ended ?? run.date_updated);
	return Math.max(0, (end - Date.parse(run.date_created)) / 1000);
}

// What has the colors of the theme.
let themed = document.documentElement;
/** @param {HTMLElement} element */
export const takeColorsOf = element => {
	themed = element;
};
/** @param {string} name */
export const colorOf = name => getComputedStyle(themed).getPropertyValue(name).trim();

// Eight hues that people with any color vision tell apart, and patterns once each has a line.
const HUES = 8;
const PATTERNS = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/** @param {number} slot */
export const hueOf = slot => `--line-${slot % HUES}`;
/** @param {number} slot */
export const patternOf = slot => PATTERNS[Math.floor(slot / HUES) % PATTERNS.length];

/** @type {Component} */
export function Mark({slot}) {
	if (slot === undefined) return html`<i class="mark"></i>`;
	let end = 0;
	const stops = patternOf(slot).map((length, index) => {
		const start = end;
		end += length;
		return `${index % 2 ? "transparent" : `var(${hueOf(slot)})`} ${start}px ${end}px`;
	});
	const background = stops.length ? `repeating-linear-gradient(90deg, ${stops})` : `var(${hueOf(slot)})`;
	return html`<i class="mark" style=${{background}}></i>`;
}

/** @type {Map<string, number>} */
let assigned = new Map();

// A run keeps its slot while others come and go, but few runs have the first slots, which are told apart best.
/** @param {string[]} uuids @returns {number[]} */
export function assignSlots(uuids) {
	const room = Math.max(HUES, uuids.length);
	const kept = uuids.map(uuid => assigned.get(uuid)).map(slot => (slot !== undefined && slot < room ? slot : -1));
	const taken = new Set(kept);
	let free = 0;
	const slots = kept.map(slot => {
		if (slot >= 0) return slot;
		while (taken.has(free)) free += 1;
		taken.add(free);
		return free;
	});
	assigned = new Map(uuids.map((uuid, index) => [uuid, slots[index]]));
	return slots;
}

// The characters that stay at the end of a name that does not fit: names often differ there.
const END = 8;

/** @type {(props: {text: string}) => VNode} */
export function Cut({text}) {
	const characters = Array.from(text);
	if (characters.length <= 2 * END) return html`<bdi>${text}</bdi>`;
	const end = characters.splice(characters.length - END).join("");
	return html`<bdi class="cut"><span>${characters.join("")}</span><span>${end}</span></bdi>`;
}

/** @type {Component} */
export const Scroll = ({label, children}) =>
	html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>${children}</div>`;

// By the part of the name before the first slash.
/** @param {string[]} names */
export function groupsOf(names) {
	const groups = Map.groupBy(names, name => name.slice(0, Math.max(0, name.indexOf("/"))));
	// Those without one are last.
	return [...groups].sort(([a], [b]) => (b === "" || (a !== "" && a < b) ? -1 : 1));
}

/** @param {string} label */
export const Head = label => html`<th scope="col"><bdi>${label}</bdi></th>`;

// A spreadsheet must not run a name as a formula; some take full-width characters for its start, too.
/** @param {unknown} value */
function cell(value) {
	const text = isNumber(value)
		? String(value)
		: String(value ?? "").replace(/^(?=[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])/, "'");
	return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {unknown[][]} rows */
export const csv = rows => rows.map(row => `${row.map(cell).join(",")}\r\n`).join("");

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(blob);
	link.download = name.replace(/[^\w.-]+/g, "_");
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
