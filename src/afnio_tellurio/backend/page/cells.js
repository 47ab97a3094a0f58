// How the values of a Parquet file are written in a table.

import {DEFAULT_PARSERS} from "./hyparquet/convert.js";

const CHARACTERS = 300;
// Of binary values, in hexadecimal.
const BINARY = 32;

const decoder = new TextDecoder("utf-8", {fatal: true});

/** @param {bigint} count Since 1970. @param {number} digits Of the fraction of a second. @param {string} zone */
function time(count, digits, zone) {
	const unit = 10n ** BigInt(digits);
	const fraction = ((count % unit) + unit) % unit;
	const date = new Date(Number((count - fraction) / unit) * 1000);
	if (Number.isNaN(date.getTime())) return String(count);
	const rest = String(fraction).padStart(digits, "0").replace(/0+$/, "");
	return date
		.toISOString()
		.replace("T", " ")
		.replace(".000Z", (rest && `.${rest}`) + zone);
}

// The parsers of hyparquet lose what is shorter than a millisecond.
/** @param {SchemaElement} element */
export function parsersFor({logical_type: type}) {
	const zone = type?.type === "TIMESTAMP" && type.isAdjustedToUTC ? "Z" : "";
	return {
		...DEFAULT_PARSERS,
		timestampFromMilliseconds: (/** @type {bigint} */ count) => time(count, 3, zone),
		timestampFromMicroseconds: (/** @type {bigint} */ count) => time(count, 6, zone),
		timestampFromNanoseconds: (/** @type {bigint} */ count) => time(count, 9, zone),
		dateFromDays: (/** @type {number} */ days) => time(BigInt(days) * 86400n, 0, "").slice(0, -9),
		jsonFromBytes: DEFAULT_PARSERS.stringFromBytes
	};
}

/** @param {Uint8Array} value */
function binary(value) {
	try {
		const text = decoder.decode(value.subarray(0, CHARACTERS));
		// biome-ignore lint/suspicious/noControlCharactersInRegex: They make it binary.
		if (!/[\0-\x08\x0e-\x1f\x7f]/.test(text)) return text;
	} catch {
		// It is not UTF-8.
	}
	const digits = Array.from(value.subarray(0, BINARY), byte => byte.toString(16).padStart(2, "0"));
	return `0x${digits.join("")}${value.length > BINARY ? "…" : ""}`;
}

/** @param {SchemaElement} element */
export const isDecimal = ({converted_type, logical_type}) =>
	converted_type === "DECIMAL" || logical_type?.type === "DECIMAL";

// All digits, which a number does not have.
/** @param {unknown} value @param {number} scale */
function decimal(value, scale) {
	let count = value instanceof Uint8Array ? 0n : BigInt(/** @type {number} */ (value));
	if (value instanceof Uint8Array) {
		if (value.length > BINARY) return binary(value);
		for (const byte of value) count = count * 256n + BigInt(byte);
		count = BigInt.asIntN(8 * value.length, count);
	}
	if (!(scale > 0 && scale <= CHARACTERS)) return String(count);
	const digits = String(count < 0n ? -count : count).padStart(scale + 1, "0");
	return `${count < 0n ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

// A nested value, up to about as much as is shown.
/** @param {unknown} value @returns {string} */
function nested(value, room = CHARACTERS) {
	if (typeof value === "string") return JSON.stringify(value.slice(0, room));
	if (value === null || value === undefined) return "null";
	if (value instanceof Uint8Array) return JSON.stringify(binary(value));
	if (typeof value !== "object") return String(value);
	const isList = Array.isArray(value) || ArrayBuffer.isView(value);
	let text = "";
	for (const key in value) {
		if (text.length > room) break;
		const item = nested(/** @type {any} */ (value)[key], room - text.length);
		text += `${text && ", "}${isList ? "" : `${JSON.stringify(key)}: `}${item}`;
	}
	return isList ? `[${text}]` : `{${text}}`;
}

/** @type {Record<string, number>} */
const DIGITS = {MILLIS: 3, MICROS: 6, NANOS: 9};

/** @param {any} value @param {SchemaElement} element @returns {string} */
function flat(value, element) {
	const {logical_type: type, converted_type} = element;
	if (isDecimal(element)) return decimal(value, (type?.type === "DECIMAL" && type.scale) || element.scale || 0);
	if (type?.type === "TIME") return time(BigInt(value), DIGITS[type.unit], "").slice(11);
	if (converted_type === "TIME_MILLIS" || converted_type === "TIME_MICROS")
		return time(BigInt(value), DIGITS[converted_type.slice(5)], "").slice(11);
	if (value instanceof Uint8Array) return binary(value);
	if (element.type === "FLOAT" && Number.isFinite(value)) {
		const shorter = [6, 7, 8].map(digits => Number(value.toPrecision(digits)));
		return String(shorter.find(number => Math.fround(number) === value) ?? value);
	}
	return typeof value === "object" ? nested(value) : String(value);
}

/** @param {unknown} value @param {SchemaElement | null} element Of a column that is not nested. */
export function cell(value, element) {
	if (value === null || value === undefined) return null;
	const text = element ? flat(value, element) : nested(value);
	return text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)}…` : text;
}
