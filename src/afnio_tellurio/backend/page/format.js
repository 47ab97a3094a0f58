// How numbers, times and runs are written and told apart.
import { html } from "./preact.js";

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
// No name that somebody chose must find what all objects have.
const INFINITIES = { __proto__: null, Infinity: "∞", "-Infinity": "−∞" };

export const isNumber = (value) => typeof value === "number";

export function number(value, length = Infinity) {
	if (!isNumber(value)) {
		const text = value == null ? "" : typeof value === "string" ? (INFINITIES[value] ?? value) : JSON.stringify(value);
		return text.length > length ? `${text.slice(0, length - 1)}…` : text;
	}
	const size = Math.abs(value);
	if (Number.isInteger(value) && size < 1e7) return value.toLocaleString("en");
	return size >= 1e-4 && size < 1e7 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}

export function duration(seconds) {
	if (!(seconds >= 0)) return "";
	if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
	const first = UNITS.findIndex(([, size]) => seconds >= size);
	const [[unit, size], [smaller, part] = []] = UNITS.slice(first);
	const rest = part ? ` ${Math.floor((seconds % size) / part)} ${smaller}` : "";
	return `${Math.floor(seconds / size)} ${unit}${rest}`;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const when = (time) => (time ? clock.format(new Date(time)) : "");

export function secondsOf(run) {
	const end = run.status === "RUNNING" ? Date.now() : Date.parse(run.date_updated);
	return Math.max(0, (end - Date.parse(run.date_created)) / 1000);
}

export const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Eight hues that people with any colour vision tell apart, and patterns in turn.
const HUES = 8;
const PATTERNS = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

export const hueOf = (slot) => `--line-${slot % HUES}`;
export const patternOf = (slot) => PATTERNS[(slot + Math.floor(slot / HUES)) % PATTERNS.length];

export function Mark({ slot }) {
	if (slot === undefined) return html`<i class="mark"></i>`;
	let place = 0;
	const stops = patternOf(slot).map((length, index) => {
		const colour = index % 2 ? "transparent" : `var(${hueOf(slot)})`;
		return `${colour} ${place}px ${(place += length)}px`;
	});
	const background = stops.length ? `repeating-linear-gradient(90deg, ${stops})` : `var(${hueOf(slot)})`;
	return html`<i class="mark" style=${{ background }}></i>`;
}

// The slot of each run stays while others come and go.
const slots = new Map();

export function slotOf(run, shown) {
	if (!slots.has(run)) {
		const taken = new Set(shown.map((one) => slots.get(one)));
		let free = 0;
		while (taken.has(free)) free += 1;
		slots.set(run, free);
	}
	return slots.get(run);
}

export const Scroll = ({ label, kind = "", children }) =>
	html`<div class="scroll ${kind}" tabindex="0" role="region" aria-label=${label}>${children}</div>`;

// By the part of the name before the first slash.
export function groupsOf(names) {
	const groups = Map.groupBy(names, (name) => name.slice(0, Math.max(0, name.indexOf("/"))));
	return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

export const Head = (label) => html`<th scope="col"><bdi>${label}</bdi></th>`;

// A spreadsheet must not take a name for a formula.
function cell(value) {
	const text = isNumber(value) ? String(value) : String(value ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
	return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

export function save(blob, name) {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(blob);
	link.download = name.replace(/[^\w.-]+/g, "_");
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
