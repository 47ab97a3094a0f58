// The columns that a table of runs can have, and how their values are read.

import {options} from "./address.js";
import {isNumber, number, withDigits} from "./format.js";

/** @type {Record<string, string>} */
const TERMS = {last: "last", minimum: "min", maximum: "max"};
// Columns when none are chosen.
const CONFIGS = 2;
const METRICS = 3;

/** @param {string} text */
const quoted = text => `"${text.replace(/["\\]/g, "\\$&")}"`;

// A column is written "last:train/loss" or "config:optim.lr" in the address, which can have anything else, too.
/** @param {string} key */
export const isColumn = key => /^(config|last|minimum|maximum):./s.test(key);

/** @param {string} key @returns {Column} */
export function columnOf(key) {
	const kind = key.slice(0, key.indexOf(":"));
	const name = key.slice(kind.length + 1);
	const parts = name.split(".").map(part => (/^[A-Za-z_]\w*$/.test(part) ? part : quoted(part)));
	const term = kind === "config" ? `config.${parts.join(".")}` : `metric(${quoted(name)}).${TERMS[kind] ?? "last"}`;
	return {key, kind, name, term};
}

/** @type {(value: unknown) => value is Record<string, unknown>} */
const isGroup = value => value !== null && typeof value === "object" && !Array.isArray(value);

// The values of a config by their dotted names.
/** @param {Record<string, unknown>} fields @returns {[string, unknown][]} */
const flat = (fields, start = "") =>
	Object.entries(fields).flatMap(([name, value]) =>
		isGroup(value) ? flat(value, `${start}${name}.`) : [[start + name, value]]
	);

/** @param {Run[]} runs */
export function configsOf(runs) {
	const rows = new Map(runs.map(run => [run.uuid, new Map(flat(run.config ?? {}))]));
	/** @type {Map<string, Set<string>>} */
	const values = new Map();
	for (const row of rows.values())
		for (const [name, value] of row) {
			if (!values.has(name)) values.set(name, new Set());
			values.get(name)?.add(JSON.stringify(value));
		}
	return {rows, values};
}

// Numbers before texts, each in their order.
/** @param {string} a @param {string} b */
export const inOrder = (a, b) =>
	Number(a) - Number(b) || Number(Number.isNaN(+a)) - Number(Number.isNaN(+b)) || (a < b ? -1 : 1);

// The numbers that are read first: results on held-out data, then losses and scores.
/** @param {Metric} metric */
const rank = ({name}) =>
	(/\b(val|valid|validation|eval|test)\b/i.test(name) ? 2 : 0) +
	(/loss|acc|f1|auc|score|reward|bleu|perplexity/i.test(name) ? 1 : 0);

/** @param {Metric[]} metrics @param {Map<string, Set<string>>} values */
export function chosenColumns(metrics, values) {
	const chosen = options("col");
	if (chosen) return chosen.filter(isColumn).map(columnOf);
	const common = metrics.filter(metric => metric.is_numeric).sort((a, b) => b.runs - a.runs || rank(b) - rank(a));
	// What differs between runs says more than what does not.
	const varied = [...values].filter(([, different]) => different.size > 1).map(([name]) => `config:${name}`);
	return [...varied.slice(0, CONFIGS), ...common.slice(0, METRICS).map(({name}) => `last:${name}`)].map(columnOf);
}

// Whether smaller values of a metric are better; null if its name does not say it.
/** @param {{name: string, kind: string}} column */
export function isLowBest({name, kind}) {
	if (/loss|error|err\b|perplexity|ppl|latency|cost|time|seconds|_ms\b|mse|mae|wer\b|fid\b/i.test(name)) return true;
	if (/acc|f1|auc|score|reward|bleu|rouge|precision|recall|per_s|throughput|map\b|iou/i.test(name)) return false;
	return kind === "minimum" ? true : kind === "maximum" ? false : null;
}

// How the numbers of a column are written: with the same digits after the point.
/** @param {unknown[]} values @returns {(value: unknown) => string} */
export function written(values) {
	const numbers = values.filter(isNumber).map(Math.abs);
	const most = numbers.reduce((high, next) => Math.max(high, next), 0);
	if (most > 0 && most < 1e-3)
		return value => (isNumber(value) ? Number(value.toPrecision(3)).toExponential() : number(value, 24));
	if (numbers.every(Number.isInteger) || most >= 1e7) return value => number(value, 24);
	const digits = Math.min(5, Math.max(0, 4 - Math.max(0, Math.floor(Math.log10(most)) + 1)));
	const least = 10 ** -digits;
	return value => {
		if (!isNumber(value)) return number(value, 24);
		// Of a small one too few digits would be left.
		if (value !== 0 && Math.abs(value) < 10 * least) return number(Number(value.toPrecision(3)));
		return withDigits(value, digits);
	};
}
