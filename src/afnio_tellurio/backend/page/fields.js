// Nested fields as a table of paths and values: a config, an environment, or metadata.

import {Copy} from "./copy.js";
import {counted, number, Scroll} from "./format.js";
import {html, useMemo, useState} from "./preact.js";
import {isObject} from "./values.js";

// Rows that are shown without a click, and at most.
const FEW = 8;
const MOST = 1000;
// Rows from which on there is a field to search them.
const MANY = 20;
const CHARACTERS = 1000;
// A list that is longer is folded.
const SHORT = 60;

// The values of nested fields by their dotted paths.
/** @param {object} fields @returns {[string, unknown][]} */
const flattened = (fields, start = "") =>
	Object.entries(fields).flatMap(([name, value]) => {
		const key = name.includes(".") ? `"${name}"` : name;
		return isObject(value) && !Array.isArray(value) && Object.keys(value).length
			? flattened(value, `${start}${key}.`)
			: [[start + key, value]];
	});

/** @param {unknown} value */
function shown(value) {
	// Quotes would hide the line breaks of a prompt.
	if (typeof value === "string" && value.includes("\n"))
		return html`<span class="text"><bdi>${number(value, CHARACTERS)}</bdi></span>`;
	const json = number(JSON.stringify(value), CHARACTERS);
	if (!Array.isArray(value) || json.length <= SHORT) return html`<bdi>${json}</bdi>`;
	return html`<details class="list"><summary>${counted(value.length, "item")}</summary><bdi>${json}</bdi></details>`;
}

/** @param {unknown} value */
const textOf = value => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));

/** @type {Component} */
export function FieldTable({label, fields}) {
	const [text, setText] = useState("");
	const rows = useMemo(() => flattened(fields), [fields]);
	const sought = text.toLowerCase();
	const found = rows.filter(([path, value]) =>
		[path, text && textOf(value)].some(one => one.toLowerCase().includes(sought))
	);
	const hidden = found.length - MOST;
	const search = `Search in ${label.toLowerCase()}`;
	return html`<div class="bar">${
		rows.length > MANY &&
		html`<input type="search" placeholder=${search} aria-label=${search} value=${text} onInput=${(/** @type {FieldEvent} */ {target}) => setText(target.value)} />
			<span class="quiet" role="status">${text && counted(found.length, "match").replace(/hs$/, "hes")}</span>`
	}
		<${Copy} text=${() => JSON.stringify(fields, null, 2)}>Copy as JSON<//></div>
		${found.length > 0 && html`<${Scroll} label=${label}><table class="fields"><tbody>${found.slice(0, MOST).map(([path, value]) => html`<tr><th scope="row"><bdi>${path}</bdi></th><td>${shown(value)}</td></tr>`)}</tbody></table><//>`}
		${hidden > 0 && html`<p class="quiet">${counted(hidden, "more value")} not shown.</p>`}`;
}

/** @type {Component} */
export function Fields({label, fields, isOpen}) {
	const count = Object.keys(fields).length;
	if (!count) return "";
	return html`<details open=${isOpen && flattened(fields).length <= FEW}><summary>${label}</summary><${FieldTable} label=${label} fields=${fields} /></details>`;
}
