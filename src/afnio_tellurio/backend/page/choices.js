// The fields that choose columns of runs and their scales.

import {options, setOptions} from "./address.js";
import {capitalized} from "./format.js";
import {html} from "./preact.js";
import {KINDS} from "./runs.js";
import {columnFor, RUN_VALUES, SCALES} from "./scales.js";

// Choices that are listed at once.
const LISTED = 200;

// A scale is written "log:config:lr" in the address.
/** @param {string} key */
export const chosenScale = key =>
	options("scale")
		?.find(one => SCALES.some(scale => one === `${scale}:${key}`))
		?.split(":")[0] ?? "";

/** @param {string} key @param {string} scale */
function setScale(key, scale) {
	const others = (options("scale") ?? []).filter(one => one.slice(one.indexOf(":") + 1) !== key);
	setOptions({scale: [...others, ...(scale ? [`${scale}:${key}`] : [])]});
}

/** @type {(props: {label: string, value: string, onChange: (key: string) => void, configs: string[], metrics: string[], none?: string}) => VNode} */
export function ColumnChoice({label, value, onChange, configs, metrics, none}) {
	/** @type {(title: string, keys: string[], write: (key: string) => string) => VNode | false} */
	const group = (title, keys, write) =>
		keys.length > 0 &&
		html`<optgroup label=${title}>${keys.slice(0, LISTED).map(key => html`<option value=${key}>${write(key)}</option>`)}</optgroup>`;
	const held = columnFor(value);
	const isListed =
		!value ||
		Object.hasOwn(RUN_VALUES, value) ||
		(held.kind === "config" ? configs : metrics).slice(0, LISTED).includes(held.name);
	return html`<select aria-label=${label} value=${value} onChange=${(/** @type {FieldEvent} */ {target}) => onChange(target.value)}>
		${none !== undefined && html`<option value="">${none}</option>`}
		${!isListed && html`<option value=${value}>${held.name}</option>`}
		${group(
			"Config",
			configs.map(name => `config:${name}`),
			key => columnFor(key).name
		)}
		${KINDS.map(kind =>
			group(
				`Metrics, ${kind}`,
				metrics.map(name => `${kind}:${name}`),
				key => columnFor(key).name
			)
		)}
		${group("Run", Object.keys(RUN_VALUES), key => RUN_VALUES[key])}
	</select>`;
}

/** @type {(props: {axis: RunAxis}) => VNode} */
export function ScaleChoice({
	axis: {
		scale,
		column: {key, name}
	}
}) {
	const label = `Scale of ${name}`;
	return html`<select aria-label=${label} value=${scale} onChange=${(/** @type {FieldEvent} */ {target}) => setScale(key, target.value)}>
		${SCALES.map(one => html`<option value=${one}>${capitalized(one)}</option>`)}</select>`;
}
